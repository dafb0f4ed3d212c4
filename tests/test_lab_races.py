"""The races on the shipping source, as far as there is time for in a test run; `make lab` has all of it.

Every "sometimes" is found, minimised and replayed; every "never" is searched with the preemptions and for the time that a test can have:
what is not searched to the end then is not called searched.
"""

import pytest

from hotswap.lab import explore
from hotswap.lab.explore import Limits
from hotswap.lab.scenario.contract import NEVER, SOMETIMES, Case, find, scenarios

CASES = {case: verdict for key in scenarios() for case, verdict in find(key).expected().items()}
DEFAULT = "percpu_ref"


def seconds(case: Case) -> float:
    """For a never; most of it for the design that ships."""
    return 2.0 if case.guard == DEFAULT else 0.5


def name(case: Case) -> str:
    return " ".join(filter(None, (case.short, case.guard, case.switch, case.model)))


def test_every_race_of_the_list_has_a_scenario() -> None:
    assert [key.partition("_")[0] for key in scenarios()] == [f"r{number:02}" for number in range(1, 27)]


def test_every_scenario_has_a_race_that_is_found_and_a_fix_that_is_not_beaten() -> None:
    for key in scenarios():
        assert set(find(key).expected().values()) == {NEVER, SOMETIMES}, key


@pytest.mark.parametrize("case", [case for case, verdict in CASES.items() if verdict == SOMETIMES], ids=name)
def test_without_its_fix_the_race_happens_and_its_id_replays_it(case: Case) -> None:
    result = explore.explore(case, Limits(jobs=1))
    assert result.verdict == SOMETIMES and result.finding is not None
    again, outcome = explore.replay(result.replay)
    assert again == case and type(outcome.finding) is type(result.finding)


@pytest.mark.parametrize("case", [case for case, verdict in CASES.items() if verdict == NEVER], ids=name)
def test_with_its_fix_the_race_is_not_found_within_one_preemption(case: Case) -> None:
    result = explore.explore(case, Limits(bound=1, seconds=seconds(case), jobs=1))
    assert result.finding is None, f"{result.finding}; hotswap lab replay {result.replay}"
    assert result.coverage.schedules > 0
