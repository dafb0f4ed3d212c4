"""Explores a case: every schedule within a bound, or some at random, on all cores, until something is found or nothing is left.

``explore(case)`` gives a Result: what was found, minimised, with the id that replays it, and what was covered. The bound on
preemptions is raised step by step, so a race that takes one is found among the few schedules that have one.

A search that takes longer than a moment is shared out (``shared``). ``progress`` is told about ten times a second; Ctrl-C, or
``progress`` returning True, stops everything, and the Result says how far it came.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..errors import HotswapError
from .findings import Finding
from .machine import Machine
from .minimise import minimised
from .scenario.contract import NEVER, SOMETIMES, BadScenario, Case, find
from .schedule_id import decode, encode
from .shared import Shared, Task
from .strategy.contract import Coverage, Strategy
from .strategy.exhaustive import Exhaustive
from .strategy.pct import Pct
from .strategy.random_walk import RandomWalk
from .strategy.replay import CannotReplay, Replay
from .trace import Outcome

MOMENT = 1.5  # seconds that a search runs in this process alone
TICK = 0.1


class Progress(NamedTuple):
    """How far it is: what was covered so far, seconds, and whether a finding is there."""

    coverage: Coverage
    seconds: float
    found: bool


OnProgress = Callable[[Progress], object]


@dataclass(frozen=True)
class Limits:
    """``bound`` None: without one; -1: the scenario's. ``schedules`` and ``seconds`` None: as many, as long as it takes."""

    strategy: str = "exhaustive"
    bound: int | None = -1
    schedules: int | None = None
    seconds: float | None = None
    jobs: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Result:
    case: Case
    expected: str
    verdict: str
    coverage: Coverage
    seconds: float
    finding: Finding | None
    replay: str  # the id of the finding, "" without one
    stopped: bool  # by Ctrl-C or by who was told the progress

    @property
    def as_expected(self) -> bool:
        """A "sometimes" that was not met fails, however little was tried; so does a "never" that was stopped half-way."""
        return self.verdict == self.expected and (self.verdict == SOMETIMES or self.coverage.complete)


def explore(case: Case, limits: Limits | None = None, progress: OnProgress = lambda progress: None) -> Result:
    """One case. A BadScenario where its CPUs touch nothing in common."""
    limits = limits or Limits()
    scenario = find(case.scenario)
    if limits.bound == -1:
        limits = replace(limits, bound=scenario.bound(case.guard))
    began = time.monotonic()
    run = _Run(case, scenario.machine(case), limits, progress)
    run.check_shared(scenario.name)
    stopped = False
    try:
        run.all()
    except _Stopped:
        stopped = True
    except KeyboardInterrupt:
        stopped = True
    finding, id_ = None, ""
    if run.choices is not None:
        finding, id_ = run.minimise()
    verdict = SOMETIMES if finding else NEVER
    expected = scenario.expected().get(case, verdict)
    return Result(case, expected, verdict, run.coverage, time.monotonic() - began, finding, id_, stopped)


def replay(id_: str) -> tuple[Case, Outcome]:
    """The schedule of an id once more, with its steps; a BadId or a HotswapError for what cannot be replayed."""
    case, choices = decode(id_)
    machine = find(case.scenario).machine(case)
    try:
        return case, machine.run(Replay(choices), record=True)
    except CannotReplay as error:
        raise HotswapError(f"{id_!r} cannot be replayed: {error}.") from None


class _Stopped(Exception):
    """Whoever was told the progress wants no more."""


class _Run:
    """One exploration under way."""

    def __init__(self, case: Case, machine: Machine, limits: Limits, progress: OnProgress):
        self.case = case
        self.machine = machine
        self.limits = limits
        self.progress = progress
        self.began = self.told = time.monotonic()  # of the search: loading the engine is not counted against its limit
        self.coverage = Coverage(bound=limits.bound)
        self.choices: list[int] | None = None  # of the finding
        self.finding: Finding | None = None

    def check_shared(self, name: str) -> None:
        """Do two CPUs touch the same place at all, one of them writing? In one schedule, of all."""
        strategy = _Touched()
        self.machine.run(strategy)
        if not strategy.shared():
            raise BadScenario(f"scenario {name} shows nothing: its CPUs touch nothing in common.")

    def all(self) -> None:
        if self.limits.strategy == "random":
            self.some(RandomWalk(self.limits.schedules or 10_000, self.limits.seed))
        elif self.limits.strategy == "pct":
            self.some(Pct(self.limits.schedules or 10_000, seed=self.limits.seed))
        elif self.limits.bound is None:
            self.search(None)
        else:
            for bound in range(self.limits.bound + 1):
                self.search(bound)
                if self.choices is not None or not self.coverage.complete:
                    return

    def some(self, strategy: Strategy) -> None:
        self.drive(strategy, float("inf"))

    def search(self, bound: int | None) -> None:
        """All schedules within a bound: here, and what takes longer on all cores."""
        before = self.coverage
        strategy = Exhaustive(bound)
        self.drive(strategy, time.monotonic() + MOMENT)
        if self.choices is not None or strategy.complete or self.over(strategy.schedules):
            return
        roots, tried = strategy.export()
        jobs = self.limits.jobs or os.cpu_count() or 1
        with Shared(Task(self.case, bound), jobs) as shared:
            shared.add(roots, tried)
            for done in shared.run(lambda: self.until(before.schedules + strategy.schedules)):
                self.coverage = before + strategy.coverage() + done.coverage
                self.tell(force=True)
                if done.choices is not None:
                    self.choices = done.choices
                    return
            self.coverage = (before + strategy.coverage() + shared.coverage)._replace(complete=shared.complete, bound=bound)

    def drive(self, strategy: Strategy, until: float) -> None:
        """Runs schedules here until something is found, nothing is left, or time is up."""
        before = self.coverage
        while not self.over(strategy.schedules) and time.monotonic() < until and strategy.begin():
            outcome = self.machine.run(strategy)
            self.coverage = before + strategy.coverage()
            if outcome.finding:
                self.choices, self.finding = list(outcome.choices), outcome.finding
                break
            self.tell()
        self.coverage = (before + strategy.coverage())._replace(complete=strategy.complete, bound=strategy.bound)

    def over(self, schedules: int) -> bool:
        limits = self.limits
        late = limits.seconds is not None and schedules > 0 and time.monotonic() - self.began > limits.seconds
        return late or (limits.schedules is not None and schedules >= limits.schedules)

    def until(self, schedules: int) -> bool:
        """Is it time to stop the others? Asked ten times a second."""
        self.tell(force=True)
        return self.over(self.coverage.schedules)

    def tell(self, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self.told >= TICK:
            self.told = now
            if self.progress(Progress(self.coverage, now - self.began, self.choices is not None)):
                raise _Stopped

    def minimise(self) -> tuple[Finding, str]:
        """The finding with few switches, and its id, which was replayed."""
        assert self.choices is not None
        if self.finding is None:
            self.finding = self.machine.run(Replay(self.choices)).finding
        if self.finding is None:
            raise RuntimeError("what a worker found is not found again")
        choices = minimised(self.machine, self.choices, self.finding)
        outcome = self.machine.run(Replay(choices))
        if outcome.finding is None:
            raise RuntimeError("what was found is not found again")
        return outcome.finding, encode(self.case, choices)


class _Touched(Strategy):
    """Runs one schedule and notes who touches what."""

    watches = True

    def __init__(self) -> None:
        super().__init__()
        self.reads: dict[int, set[int]] = {}
        self.writes: dict[int, set[int]] = {}

    def stepped(self, machine, actor):
        for place in machine.watch.reads:
            self.reads.setdefault(place, set()).add(actor)
        for place in machine.watch.writes:
            self.writes.setdefault(place, set()).add(actor)

    def shared(self) -> bool:
        return any(len(who | self.reads.get(place, set())) > 1 for place, who in self.writes.items())
