"""What a scenario's file has, and how it becomes a machine.

``rNN_what_against_what.py``: a docstring that asks the question in its first line, names the source (``Source: …``) and draws the CPU
columns (lab/drawing.py); then

    CONSTANTS = {...}           over world.SMALL, where it needs others
    BOUND = 2                   preemptions that its "never" is shown for (None: without a bound, all orders)
    BOUNDS = {"rcu": 1}         the same for some guards, where two cost too much
    EAGER = 0                   naps and timeouts that may end while others could go on (machine.py)
    EXPECT = {("none", ""): "sometimes", ("percpu_ref", ""): "never", ("percpu_ref", "a switch", "weak"): "sometimes"}
                                by guard, switch and memory model ("sc" where it is left out)
    def setup(world)            areas, spaces, what is out and what is in; keeps what it needs on ``world``
    def actors(world)           {name: function}, CPU 0 first; each function gives a generator of steps
    def check(world)            the end state, of a schedule in which nothing went wrong: raises a Finding. audit() comes anyway

A scenario whose CPUs share nothing, or one whose "sometimes" is not met, fails.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from ...errors import HotswapError
from ..machine import Actor, Machine
from ..world import World
from .switches import named

NEVER, SOMETIMES = "never", "sometimes"
SEVEN = ("percpu_ref", "mmlist", "stop_machine", "stop_machine_work", "rcu", "srcu", "rcu_pointer")  # all guards but none


def seven(switch: str = "", model: str = "sc") -> dict[tuple[str, ...], str]:
    """For EXPECT: never, under every guard that guards."""
    return {(guard, switch, model): NEVER for guard in SEVEN}


class NoSuchScenario(HotswapError):
    """A scenario or a case that does not exist."""


class BadScenario(HotswapError):
    """A scenario's file lacks something, or shows nothing."""


@dataclass(frozen=True)
class Case:
    """A scenario under one guard, with one fix left out ("": none), on one memory model."""

    scenario: str  # its file's name: "r01_readahead_vs_swapoff"
    guard: str
    switch: str
    model: str

    @property
    def short(self) -> str:
        return self.scenario.partition("_")[0]


class Scenario:
    """A scenario's file, read."""

    def __init__(self, module: ModuleType):
        self.module = module
        self.key = module.__name__.rpartition(".")[2]
        number, _, rest = self.key.partition("_")
        self.name = f"{number.upper()} {rest.replace('_', '-')}"
        self.text = module.__doc__ or ""
        lines = [line.strip() for line in self.text.splitlines()]
        self.question = lines[0] if lines else ""
        self.source = next((line.removeprefix("Source:").strip() for line in lines if line.startswith("Source:")), "")
        for what in ("EXPECT", "setup", "actors"):
            if not hasattr(module, what):
                raise BadScenario(f"scenario {self.name} has no {what}.")
        if not self.question.endswith("?") or not self.source:
            raise BadScenario(
                f"the docstring of scenario {self.name} does not ask a question in its first line, or names no source."
            )

    def bound(self, guard: str) -> int | None:
        return getattr(self.module, "BOUNDS", {}).get(guard, getattr(self.module, "BOUND", 2))

    def expected(self) -> dict[Case, str]:
        found = {}
        for key, verdict in self.module.EXPECT.items():
            guard, switch, model = (*key, "sc")[:3]
            if verdict not in (NEVER, SOMETIMES):
                raise BadScenario(f"scenario {self.name} expects {verdict!r} of guard {guard}; it is 'never' or 'sometimes'.")
            found[Case(self.key, guard, switch, model)] = verdict
        return found

    def world(self, case: Case) -> World:
        world = World(case.guard, case.model, named(case.switch), **getattr(self.module, "CONSTANTS", {}))
        self.module.setup(world)
        world.ready()
        return world

    def machine(self, case: Case) -> Machine:
        """Ready to run schedules of the case."""
        world = self.world(case)
        acting: dict[str, Any] = self.module.actors(world)
        actors = [Actor(name, function) for name, function in acting.items()]
        check = getattr(self.module, "check", lambda world: None)

        def at_the_end():
            world.audit()
            check(world)

        return Machine(world.twin, actors, at_the_end, getattr(self.module, "EAGER", 0))


@cache
def scenarios() -> dict[str, Scenario]:
    """All there are, by the names of their files."""
    package = importlib.import_module(__package__)
    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name[:1] == "r" and m.name[1:3].isdigit())
    return {name: Scenario(importlib.import_module(f"{__package__}.{name}")) for name in names}


def find(key: str) -> Scenario:
    """By the file's name or its beginning up to the first underscore ("r01")."""
    for name, scenario in scenarios().items():
        if key.lower() in (name, name.partition("_")[0]):
            return scenario
    raise NoSuchScenario(f"there is no scenario {key!r}; there are {', '.join(n.partition('_')[0] for n in scenarios())}.")
