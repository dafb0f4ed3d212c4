"""One schedule: the one that a scenario's drawing shows, as far as it can be followed."""

import sys
from collections.abc import Hashable, Sequence
from types import FrameType, GeneratorType
from typing import Any, NamedTuple

from ..drawing import Drawing
from ..findings import Livelock, WouldWaitForEver
from ..follow import CannotFollow, Follower
from ..machine import BUFFERS
from ..memory import Thing, name_of
from .contract import Strategy


class Op(NamedTuple):
    """A pending operation as a trace would say it."""

    kind: str
    target: str
    details: tuple


class Passed:
    """Notes which functions of the engine a step calls, plain ones too: those that share nothing are on no stack later."""

    def __init__(self) -> None:
        self.seen: set[FrameType] = set()  # generators are entered again at each step
        self.chains: list[list[tuple[str, Hashable]]] = []
        self.before: Any = None

    def start(self) -> None:
        self.chains.clear()
        self.before = sys.getprofile()
        sys.setprofile(self.note)

    def stop(self) -> None:
        if sys.getprofile() == self.note:
            sys.setprofile(self.before)

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or frame in self.seen or not _of_engine(frame.f_code.co_filename):
            return
        self.seen.add(frame)
        chain: list[tuple[str, Hashable]] = []
        outer: FrameType | None = frame
        while outer is not None:
            if _of_engine(outer.f_code.co_filename):
                chain.append((outer.f_code.co_name, outer))
            outer = outer.f_back
        self.chains.append(chain[::-1])


def _of_engine(file: str) -> bool:
    return "/engine/" in file


class Failed(NamedTuple):
    """Who failed, at what, where."""

    cpu: int
    kind: str
    stack: tuple[str, ...]


class MachineStage:
    """The stage of a machine; ``now`` are the actors that can step."""

    def __init__(self, machine: Any):
        self.machine = machine
        self.now: Sequence[int] = ()
        self.noted = Passed()

    def enabled(self) -> Sequence[int]:
        return [actor for actor in self.now if actor < BUFFERS]

    def pending(self, cpu: int) -> Op | None:
        ops = self.machine.ops
        if cpu >= len(ops):
            return Op("", "", ())  # a thread that was not started yet
        if ops[cpu] is None:
            return None
        kind, *rest = ops[cpu]
        if rest and isinstance(rest[0], Thing):
            return Op(kind, name_of(rest[0]), tuple(rest[1:]))
        return Op(kind, "", tuple(rest))

    def calls(self, cpu: int) -> Sequence[tuple[str, Hashable]]:
        generator = self.machine.generators[cpu] if cpu < len(self.machine.generators) else None
        found = []
        while isinstance(generator, GeneratorType):
            if _of_engine(generator.gi_code.co_filename):
                found.append((generator.gi_code.co_name, generator.gi_frame))
            generator = generator.gi_yieldfrom
        return found

    def passed(self) -> Sequence[Sequence[tuple[str, Hashable]]]:
        return self.noted.chains

    def waits_for(self, cpu: int) -> str:
        if cpu >= len(self.machine.ops):
            return f"there is no CPU {cpu} yet"
        return "" if cpu in self.now or self.machine.ops[cpu] is None else self.machine.waits(cpu)


class Drawn(Strategy):
    """``problem`` says why the drawing was not followed to its end, if it was not; from there
    on the run goes on without preemption. Stores are seen by everybody at once, except where the drawing delays them."""

    def __init__(self, drawing: Drawing):
        super().__init__()
        self.drawing = drawing
        self.problem: CannotFollow | None = None
        self.follower: Any = None  # until the run begins
        self.stage: Any = None

    def begin(self) -> bool:
        return self.follower is None

    def pick(self, machine: Any, enabled: Sequence[int]) -> int:
        if self.follower is None:
            self.stage = MachineStage(machine)
            self.follower = Follower(self.drawing, self.stage)
        self.stage.noted.stop()
        self.stage.now = enabled
        actor = self.chosen(enabled)
        if self.problem is None:
            self.stage.noted.start()
        return actor

    def chosen(self, enabled: Sequence[int]) -> int:
        drains = [actor for actor in enabled if actor >= BUFFERS]
        if drains and self.must_drain():
            return drains[0]
        wanted = self.follow()
        for actor in drains:
            if wanted is None or actor - BUFFERS not in self.follower.delayed:
                return actor
        return self.follower.choose() if self.problem is None else self.follower.go_on()

    def must_drain(self) -> bool:
        """Does the next line's CPU stand before something that waits for store buffers? Delayed stores come out then."""
        line = self.follower.advance() if self.problem is None else None
        machine = self.stage.machine
        if line is None or line.cpu >= len(machine.ops) or machine.ops[line.cpu] is None:
            return False
        return machine.model.must_wait(line.cpu, machine.ops[line.cpu][0])

    def follow(self) -> int | None:
        """Whose turn it is by the drawing."""
        if self.problem is None:
            try:
                return self.follower.follow()
            except CannotFollow as problem:
                self.problem = problem
        return None

    def value(self, machine: Any, n: int, label: str) -> int:
        """0 is the newest value, the last one the oldest. The label of a plain field begins with its name and a colon."""
        field = label.partition(":")[0] if ":" in label else ""
        return n - 1 if self.problem is None and self.follower and self.follower.wants_stale(field) else 0

    def ended(self, machine: Any, outcome: Any) -> None:
        super().ended(machine, outcome)
        if self.stage:
            self.stage.noted.stop()
        if self.problem is not None or self.follower is None:
            return
        found, failed = outcome.finding, None
        if found is None or isinstance(found, WouldWaitForEver):
            self.stage.now = ()
        elif found.stack and not isinstance(found, Livelock):
            op = machine.ops[found.cpu]
            failed = Failed(found.cpu, op[0] if op else "", tuple(name.partition(" ")[0] for name in found.stack))
        try:
            self.follower.end(found is not None, failed)
        except CannotFollow as problem:
            self.problem = problem
