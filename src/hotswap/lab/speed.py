"""How many scheduling decisions a second the lab makes: ``python -m hotswap.lab.speed [--seconds N] [--profile]``.

On the whole engine (readahead against a swapoff, scenario R01), one process, each strategy in turn; a decision is a step of some CPU, the
repeated beginnings of schedules included. Every schedule is checked as in a run: a finding ends the measurement.
"""

import argparse
import cProfile
import pstats
import time

from .scenario.contract import Case, find
from .strategy.contract import Strategy
from .strategy.exhaustive import Exhaustive
from .strategy.pct import Pct
from .strategy.random_walk import RandomWalk

CASE = Case("r01_readahead_vs_swapoff", "percpu_ref", "", "sc")
MANY = 10**9


def strategies() -> dict[str, Strategy]:
    return {
        "exhaustive, 2 preemptions": Exhaustive(2),
        "exhaustive, any": Exhaustive(None),
        "random walk": RandomWalk(MANY),
        "PCT": Pct(MANY),
    }


def measure(machine, strategy: Strategy, seconds: float) -> float:
    """Decisions a second of processor time."""
    began = time.process_time()
    while time.process_time() - began < seconds and strategy.begin():
        outcome = machine.run(strategy)
        if outcome.finding:
            raise outcome.finding
    return strategy.steps / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description="Scheduling decisions a second, on one core.")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each strategy")
    parser.add_argument("--profile", action="store_true", help="show where the time of the first goes")
    arguments = parser.parse_args()
    began = time.process_time()
    machine = find(CASE.scenario).machine(CASE)
    print(f"{'loading and setting up':28}{time.process_time() - began:10.2f} s")
    for name, strategy in strategies().items():
        figure = measure(machine, strategy, arguments.seconds)
        coverage = strategy.coverage()
        each = coverage.steps / max(1, coverage.schedules + coverage.pruned)
        print(f"{name:28}{figure:10,.0f} a second ({coverage.schedules:,} schedules of {each:.0f} steps)")
    if arguments.profile:
        profile = cProfile.Profile()
        profile.runcall(measure, machine, Exhaustive(2), arguments.seconds)
        pstats.Stats(profile).sort_stats("tottime").print_stats(15)


if __name__ == "__main__":
    main()
