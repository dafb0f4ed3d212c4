"""Which step of a schedule happens before which, and which pairs race: vector clocks over the places that steps touch.

Two steps conflict when they touch one place and one of them writes it. A step happens before a later one when a chain of such pairs,
or of steps of one CPU, leads from it there. A later step *races* with an earlier one when they conflict, nothing else orders them, and
the later could have come first. It could not where the earlier one let it through: then there is an order but no race, or, for a
lock, a race with the step that took it. (A search that counts preemptions wants to know of those too: to wait costs none, so it may
have to come to a lock just before it is free.)

Reads of a place that nothing ever writes need no clocks and are most of all reads: they are looked up once the first write comes.
"""

from ..machine import BUFFERS
from ..memory import freed

CPUS = 8
WIDTH = 2 * CPUS
LOCKS = frozenset({"mutex_lock", "read_lock", "write_lock", "bit_lock"})
TRIES = frozenset({"bit_trylock"})
UNLOCKS = frozenset({"mutex_unlock", "read_unlock", "write_unlock", "bit_unlock"})
UNLOCKED = frozenset({"load", "load_acquire", "store", "store_release", "event_read"})  # need no empty store buffer
THROUGH = frozenset({"begin", "thread_join"})  # let through by what they follow, whatever it was
NOTHING: frozenset[int] = frozenset()


def column(actor: int) -> int:
    """The place of an actor in a vector clock."""
    return actor if actor < BUFFERS else actor - BUFFERS + CPUS


class Event:
    """A step that was made. ``clock[c]`` is one more than the depth of the last step of column c that happens before it."""

    __slots__ = ("actor", "before", "clock", "depth", "forced", "opener", "reads", "releases", "writes")

    def __init__(self, actor, depth, clock, reads, writes, forced=False):
        self.actor = actor
        self.depth = depth
        self.clock: list[int] = clock
        self.reads: set[int] = reads
        self.writes: set[int] = writes
        self.forced = forced  # made because nobody else could step: it comes after everything
        self.releases: int | None = None  # the place of the lock it lets go of
        self.opener: int | None = None  # the depth of the step that took that lock, or made the store that drains
        self.before: int | None = None  # of a wake: the event's word before it

    def conflicts(self, other: "Event") -> bool:
        return (
            self.forced
            or other.forced
            or not self.writes.isdisjoint(other.writes)
            or not self.writes.isdisjoint(other.reads)
            or not self.reads.isdisjoint(other.writes)
        )

    def joined(self, other: "Event") -> "Event":
        """What either touches: of one step that went different ways with different values."""
        return Event(
            self.actor, self.depth, self.clock, self.reads | other.reads, self.writes | other.writes, self.forced or other.forced
        )


class Order:
    """The happens-before order of the schedule under way, step by step; ``undo()`` takes the last ones back."""

    def __init__(self, waits_race: bool = False) -> None:
        self.waits_race = waits_race
        self.events: list[Event] = []
        self.changes: list[list[tuple]] = []  # by depth: (dictionary, key, value before)
        self.last_of: dict[int, int] = {}  # actor: depth
        self.last_write: dict[int, int] = {}  # place: depth
        self.last_reads: dict[int, dict[int, int]] = {}  # place: {actor: depth}, since the last write
        self.held: dict[tuple[int, int], int] = {}  # (place of a lock, actor): depth
        self.entered: dict[int, int] = {}  # what waits in a store buffer: depth
        self.written: set[int] = set()  # places that any schedule ever wrote

    def undo(self, depth: int) -> None:
        """Only the steps above ``depth`` have been made."""
        while len(self.events) > depth:
            self.events.pop()
            for table, key, before in reversed(self.changes.pop()):
                if before is None:
                    table.pop(key, None)
                else:
                    table[key] = before

    def add(self, machine, actor: int, depth: int) -> tuple[Event, list[int]]:
        """Notes the step that was just made; the depths of the steps that it races with."""
        watch = machine.watch
        reads, writes = set(watch.reads), set(watch.writes)
        changes: list[tuple] = []
        self.changes.append(changes)
        for place in writes - self.written:
            self.first_write(place)
        last = self.last_of.get(actor)
        clock = self.events[last].clock if last is not None else [0] * WIDTH
        event = Event(actor, depth, clock, reads, writes, machine.forced)
        kind, target = machine.op[0], machine.target
        races = self.joins(event, self.met(event, kind, target, machine, watch))
        event.clock = event.clock.copy()
        event.clock[column(actor)] = depth + 1
        self.events.append(event)

        def change(table, key, value):
            changes.append((table, key, table.get(key)))
            table[key] = value

        change(self.last_of, actor, depth)
        for place in writes:
            change(self.last_write, place, depth)
            if place in self.last_reads:
                change(self.last_reads, place, {})
        for place in reads & self.written:
            if place not in writes:
                change(self.last_reads, place, {**self.last_reads.get(place, {}), actor: depth})
        for key in watch.entered:
            change(self.entered, key, depth)
        if kind in LOCKS or (kind in TRIES and target in writes):
            change(self.held, (target, actor), depth)
        elif kind in UNLOCKS:
            event.releases = target
            event.opener = self.held.get((target, actor))
        elif watch.left:
            event.opener = self.entered.get(watch.left[-1])
        elif kind == "event_wake":
            event.before = machine.before
        return event, races

    def met(self, event: Event, kind: str, target: int, machine, watch) -> list[tuple[int, tuple[int, ...]]]:
        """The earlier steps that conflict with this one, each with the step it races with if it does; the call's own target first."""
        if event.forced:
            return [(depth, ()) for depth in self.last_of.values()]
        found: list[tuple[int, tuple[int, ...]]] = self.drained(event, kind)
        found += [(self.entered[key], ()) for key in watch.left if key in self.entered]
        places = (event.reads | event.writes) & self.written
        if target in places:
            for depth in self.touched(target, event):
                found.append((depth, self.rivals(depth, kind, target, machine)))
            places.discard(target)
        for place in places:
            for depth in self.touched(place, event):
                found.append((depth, (depth,)))
        return found

    def drained(self, event: Event, kind: str) -> list[tuple[int, tuple[int, ...]]]:
        """The drains that a step had to wait for: its own CPU's, unless it is a load or a store; everybody's for ``heavy``,
        which could have come before the stores instead."""
        if kind == "heavy":
            drains = [depth for actor, depth in self.last_of.items() if actor >= BUFFERS]
            return [(depth, () if (store := self.events[depth].opener) is None else (store,)) for depth in drains]
        buffer = self.last_of.get(event.actor + BUFFERS)
        return [] if buffer is None or kind in UNLOCKED else [(buffer, ())]

    def touched(self, place: int, event: Event) -> list[int]:
        """The last steps that conflict with ``event`` at a place."""
        depths = []
        if (write := self.last_write.get(place)) is not None:
            depths.append(write)
        if place in event.writes and (readers := self.last_reads.get(place)):
            depths += readers.values()
        return depths

    def rivals(self, depth: int, kind: str, target: int, machine) -> tuple[int, ...]:
        """Which steps the other order of a conflict at a call's target would have to come before."""
        earlier = self.events[depth]
        too = (depth,) if self.waits_race else ()
        if kind in LOCKS and earlier.releases == target:
            return too if earlier.opener is None else (earlier.opener, *too)
        if kind == "event_wait" and earlier.before is not None:
            return (depth,) if earlier.before & ~1 != machine.op[2] else too
        return too if kind in THROUGH else (depth,)

    def joins(self, event: Event, met: list[tuple[int, tuple[int, ...]]]) -> list[int]:
        """Puts what was met before the event; the races that remain, those with another one in between left out."""
        clock, races = event.clock, []
        for depth, rivals in met:
            earlier = self.events[depth]
            if earlier.actor == event.actor:
                continue
            races += [rival for rival in rivals if clock[column(self.events[rival].actor)] <= rival]
            if clock[column(earlier.actor)] <= depth:
                clock = list(map(max, clock, earlier.clock))
        event.clock = clock
        if len(races) > 1 and not self.waits_race:
            races = [one for one in set(races) if not any(self.before(one, other) for other in races if other != one)]
        return races

    def before(self, one: int, other: int) -> bool:
        return self.events[other].clock[column(self.events[one].actor)] > one

    def first_write(self, place: int) -> None:
        """Its reads in this schedule were not filed: now they are."""
        self.written.add(place)
        readers: dict[int, int] = {}
        for depth, event in enumerate(self.events):
            if place in event.reads:
                before = self.last_reads.get(place)
                readers = {**readers, event.actor: depth}
                self.changes[depth].append((self.last_reads, place, before))
                self.last_reads[place] = readers

    def initials(self, at: int, event: Event) -> list[int]:
        """Who can begin, at the state before the step ``at``, a way to ``event`` that leaves that step out."""
        events, avoid = self.events, column(self.events[at].actor)
        first: dict[int, int] = {}
        result = []
        for depth in range(at + 1, event.depth):
            other = events[depth]
            if other.clock[avoid] > at or (own := column(other.actor)) in first:
                continue
            if all(other.clock[c] <= d for c, d in first.items()):
                result.append(other.actor)
            first[own] = depth
        if column(event.actor) not in first and all(event.clock[c] <= d for c, d in first.items()):
            result.append(event.actor)
        return result

    def waiting(self, actor: int, op: tuple, depth: int) -> list[tuple[int, Event]]:
        """For who still waits for a lock at the end: races with those that hold it, as if it got it."""
        if op[0] not in LOCKS or freed(op[1]):
            return []
        place = op[1].uid
        last = self.last_of.get(actor)
        clock = self.events[last].clock.copy() if last is not None else [0] * WIDTH
        event = Event(actor, depth, clock, {place} if op[0] == "read_lock" else set(), {place} if op[0] != "read_lock" else set())
        found = []
        for at in self.touched(place, event):
            earlier = self.events[at]
            if earlier.actor != actor and earlier.releases is None and clock[column(earlier.actor)] <= at:
                found.append((at, event))
        return found
