"""All outcomes of a litmus test on a memory model: every order of steps, every choice of the model, everything it does by itself.

Brute force, by running the program again for each schedule. With ``prune`` orders of steps that commute, going by what the model
says its calls touch, are tried once (sleep sets, Godefroid 1996); finding the same outcomes then shows that the model says enough.
"""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from ..atomics import Word
from ..kinds import INTEGERS
from ..memory import Thing, take_places
from ..model.contract import EVERYTHING, Model
from ..sync import Mutex
from ..watch import Watch
from .program import Op, Program, every, running

BUFFERS = 32  # from here on actors are what the model does for CPU 0, 1, …
ReadState = tuple[list[dict[str, int]], dict[str, int]]  # registers by CPU, memory


class Field(Thing):
    """A struct of one plain field."""

    __slots__ = ("uid", "v")
    FIELDS = {"v": INTEGERS["uint64_t"]}

    def __init__(self, up=None):
        super().__init__(up)
        self.uid = take_places(2)
        self.v = 0


class Touched(NamedTuple):
    """What a step read and wrote of what others can see."""

    read: frozenset[int]
    written: frozenset[int]

    def commutes(self, other: "Touched") -> bool:
        return not (self.written & other.written or self.written & other.read or self.read & other.written)


class World:
    """One program on one model; ``begin()`` starts it afresh."""

    def __init__(self, program: Program, model: Callable[[Watch], Model]):
        self.program = program
        self.watch = Watch()
        self.model = model(self.watch)
        self.things: dict[str, Any] = {}
        for place in program.places():
            self.things[place] = Field(place) if place.startswith(".") else Word(place)
        for thread in program.threads:
            self.things.update({op.place: Mutex(op.place) for op in every(thread) if op.kind == "mutex_lock"})
        self.sections = take_places(len(program.threads))

    def begin(self) -> None:
        for entry in reversed(self.watch.journal.log):
            entry[0](*entry[1:])
        self.watch.journal.log.clear()
        for place, thing in self.things.items():
            if isinstance(thing, Mutex):
                thing.owner = None
            else:
                thing.v = self.program.start.get(place, 0)
        self.model.reset()
        self.registers: list[dict[str, int]] = [{} for _ in self.program.threads]
        self.inside = [False] * len(self.registers)
        self.cpus = [self.cpu(number) for number in range(len(self.registers))]
        self.next: list[tuple | None] = [next(cpu, None) for cpu in self.cpus]

    def cpu(self, number: int) -> Generator[tuple, int, None]:
        """The CPU's steps; a grace period is one for each CPU it waits for, and full barriers around them."""
        way = running(self.program.threads[number], self.registers[number])
        answer = None
        while True:
            try:
                step = way.send(answer) if answer is not None else next(way)
            except StopIteration:
                return
            if step[0].kind == "synchronize":
                yield Op("fence"), 0, 0
                for other in range(len(self.registers)):
                    if other != number:
                        yield Op("quiescent"), other, 0
                answer = yield Op("fence"), 0, 0
            else:
                answer = yield step

    def enabled(self) -> list[int]:
        return [n for n, step in enumerate(self.next) if step and self.ready(n, step)] + [
            BUFFERS + action.cpu for action in self.model.internal()
        ]

    def ready(self, cpu: int, step: tuple) -> bool:
        op = step[0]
        if op.kind == "mutex_lock" and self.things[op.place].owner is not None:
            return False
        if op.kind == "quiescent" and self.inside[step[1]]:
            return False
        if op.kind == "quiescent":
            return not self.model.must_wait(step[1], "fence")
        return not self.model.must_wait(cpu, op.kind)

    def step(self, actor: int) -> Touched:
        watch = self.watch
        watch.clear()
        if actor >= BUFFERS:
            self.model.perform(next(a for a in self.model.internal() if a.cpu == actor - BUFFERS))
        else:
            op, value, expected = self.next[actor] or (Op("none"), 0, 0)
            answer = self.make(actor, op, value, expected)
            try:
                self.next[actor] = self.cpus[actor].send(answer)
            except StopIteration:
                self.next[actor] = None
        return Touched(frozenset(watch.reads + watch.entered), frozenset(watch.writes + watch.left))

    def make(self, cpu: int, op: Op, value: int, expected: int) -> int:
        """One operation, as the seam would make it: what it read."""
        model: Model = self.model
        thing: Any = self.things.get(op.place)
        match op.kind:
            case "load" | "load_acquire":
                return model.load(cpu, thing, op.kind == "load_acquire")
            case "store" | "store_release":
                model.store(cpu, thing, value, op.kind == "store_release")
            case "add" | "add_acq_rel":
                return model.rmw(cpu, thing, lambda old: old + value, *[op.kind == "add_acq_rel"] * 2)
            case "swap" | "swap_acq_rel":
                return model.rmw(cpu, thing, lambda old: value, *[op.kind == "swap_acq_rel"] * 2)
            case "cas":
                return model.rmw(cpu, thing, lambda old: value if old == expected else None, True, True)
            case "fence" | "acquire" | "light" | "heavy":
                getattr(model, op.kind)(cpu)
            case "plain_load":
                self.watch.reads.append(thing.uid)
                return model.plain_load(cpu, thing, "v") if model.stale_fields else thing.v
            case "plain_store":
                self.watch.writes.append(thing.uid)
                model.plain_store(cpu, thing, "v", value)
                thing.v = value
            case "mutex_lock":
                self.watch.writes.append(thing.uid)
                thing.owner = cpu
                model.take_over(cpu, thing)
            case "mutex_unlock":
                self.watch.writes.append(thing.uid)
                model.hand_over(cpu, thing)
                thing.owner = None
            case "read_lock" | "read_unlock":
                self.watch.writes.append(self.sections + cpu)
                self.inside[cpu] = op.kind == "read_lock"
            case "quiescent":  # the CPU is outside every section, and runs a full barrier; its own accesses cannot pass that
                self.watch.reads.append(self.sections + value)
                self.watch.writes.append(EVERYTHING)
                model.fence(value)
            case _:
                raise ValueError(f"{op.kind} is nothing a litmus test does")
        return 0

    def end(self) -> ReadState:
        return self.registers, {place: thing.v for place, thing in self.things.items() if not isinstance(thing, Mutex)}


class Point:
    """A place in a schedule where one of several ways is taken; ``tried`` says what the steps taken from here touched."""

    def __init__(self, ways: list[int], asleep: dict[int, Touched]):
        self.ways = ways
        self.at = 0
        self.asleep = asleep
        self.touched: Touched | None = None  # of the way under way, over all values the model chose in it


def ends(program: Program, model: Callable[[Watch], Model], prune: bool = False) -> Generator[ReadState, None, None]:
    """The end of every schedule. With ``prune``, of enough schedules to see every end."""
    world = World(program, model)
    points: list[Point] = []

    def choose(n: int, label: str) -> int:
        if len(points) == here[0]:
            points.append(Point(list(range(n)), {}))
        here[0] += 1
        return points[here[0] - 1].at

    here = [0]
    world.model.choose = choose
    while True:
        here[0] = 0
        if _play(world, points, here, prune):
            yield world.end()
        while points and points[-1].at + 1 == len(points[-1].ways):
            points.pop()
        if not points:
            return
        last = points[-1]
        if last.touched:
            last.asleep[last.ways[last.at]] = last.touched
            last.touched = None
        last.at += 1


def _play(world: World, points: list[Point], here: list[int], prune: bool) -> bool:
    """Runs one schedule along ``points``, adding new ones; False if all that is left was seen elsewhere."""
    world.begin()
    asleep: dict[int, Touched] = {}
    while enabled := world.enabled():
        if len(points) == here[0]:
            ways = [actor for actor in enabled if actor not in asleep]
            if not ways:
                return False
            points.append(Point(ways, dict(asleep)))
        point = points[here[0]]
        here[0] += 1
        actor = point.ways[point.at]
        touched = world.step(actor)
        if prune:
            old = point.touched
            point.touched = Touched(old.read | touched.read, old.written | touched.written) if old else touched
            asleep = {other: what for other, what in point.asleep.items() if what.commutes(touched)}
    if any(world.next):
        raise RuntimeError(f"{world.program.name}: a schedule in which nobody can go on")
    return True
