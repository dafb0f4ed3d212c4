"""A run as kernel mails draw a race: a column a CPU, calls indented as they are entered, the point of failure marked.

``build`` makes the drawing's rows once; ``text``, ``svg`` and ``html`` only render them. Of the steps those are shown that a
reader needs to do it again by hand, the others are a "…":

- the last of the CPU that failed, the last one of each other, and the last before and the first after each change of CPUs;
- those that waited, and those that freed something;
- accesses to one object by two CPUs, one right after the other, of which one at least writes (additions commute); where memory
  was touched that is gone, only those to parts of what was freed and of what the failing CPU used last;
- with an unlock its lock.
"""

import linecache
import re
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from ..findings import NullDereference, OutOfBounds, UseAfterFree

LAST = 3  # steps of the CPU that failed
MOST = 32  # steps that are shown; when there are more, conflicts from long before the end go first
READS = {"load", "load_acquire", "event_read", "user_read", "plain_load", "now_ns"}
COMMUTE = {"add", "add_acq_rel"}
WAITS = "waits"  # no step: from here on it cannot go on
DRAIN = "drain"  # done by the CPU's store buffer, wherever the CPU is by then
NOTHING = {"begin", "freed"}  # steps in which nothing happens: the start, and after a free, so that others may come there
FREES = {"table_free"}
UNLOCKS = {"mutex_unlock": "mutex_lock", "read_unlock": "read_lock", "write_unlock": "write_lock", "bit_unlock": "bit_"}


@dataclass(frozen=True)
class Row:
    """``kind``: "call" of a function, "step", "code" (a line of the source that failed), "gap". ``first`` to ``last`` are steps,
    counted from 1: those the row stands for."""

    kind: str
    cpu: int
    depth: int
    text: str
    first: int
    last: int
    note: str = ""  # what it waited for
    mark: str = ""  # what failed here


@dataclass(frozen=True)
class Stack:
    """Where a CPU was: ``calls`` outermost first."""

    cpu: int
    what: str
    calls: tuple[str, ...]

    def __str__(self):
        return f"CPU {self.cpu} {self.what} " + " > ".join(f"{name}()" for name in self.calls)


@dataclass(frozen=True)
class Diagram:
    title: str
    columns: dict[int, str]  # CPU: heading, left to right
    rows: tuple[Row, ...]
    failure: str  # "" when nothing failed
    stacks: tuple[Stack, ...]
    facts: tuple[str, ...]  # lines for below: how it was found, how it is repeated
    steps: tuple  # all of them


def build(outcome, title: str, actors: dict[int, str] | None = None, facts: Sequence[str] = ()) -> Diagram:
    """The drawing of a run: ``outcome`` has ``finding`` and ``steps`` (cpu, kind, target, details, stack, note)."""
    steps, finding = list(outcome.steps), outcome.finding
    cpus = sorted({step.cpu for step in steps} | set(actors or ()))
    columns = {cpu: f"CPU {cpu} ({actors[cpu]})" if actors and cpu in actors else f"CPU {cpu}" for cpu in cpus}
    failure = sentence(finding) if finding else ""
    place = _place_of_failure(finding)
    rows = _Rows(steps, shown(steps, finding)).rows()
    if finding and steps:
        _mark(rows, steps, failure, place)
    return Diagram(title, columns, tuple(rows), failure, _stacks(steps, finding, place), tuple(facts), tuple(steps))


def sentence(finding: BaseException) -> str:
    """``use after free: 'count' of areas[0], freed at swapon.py:88``; without the stack, which is drawn."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(finding).__name__).lower()
    said = str(finding)
    if getattr(finding, "stack", ()):
        said = said.rpartition("; CPU ")[0] or said
    return f"{kind}: {said}" if said else kind


def operation(step) -> str:
    """A step as the drawing says it: ``store(areas[0].flags, 1)``. Who waits stands before what its details name."""
    target = "" if step.target in (None, "None") else _number(step.target)
    if step.kind == WAITS:
        return f"{step.details[0]}({target})"
    if step.kind == "table_free":
        return f"{step.kind}({target or 'NULL'})"
    return f"{step.kind}({', '.join(filter(None, (target, *map(_number, step.details))))})"


def _number(value) -> str:
    return f"{value:#x}" if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 20 else str(value)


# Which steps are shown


def shown(steps: Sequence, finding: BaseException | None = None) -> list[int]:
    """Their places, in order."""
    needed: set[int] = set()
    useful: set[int] = set()
    real = [place for place, step in enumerate(steps) if step.kind not in NOTHING]
    needed |= set({steps[place].cpu: place for place in real}.values())
    if finding and real:
        own = [place for place in real if steps[place].cpu == steps[-1].cpu]
        needed |= set(own[-LAST:])
    matters = _matters(steps, needed, finding)
    before: dict[str, tuple[int, bool]] = {}  # target: the last access, and whether it wrote
    for at, place in enumerate(real):
        step = steps[place]
        if step.note or (step.kind in FREES and step.target):
            needed.add(place)
        if at and steps[real[at - 1]].cpu != step.cpu:
            needed |= {real[at - 1], place}
        if step.kind == WAITS or step.target in (None, "", "None") or not matters(step.target):
            continue
        writes = step.kind not in READS
        other, wrote = before.get(str(step.target), (place, False))
        if steps[other].cpu != step.cpu and (writes or wrote) and not {step.kind, steps[other].kind} <= COMMUTE:
            useful |= {other, place}
        before[str(step.target)] = (place, writes)
    room = max(0, MOST - len(needed))
    chosen = needed | set(sorted(useful - needed)[-room:] if room else ())
    chosen |= {lock for place in chosen for lock in _lock_of(steps, place)}
    return sorted(chosen)


def _matters(steps: Sequence, last: set[int], finding: BaseException | None):
    """Which objects a reader wants to see the conflicts of, by their names: ``areas[0].lock`` belongs to ``areas[0]``."""
    if not isinstance(finding, UseAfterFree | NullDereference | OutOfBounds):
        return lambda target: True
    of_interest = {str(step.target) for place, step in enumerate(steps) if place in last or step.kind in FREES}
    roots = {name.partition(".")[0] for name in of_interest if "." in name}
    return lambda target: not roots or str(target).partition(".")[0] in roots


def _lock_of(steps: Sequence, place: int) -> list[int]:
    """Where the lock was taken that a step lets go of; nothing for other steps."""
    end = steps[place]
    kind = UNLOCKS.get(end.kind)
    if not kind:
        return []
    own = (p for p in range(place - 1, -1, -1) if steps[p].cpu == end.cpu and str(steps[p].target) == str(end.target))
    return [p for p in own if steps[p].kind.startswith(kind) and steps[p].kind != end.kind][:1]


class _Rows:
    """Rows for the steps at ``places``; each CPU keeps its own stack of calls that are drawn."""

    def __init__(self, steps: Sequence, places: Sequence[int]):
        self.steps = steps
        self.places = places
        self.open: dict[int, tuple[str, ...]] = {}
        self.found: list[Row] = []

    def rows(self) -> list[Row]:
        wanted = set(self.places)
        hidden: dict[int, list[int]] = {}
        for place, step in enumerate(self.steps):
            if step.kind in NOTHING:
                continue
            if place not in wanted:
                hidden.setdefault(step.cpu, []).append(place)
                continue
            inside = self.open.get(step.cpu, ()) if step.kind == DRAIN else tuple(step.stack)
            self.gap(step.cpu, inside, hidden.pop(step.cpu, []))
            self.enter(step.cpu, inside, place)
            self.found.append(Row("step", step.cpu, len(inside), operation(step), place + 1, place + 1, note=_note(step.note)))
        return self.found

    def gap(self, cpu: int, outside: tuple[str, ...], hidden: list[int]) -> None:
        """The steps between, in the calls that they and the next shown one have in common."""
        if hidden:
            for place in hidden:
                if self.steps[place].kind != DRAIN:
                    outside = _common(outside, self.steps[place].stack)
            self.enter(cpu, outside, hidden[0])
            self.found.append(Row("gap", cpu, len(outside), "…", hidden[0] + 1, hidden[-1] + 1))

    def enter(self, cpu: int, stack: tuple[str, ...], place: int) -> None:
        """The calls that are not drawn yet."""
        already = len(_common(self.open.get(cpu, ()), stack))
        for depth in range(already, len(stack)):
            self.found.append(Row("call", cpu, depth, f"{stack[depth]}()", place + 1, place + 1))
        self.open[cpu] = stack


def _common(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    return tuple(one[:same])


def _note(note: str) -> str:
    return " ".join(str(note).split())


# The point of failure


@dataclass(frozen=True)
class _Place:
    """Where the engine was when it failed: also in functions that share nothing, which no step's stack has."""

    calls: tuple[str, ...]
    code: str  # the line of the source


def _place_of_failure(finding: BaseException | None) -> _Place | None:
    frames = [] if finding is None else traceback.extract_tb(finding.__traceback__)
    own = [frame for frame in frames if "/engine/" in frame.filename.replace("\\", "/")]
    if not own:
        return None
    code = linecache.getline(own[-1].filename, own[-1].lineno or 0).strip()
    return _Place(tuple(frame.name for frame in own), code)


def _mark(rows: list[Row], steps: Sequence, failure: str, place: _Place | None) -> None:
    """Puts the mark on the last step, or on a row of its own where the engine touched something after it, outside the seam."""
    last = steps[-1]
    number = len(steps)
    if place and place.code and not (place.calls == tuple(last.stack) and f"arch.{last.kind}(" in place.code):
        maker = _Rows(steps, [])
        maker.open[last.cpu] = tuple(last.stack)
        maker.enter(last.cpu, place.calls, number - 1)
        rows += maker.found
        rows.append(Row("code", last.cpu, len(place.calls), place.code, number, number, mark=failure))
    elif not rows or rows[-1].cpu != last.cpu:
        rows.append(Row("gap", last.cpu, 0, "…", number, number, mark=failure))
    else:
        row = rows[-1]
        rows[-1] = Row(row.kind, row.cpu, row.depth, row.text, row.first, row.last, row.note, failure)


def _stacks(steps: Sequence, finding: BaseException | None, place: _Place | None) -> tuple[Stack, ...]:
    """Whom a reader wants to look at: the CPU that failed, who freed what it touched, and who waited at the end."""
    if finding is None or not steps:
        return ()
    last = steps[-1]
    located = place or getattr(finding, "stack", ())  # not what is wrong at the end, or that nothing goes on
    found = [Stack(last.cpu, "failed in", place.calls if place else (*last.stack, last.kind))] if located else []
    freed = _freed_by(steps, finding)
    if freed:
        found.append(Stack(freed.cpu, "freed it in", (*freed.stack, freed.kind)))
    ends = {step.cpu: step for step in steps}
    for cpu, step in sorted(ends.items()):
        if (step is not last or not found) and step is not freed and step.note:
            found.append(
                Stack(cpu, _note(step.note) + ", in", (*step.stack, step.details[0] if step.kind == WAITS else step.kind))
            )
    return tuple(found)


def _freed_by(steps: Sequence, finding: BaseException):
    """The step that freed what the finding speaks of: the last that freed an object it names, or else the last that freed one.

    Behind NULL stood a table that another CPU freed, where one did.
    """
    freeing = [step for step in steps if step.kind in FREES]
    if isinstance(finding, UseAfterFree):
        named = [step for step in freeing if step.target and str(step.target) in str(finding)]
        return (named or freeing or [None])[-1]
    if isinstance(finding, NullDereference):
        return next((step for step in reversed(freeing) if step.cpu != steps[-1].cpu), None)
    return None
