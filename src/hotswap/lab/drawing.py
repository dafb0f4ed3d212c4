"""The drawing in a scenario's docstring, read: columns of CPUs as kernel mails draw a race.

    CPU 0 (exit)              CPU 1 (swapoff)
    ------------              ---------------
    swap_free()
      drop_one()
                              swapoff_main()
                                guard_retire() returns
                                table_free(map)
      mutex_unlock(lock)                                <- use after free: the area's lock

A drawing is a paragraph: it begins with the line of headers, a line of dashes under them follows, and it ends at the first
empty line. A docstring holds one. Time runs downwards, one entry a line; an entry belongs to the last column that begins at
its place or left of it. ``(exit)`` names the actor, for readers.

    function()              the CPU runs until it is inside that function, in a call that no line above speaks of
    function() returns      ... until it has left it: the call of the line above with that indentation, else a new one
    function() waits        ... until it can only wait for another CPU, inside that function
    operation(target)       ... until it has made that step: the operation of the seam on that object, and the plain code after
                            it up to the next operation; ``(target, value)`` says with what
    operation(target) next  ... until it stands right before it
    operation(target) waits ... until it stands before it and cannot go on
    load(target) stale      with a model that allows it: it reads an older value than the newest
    plain_load(field) stale likewise, of a plain field: the CPU runs until it does that in the code between its operations
    store(target) delayed   likewise: no other CPU sees it before the drawing's end, or before a barrier sends it out

Two more blanks: it happens inside the call above that is indented less, and not after that has returned. ``// text`` is for
readers. ``<- text`` marks the point of failure; that line is the last. There the CPU just runs on until it fails. Only there may
a function stand in which no CPU can be stopped, since nothing in it is a step that others notice.

A target is a field or a variable as a finding names it, from any of its components on: ``lock``, ``areas[0].lock``; without
an index it means any. Empty parentheses after a name that is both (``load``) mean the engine's function.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from ..errors import HotswapError
from . import declarations, twin
from .seam import PXD
from .stepping import IN_TWO, STEPS

OF_THE_PROGRAM = frozenset({"user_read", "user_write"})  # its accesses, which may fault: steps too
PLAIN_LOAD = "plain_load"
STOPS = STEPS | (IN_TWO - {"bump"}) | OF_THE_PROGRAM | {PLAIN_LOAD}  # a bump is a load and a store
MANNERS = {True: ("returns", "waits"), False: ("next", "waits", "stale", "delayed")}  # of functions, of operations
STEP = 2  # blanks

_HEADER = re.compile(r"CPU (\d+)(?: \(([^()]+)\))?")
_ENTRY = re.compile(r"(\w+)\(([^()]*)\)(?: (\w+))?")


class BadDrawing(HotswapError):
    """A drawing that says nothing, or something else than its reader would think. The sentence names scenario and line."""


@dataclass(frozen=True)
class Entry:
    """One line. ``within`` is the place in ``Drawing.entries`` of the call that it is inside of."""

    line: int  # of the docstring
    cpu: int
    indent: int  # blanks, in its column
    name: str
    function: bool  # else an operation of the seam
    target: str = ""
    values: tuple[str, ...] = ()
    manner: str = ""
    within: int | None = None
    failure: str | None = None
    remark: str = ""

    @property
    def text(self) -> str:
        inside = ", ".join(filter(None, (self.target, *self.values)))
        return f"{self.name}({inside}){' ' * bool(self.manner)}{self.manner}"


@dataclass(frozen=True)
class Drawing:
    scenario: str
    cpus: tuple[int, ...]  # left to right
    actors: dict[int, str]  # what a header says in parentheses
    entries: tuple[Entry, ...]
    text: str

    @property
    def failure(self) -> Entry | None:
        """The line that is marked, if one is."""
        last = self.entries[-1]
        return last if last.failure is not None else None


def parse(scenario: str, docstring: str) -> Drawing:
    """The one drawing of a docstring, whose first line counts as line 1. BadDrawing when there is none, or it is not right."""
    lines = docstring.splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip() and not _HEADER.sub("", line).strip()]
    if len(starts) != 1:
        found = "no drawing" if not starts else f"{len(starts)} drawings (lines {', '.join(str(n + 1) for n in starts)})"
        raise BadDrawing(f"scenario {scenario} has {found} in its docstring; one begins with a line like 'CPU 0      CPU 1'.")
    start = starts[0]
    end = next((n for n in range(start, len(lines)) if not lines[n].strip()), len(lines))
    return _Parser(scenario, lines, start, end).drawing()


class _Parser:
    def __init__(self, scenario: str, lines: list[str], start: int, end: int):
        self.scenario = scenario
        self.lines = lines
        self.start = start
        self.end = end
        self.columns: list[tuple[int, int]] = []  # place, CPU
        self.entries: list[Entry] = []

    def refuse(self, number: int, why: str) -> BadDrawing:
        return BadDrawing(f"scenario {self.scenario}, line {number + 1}: {why}.")

    def drawing(self) -> Drawing:
        actors = self.headers()
        for number in range(self.start + 2, self.end):
            self.entry(number, self.lines[number])
        if not self.entries:
            raise self.refuse(self.start, "the drawing has no entries")
        margin = self.columns[0][0]
        text = "\n".join(line[margin:].rstrip() for line in self.lines[self.start : self.end])
        return Drawing(self.scenario, tuple(cpu for _, cpu in self.columns), actors, tuple(self.entries), text)

    def headers(self) -> dict[int, str]:
        found = list(_HEADER.finditer(self.lines[self.start]))
        actors = {}
        for match in found:
            cpu = int(match[1])
            if cpu in [other for _, other in self.columns]:
                raise self.refuse(self.start, f"CPU {cpu} has two columns")
            self.columns.append((match.start(), cpu))
            if match[2]:
                actors[cpu] = match[2]
        under = self.lines[self.start + 1] if self.start + 1 < self.end else ""
        dashes = [match.start() for match in re.finditer(r"--+", under)]
        if under.strip("- ") or dashes != [place for place, _ in self.columns]:
            raise self.refuse(self.start + 1, "a row of dashes belongs under each header")
        return actors

    def entry(self, number: int, line: str) -> None:
        if "\t" in line:
            raise self.refuse(number, "columns are counted in blanks; a tab is none")
        if self.entries and self.entries[-1].failure is not None:
            raise self.refuse(number, "nothing can follow the line that is marked as the failure")
        line, _, failure = line.partition("<-")
        what, _, remark = line.partition("//")
        place = len(what) - len(what.lstrip())
        what = what.strip()
        match = _ENTRY.fullmatch(what)
        if not match:
            several = len(re.findall(r"\w+\(", what)) > 1
            why = "two entries stand on one line, so it does not say which comes first" if several else f"{what!r} is no entry"
            raise self.refuse(number, why)
        if place < self.columns[0][0]:
            raise self.refuse(number, f"{what!r} stands left of all columns")
        column, cpu = max(c for c in self.columns if c[0] <= place)
        name, manner = match[1], match[3] or ""
        target, *values = [part.strip() for part in match[2].split(",")]
        function = self.is_function(number, name, bool(target))
        if manner and manner not in MANNERS[function]:
            raise self.refuse(number, f"{manner!r} after {name}() means nothing; {_choice(MANNERS[function])} does")
        if name == PLAIN_LOAD and (not target or manner != "stale"):
            raise self.refuse(number, f"only {name}(field) stale says anything: fields are read between operations")
        if target and not function:
            self.check_target(number, target)
        marked = failure.lstrip("-").strip() if "<-" in self.lines[number] else None
        if marked == "":
            raise self.refuse(number, "the mark <- does not say what fails")
        if marked is None and name not in (stepping_names() if function else STOPS):
            raise self.refuse(number, f"no other CPU notices anything of {name}(), so none can be stopped there")
        within = self.within(number, cpu, place - column)
        self.entries.append(
            Entry(number + 1, cpu, place - column, name, function, target, tuple(values), manner, within, marked, remark.strip())
        )

    def is_function(self, number: int, name: str, has_target: bool) -> bool:
        functions, operations = engine_functions(), seam_operations()
        if name in functions and (not has_target or name not in operations):
            if has_target:
                raise self.refuse(number, f"{name}() is a function of the engine; its parentheses stay empty")
            return True
        if name in operations:
            return False
        what, known = ("an operation of the seam", operations) if has_target else ("a function of the engine", functions)
        raise self.refuse(number, f"{name}() is not {what}{nearest(name, known | operations)}")

    def check_target(self, number: int, target: str) -> None:
        last = re.sub(r"\[[^]]*\]", "", target).rpartition(".")[2]
        if not last.isidentifier():
            if not re.fullmatch(r"0x[0-9a-f]+|\d+", last):
                raise self.refuse(number, f"{target!r} names no object")
        elif last not in object_names():
            raise self.refuse(number, f"the engine has no field or variable {last}{nearest(last, object_names())}")

    def within(self, number: int, cpu: int, indent: int) -> int | None:
        """The call that an indented entry is inside of: the last one above, in its column, that is indented less."""
        above = [(place, entry) for place, entry in enumerate(self.entries) if entry.cpu == cpu]
        outer = next(((place, entry) for place, entry in reversed(above) if entry.indent < indent), None)
        if indent and not outer:
            raise self.refuse(number, f"it is indented, and nothing of CPU {cpu} is above it")
        if not outer:
            return None
        place, entry = outer
        if indent - entry.indent != STEP:
            raise self.refuse(number, f"each level is {STEP} blanks; this is {indent - entry.indent} under {entry.text}")
        if not entry.function or entry.manner == "returns":
            raise self.refuse(number, f"it is indented under {entry.text}, inside of which nothing can happen")
        return place


def nearest(name: str, known) -> str:
    """`` (did you mean x?)``, to go on a sentence; nothing when nothing is near."""
    close = get_close_matches(name, sorted(known), 1, 0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def _choice(words: tuple[str, ...]) -> str:
    return " or ".join(", ".join(map(repr, part)) for part in (words[:-1], words[-1:]))


def _declared():
    for path in sorted(declarations.ENGINE.rglob("*.pxd")):
        module = ".".join(path.relative_to(declarations.ROOT).with_suffix("").parts)
        yield declarations.of_module(module.removesuffix(".__init__"))


@cache
def engine_functions() -> frozenset[str]:
    return frozenset(name for found in _declared() for name in found.functions)


@cache
def stepping_names() -> frozenset[str]:
    """Those in which a CPU can be stopped, since they reach a step of the seam."""
    return frozenset(name for _, name in twin.load([], stepping=True).stepping)


@cache
def seam_operations() -> frozenset[str]:
    """All of them; ``STOPS`` are those that others notice."""
    return frozenset(declarations.of_module(PXD).functions) | OF_THE_PROGRAM | {PLAIN_LOAD}


@cache
def object_names() -> frozenset[str]:
    """Fields and variables, as they end the names of objects."""
    names = {name for found in _declared() for name in found.variables}
    return frozenset(names | {field for found in _declared() for fields in found.structs.values() for field in fields})
