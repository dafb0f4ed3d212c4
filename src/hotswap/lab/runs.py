"""What the command line asks of the lab: which scenarios and cases there are, one case run, one id replayed.

Names are matched here, and refused with what there is. A case's drawing is followed by itself (``follow``), then the space is
searched without it (``run``), so that the schedules of a row are those that the search took.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from ..errors import HotswapError
from . import drawing, explore
from .model import MODELS as MODELS
from .rows import SOMETIMES, Row
from .scenario import contract
from .strategy.drawn import Drawn
from .trace import Outcome

STRATEGIES = ("exhaustive", "random", "pct")
UNBOUNDED = -1  # preemptions
AS_DRAWN = "happens as drawn"
AS_IT_IS = "none"  # on the command line, the switch of a case without one


class Unknown(HotswapError):
    """A scenario, guard, switch, model or id that does not exist."""


@dataclass(frozen=True)
class Case:
    """A scenario under one design, one switch ("": the engine as it is) and one memory model."""

    guard: str
    switch: str
    model: str
    expected: str  # "never", "sometimes"


@dataclass(frozen=True)
class Scenario:
    """``text`` is the docstring: question, source and drawing."""

    key: str  # its file's name
    name: str  # "R12 free-swap-and-cache"
    question: str
    source: str
    text: str
    cases: tuple[Case, ...]

    @property
    def short(self) -> str:
        return self.name.partition(" ")[0]

    def drawing(self) -> drawing.Drawing:
        """A BadDrawing where it is not right."""
        return drawing.parse(self.name, self.text)


@dataclass(frozen=True)
class Limits:
    """How far a case is explored. None: as far as the scenario says, or as it takes."""

    strategy: str = "exhaustive"
    preemptions: int | None = None  # UNBOUNDED: any number
    schedules: int | None = None
    seconds: float | None = None
    jobs: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Coverage:
    """How far it is: schedules run to their end and pruned, since how many seconds, and whether a finding is there."""

    schedules: int
    pruned: int
    seconds: float
    found: bool


OnProgress = Callable[[Coverage], None]


def choose(known: Sequence[Scenario], names: Sequence[str]) -> list[Scenario]:
    """Scenarios by number or by name, in their own order; all without names."""
    wanted = set()
    for name in names:
        found = [s for s in known if name.lower() in (s.name.lower(), s.short.lower(), s.name.lower().partition(" ")[2], s.key)]
        if not found:
            raise Unknown(_refusal("scenario", name, [s.short for s in known], [s.name for s in known]))
        wanted.add(found[0].name)
    return [s for s in known if not names or s.name in wanted]


def select(
    known: Sequence[Scenario], chosen: Sequence[Scenario], guards: Sequence[str], switches: Sequence[str], models: Sequence[str]
) -> list[tuple[Scenario, Case]]:
    """The cases of the chosen scenarios that fit; nothing given for one of the three means any."""
    everything = [case for scenario in known for case in scenario.cases]
    _must_exist("guard", guards, [case.guard for case in everything])
    _must_exist("switch", switches, [AS_IT_IS, *(case.switch for case in everything if case.switch)])
    _must_exist("model", models, MODELS)
    found = [
        (scenario, case)
        for scenario in chosen
        for case in scenario.cases
        if (not guards or case.guard in guards)
        and (not switches or (case.switch or AS_IT_IS) in switches)
        and (not models or case.model in models)
    ]
    if not found:
        asked = [f"{what} {' or '.join(n)}" for what, n in (("guard", guards), ("switch", switches), ("model", models)) if n]
        raise Unknown(
            f"{', '.join(s.short for s in chosen)} says nothing about {', '.join(asked)}; `hotswap lab show` has its cases."
        )
    return found


def _must_exist(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    there = list(dict.fromkeys(known))
    for name in names:
        if name not in there:
            raise Unknown(_refusal(what, name, there, there))


def _refusal(what: str, name: str, there: Sequence[str], near: Sequence[str]) -> str:
    """``near`` are the whole names; of ``there`` the words after a blank count too."""
    words = {part.lower(): whole for whole in near for part in (whole, *whole.split(" ", 1))}
    close = get_close_matches(name.lower(), list(words), 1, 0.5)
    guess = f" (did you mean {words[close[0]]}?)" if close else ""
    return f"there is no {what} {name!r}{guess}; there {'are' if len(there) != 1 else 'is'} {', '.join(there) or 'none yet'}."


# The lab itself


def scenarios() -> list[Scenario]:
    """All there are, in their order."""
    found = []
    for scenario in contract.scenarios().values():
        cases = tuple(Case(c.guard, c.switch, c.model, verdict) for c, verdict in scenario.expected().items())
        found.append(Scenario(scenario.key, scenario.name, scenario.question, scenario.source, scenario.text, cases))
    return found


def run(scenario: Scenario, case: Case, limits: Limits, progress: OnProgress) -> Row:
    """Searches one case. KeyboardInterrupt when that was stopped before anything was found."""
    bound = {None: -1, UNBOUNDED: None}.get(limits.preemptions, limits.preemptions)
    most = explore.Limits(limits.strategy, bound, limits.schedules, limits.seconds, limits.jobs or 0, limits.seed)

    def tell(now: explore.Progress) -> None:
        progress(Coverage(now.coverage.schedules, now.coverage.pruned, now.seconds, now.found))

    result = explore.explore(_case(scenario, case), most, tell)
    covered = result.coverage
    if result.stopped and not result.finding:
        raise KeyboardInterrupt
    return Row(
        scenario.name, case.guard, case.switch, case.model, case.expected, result.verdict, covered.complete, covered.bound,
        covered.schedules, round(result.seconds, 3), result.replay,
    )  # fmt: skip


def follow(scenario: Scenario, case: Case) -> tuple[str, Outcome]:
    """The scenario's drawing under one of its cases: why it cannot be followed to its end, "" if it can, and the run."""
    strategy = Drawn(scenario.drawing())
    outcome = contract.find(scenario.key).machine(_case(scenario, case)).run(strategy, record=True)
    return "" if strategy.problem is None else f"line {strategy.problem.line}: {strategy.problem.reason}", outcome


def drawn(scenario: Scenario) -> str:
    """Does it happen as it is drawn, in one of the cases where it is expected? "", or why not in the first of them."""
    reason = ""
    for case in scenario.cases:
        if case.expected == SOMETIMES:
            told = tell_followed(*follow(scenario, case))
            if told == AS_DRAWN:
                return ""
            reason = reason or f"{case.guard}{f' {case.switch}' if case.switch else ''}: {told}"
    return reason


def followed(scenario: Scenario, row: Row) -> str:
    """The same of a row's case."""
    return tell_followed(*follow(scenario, Case(row.guard, row.switch, row.model, row.expected)))


def tell_followed(problem: str, outcome: Outcome) -> str:
    """What came of following a drawing, in a few words."""
    if not outcome.finding:
        return problem or "nothing fails"
    return f"fails, but not as drawn: {problem}" if problem else AS_DRAWN


def replay(ident: str) -> tuple[str, Scenario, Outcome]:
    """The schedule of an id once more: what it is of, for a title; its scenario, and its outcome."""
    case, outcome = explore.replay(ident)
    scenario = next(s for s in scenarios() if s.key == case.scenario)
    switch = f", {case.switch}" if case.switch else ""
    return f"{scenario.name}, guard {case.guard}{switch}, model {case.model}", scenario, outcome


def _case(scenario: Scenario, case: Case) -> contract.Case:
    return contract.Case(scenario.key, case.guard, case.switch, case.model)
