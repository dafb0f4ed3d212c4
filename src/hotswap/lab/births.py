"""Tables that were made in a schedule, and who may know of them: one that is touched before it was published is a finding.

Whoever makes a table knows of it. What a CPU knows goes along with what it releases (a release store, an unlock, a wake-up, a thread it starts)
and comes to whoever acquires that (a load with acquire, or a load and an acquire after it; a lock, a wait, a join); a full barrier on
every CPU tells everybody. Who comes to a table another way, through a pointer that it happened to read, may find it half set up: under a
weak memory model it sees what it held before, under any it may be early. What releases and acquires is the model's: where it keeps loads in
order and stores in order (sc, tso), all of them do, so that a missing order is no finding where it does no harm. Compare Flanagan and Freund, "FastTrack" (PLDI 2009): this is
its happens-before, kept for tables as a whole.
"""

from collections import defaultdict

from .findings import NotPublished
from .memory import name_of

_BOTH = {"swap", "cas", "add_acq_rel", "event_wake"}
ACQUIRES = _BOTH | {
    "load_acquire",
    "event_read",
    "event_wait",
    "bit_lock",
    "bit_lock_unless",
    "bit_trylock",
    "mutex_lock",
    "read_lock",
    "write_lock",
}
IN_ORDER = frozenset({"load", "store", "add"})  # release and acquire, too, where a model reorders neither loads nor stores
RELEASES = _BOTH | {"store_release", "bit_unlock", "mutex_unlock", "read_unlock", "write_unlock"}


class Births:
    """Of one schedule. Costs nothing until the first table is made in it."""

    def __init__(self) -> None:
        self.in_order = False  # the model's
        self.made: list[tuple[int, str]] = []  # who made the table of this number, where
        self.public = 0  # tables below this number are known to everybody
        self.known: dict[int, set[int]] = defaultdict(set)  # by CPU: numbers of tables
        self.carried: dict[int, set[int]] = defaultdict(set)  # by place: what its last release brought along
        self.pending: dict[int, set[int]] = defaultdict(set)  # by CPU: brought by loads, for an acquire to come

    def clear(self) -> None:
        if self.made:
            self.made.clear()
            self.public = 0
            for kept in (self.known, self.carried, self.pending):
                kept.clear()

    def add(self, cpu: int, where: str) -> int:
        """A table is made: its number."""
        self.made.append((cpu, where))
        self.known[cpu].add(len(self.made) - 1)
        return len(self.made) - 1

    def touch(self, table, cpu: int) -> None:
        if table.birth >= self.public and table.birth not in self.known[cpu]:
            maker, where = self.made[table.birth]
            raise NotPublished(f"{name_of(table)}, which CPU {maker} made {where}, is not published to CPU {cpu}")

    def step(self, cpu: int, kind: str, place: int) -> None:
        """A step of the seam was made, at the place of its target."""
        in_order = self.in_order and kind in IN_ORDER
        if kind in ("load", "load_acquire"):
            self.pending[cpu] |= self.carried[place]
        if kind in ACQUIRES or in_order:
            self.known[cpu] |= self.carried[place]
        if kind in RELEASES or (in_order and kind != "load"):
            self.hand_over(cpu, place)
        elif kind == "store":
            self.carried.pop(place, None)
        elif kind in ("fence", "heavy"):
            self.acquire(cpu)
        if kind == "heavy":
            self.settle()

    def settle(self) -> None:
        """Everybody knows of everything: a barrier on every CPU, or the end, where all have been joined."""
        self.public = len(self.made)

    def hand_over(self, cpu: int, place: int) -> None:
        """Adds to what is there: a lock that several let go of, a read-modify-write that goes on with an earlier release."""
        self.carried[place] |= self.known[cpu]

    def take_over(self, cpu: int, place: int) -> None:
        self.known[cpu] |= self.carried[place]

    def acquire(self, cpu: int) -> None:
        self.known[cpu] |= self.pending[cpu]
