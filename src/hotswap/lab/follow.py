"""Follows a drawing: chooses the CPU that its next line speaks of until that line has come true, then goes on to the next.

``Follower`` does it on anything that has a stage; ``strategy.drawn`` is that for the machine. After the last line what is left
runs without preemption. A line that cannot come true is a CannotFollow, which says why: under a design that keeps the
race away that sentence tells how it does so.

    drawing's line            true when, before the next step
    function()                it is on the CPU's stack, in a call that no line above has spoken of
    function() returns        that call is on the stack no longer
    operation(target)         the CPU's last step was that
    operation(target) next    it is the CPU's pending one
    ... waits                 the CPU cannot go on, and stands there

A call in which the CPU has no step may return (a design whose retire() does nothing), but nobody can be stopped inside it:
CannotFollow says so at the end of the CPU's way. Each line may take PATIENCE steps.
"""

import re
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from ..errors import HotswapError
from .drawing import PLAIN_LOAD, Drawing, Entry

PATIENCE = 20_000  # steps for one line
NO_FAILURE = "it goes well to the end"


class Stage(Protocol):
    """What a drawing looks at. CPUs are small numbers."""

    def enabled(self) -> Sequence[int]:
        """CPUs that can make a step now."""

    def pending(self, cpu: int) -> Any:
        """The operation (``kind``, ``target``, ``details``) that it stands before; None once it has ended."""

    def calls(self, cpu: int) -> Sequence[tuple[str, Hashable]]:
        """The functions it is in, outermost first, each with its frame (not its id, which may come again)."""

    def passed(self) -> Sequence[Sequence[tuple[str, Hashable]]]:
        """The calls that the last step made, each at the end of those it was made in."""

    def waits_for(self, cpu: int) -> str:
        """``CPU 1 waits for lock, held by CPU 0``, for readers; "" when it can go on."""


class CannotFollow(HotswapError):
    """The drawing says something that this run does not do. ``line`` is that of the docstring."""

    def __init__(self, drawing: Drawing, entry: Entry, why: str):
        self.line = entry.line
        self.why = why
        self.reason = f"{entry.text} {'does not fail' if why == NO_FAILURE else 'is not reached'}: {why}"
        super().__init__(f"scenario {drawing.scenario}, line {entry.line}, CPU {entry.cpu}: {self.reason}.")


class Follower:
    """One run along one drawing; ``done`` is how many lines have come true."""

    def __init__(self, drawing: Drawing, stage: Stage):
        self.drawing = drawing
        self.stage = stage
        self.done = 0
        self.steps = 0  # for the current line
        self.bound: dict[int, Hashable] = {}  # a line's place: the call it speaks of
        self.last: tuple[int, Any, list[tuple[str, Hashable]]] | None = None  # this line's last step: CPU, what, where
        self.running: int | None = None
        self.was_stale = False  # this line's last step read an older value
        self.next_was_stale = False  # and that is what the next line says
        self.delayed: set[int] = set()  # CPUs whose stores stay in their buffers

    def choose(self) -> int:
        """The CPU that makes the next step. There is one that can."""
        cpu = self.follow()
        if cpu is None:
            cpu = self.go_on()
        self.running = cpu
        self.last = (cpu, self.stage.pending(cpu), list(self.stage.calls(cpu)))
        self.steps += 1
        self.was_stale = self.next_was_stale = False
        return cpu

    def wants_stale(self, field: str = "") -> bool:
        """Is what is being read in the step under way to be an older value? Whoever asks gives one. ``field``: a plain one's name.

        A step is an operation and the plain code after it, so a field may be meant that the line after the step's own names.
        """
        left = self.drawing.entries[self.done : self.done + 2]
        if not left or not self.last or self.last[0] != left[0].cpu:
            return False
        if stale_field(left[0], field) and not self.was_stale:
            self.was_stale = True
            return True
        _, op, calls = self.last
        if left[0].function or not matches(left[0], op) or not self.inside(left[0], calls):
            return False
        if left[0].manner == "stale" and not field and not self.was_stale:
            self.was_stale = True
            return True
        if len(left) == 2 and left[1].cpu == left[0].cpu and stale_field(left[1], field) and not self.next_was_stale:
            self.next_was_stale = True
            return True
        return False

    def end(self, failed: bool, step: Any = None) -> None:
        """To be called when the run is over: CannotFollow when lines are left, or when it did not fail as it is marked.

        ``step`` is the one that failed: ``cpu``, ``kind``, ``stack``; None when it was nobody's in particular.
        """
        marked = self.drawing.failure
        if step:
            self.advance()  # nothing else will come true
        else:
            self.follow()
        if self.done < len(self.drawing.entries) - (marked is not None and marked.manner != "waits"):
            entry = self.drawing.entries[self.done]
            raise CannotFollow(self.drawing, entry, f"CPU {step.cpu} failed before it" if step else "the run is over")
        if marked and not failed:
            raise CannotFollow(self.drawing, marked, NO_FAILURE)
        if marked and step:
            place = f"CPU {step.cpu} failed in {' > '.join([*step.stack, step.kind])}"
            there = marked.name in step.stack if marked.function else marked.name == step.kind
            if step.cpu != marked.cpu or not there:
                raise CannotFollow(self.drawing, marked, place)

    def advance(self) -> Entry | None:
        """Passes lines that have come true. The one that is to come true next, None after the last."""
        enabled = self.stage.enabled()
        while self.done < len(self.drawing.entries):
            entry = self.drawing.entries[self.done]
            if self.is_end(entry) or not self.comes_true(entry, enabled):
                return entry
            if entry.manner == "delayed":
                self.delayed.add(entry.cpu)
            self.done += 1
            self.steps = 0
            self.last = None
            self.was_stale, self.next_was_stale = self.next_was_stale, False
        return None

    def follow(self) -> int | None:
        """Whose turn it is, None when the lines leave it open. CannotFollow where the next one cannot come true any more."""
        entry = self.advance()
        if entry is None:
            return None
        enabled = self.stage.enabled()
        if self.is_end(entry):
            return entry.cpu if entry.cpu in enabled else None
        if why := self.hopeless(entry, enabled):
            raise CannotFollow(self.drawing, entry, why)
        return entry.cpu

    def is_end(self, entry: Entry) -> bool:
        """Marked as the failure: there the CPU runs on."""
        return entry.failure is not None and entry.manner != "waits"

    def go_on(self) -> int:
        """Without preemption: who ran last, as long as it can."""
        enabled = self.stage.enabled()
        return self.running if self.running is not None and self.running in enabled else enabled[0]

    # Has a line come true?

    def comes_true(self, entry: Entry, enabled: Sequence[int]) -> bool:
        if entry.function:
            return self.function_true(entry, enabled)
        if entry.manner in ("next", "waits"):
            op = self.stage.pending(entry.cpu)
            there = op is not None and matches(entry, op) and self.inside(entry, self.stage.calls(entry.cpu))
            return there and (entry.manner == "next" or entry.cpu not in enabled)
        if entry.manner == "stale":
            return self.was_stale
        if not self.last or self.last[0] != entry.cpu:
            return False
        _, op, calls = self.last
        return matches(entry, op) and self.inside(entry, calls)

    def function_true(self, entry: Entry, enabled: Sequence[int]) -> bool:
        calls = self.stage.calls(entry.cpu)
        call = self.call_of(entry, calls)
        if call is None:
            return False
        self.bound[self.done] = call
        on_stack = any(call == other for _, other in calls)
        if entry.manner == "returns":
            return not on_stack
        waiting = entry.cpu not in enabled and self.stage.pending(entry.cpu) is not None
        return on_stack and (waiting or entry.manner != "waits")

    def call_of(self, entry: Entry, calls: Sequence[tuple[str, Hashable]]) -> Hashable | None:
        """The call that a line speaks of: that of a line above, with ``returns`` and ``waits``, or else a new one."""
        if self.done in self.bound:
            return self.bound[self.done]
        if entry.manner:
            for place in range(self.done - 1, -1, -1):
                other = self.drawing.entries[place]
                if (other.cpu, other.name, other.within) == (entry.cpu, entry.name, entry.within) and place in self.bound:
                    if other.manner == "returns":
                        break
                    return self.bound[place]
        known = set(self.bound.values())
        depth = self.depth(entry, calls)
        found = next((call for name, call in calls[depth:] if name == entry.name and call not in known), None)
        if found is None and entry.manner == "returns" and self.last and self.last[0] == entry.cpu:
            made = [chain for chain in self.stage.passed() if chain[-1][0] == entry.name and self.inside(entry, chain)]
            found = next((chain[-1][1] for chain in made if chain[-1][1] not in known), None)
        return found

    def depth(self, entry: Entry, calls: Sequence[tuple[str, Hashable]]) -> int:
        """How many calls of the stack are outside of what the line says; all of them when it is not inside its call."""
        if entry.within is None:
            return 0
        outer = self.bound.get(entry.within)
        return next((depth + 1 for depth, (_, call) in enumerate(calls) if call == outer), len(calls) + 1)

    def inside(self, entry: Entry, calls: Sequence[tuple[str, Hashable]]) -> bool:
        return self.depth(entry, calls) <= len(calls)

    # Why it never will

    def hopeless(self, entry: Entry, enabled: Sequence[int]) -> str:
        stage, cpu = self.stage, entry.cpu
        if stage.pending(cpu) is None:
            more = ", and did nothing shared in there" if entry.function else ""
            return f"CPU {cpu} has ended" + (", and never had an older value to read" if entry.manner == "stale" else more)
        if entry.within is not None and not self.inside(entry, stage.calls(cpu)):
            outer = self.drawing.entries[entry.within]
            if not (entry.manner == "returns" and self.done in self.bound):
                return f"{outer.name}() of line {outer.line} has returned"
        if cpu not in enabled:
            return stage.waits_for(cpu) or f"CPU {cpu} cannot go on"
        if self.steps >= PATIENCE:
            return f"CPU {cpu} has made {self.steps} steps, and goes on"
        return ""


def stale_field(entry: Entry, field: str) -> bool:
    """Does the line speak of this plain field?"""
    return entry.name == PLAIN_LOAD and field != "" and names(field, entry.target)


def matches(entry: Entry, op: Any) -> bool:
    """Is this operation the one that the line names?"""
    if entry.name != op.kind:
        return False
    if entry.target and not names(entry.target, str(op.target)):
        return False
    given = [str(value) for value in op.details]
    return not entry.values or list(entry.values) == given[: len(entry.values)]


def names(pattern: str, target: str) -> bool:
    """Does ``lock`` name ``areas[0].lock``? From any component on; where it gives no index any will do."""
    wanted, parts = pattern.split("."), target.split(".")
    return len(wanted) <= len(parts) and all(
        want in (have, re.sub(r"\[[^]]*\]", "", have)) for want, have in zip(wanted, parts[-len(wanted) :])
    )
