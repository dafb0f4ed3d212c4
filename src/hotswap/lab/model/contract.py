"""What a memory model offers to the seam and to the machine.

Values of all ``arch.word``s go through a model; ``word.v`` is the newest one in coherence order, and is what locks and waits
look at (the kernel's futexes do). A model changes it only by ``put()``, which keeps the old value for the rollback.

**What a step touched.** The machine reorders steps that conflict, so a model says what each of its calls reads and writes of what other
CPUs can see: ``read(word.uid)``, ``wrote(word.uid)``; ``put()`` says ``wrote`` by itself. A store that only goes into its own CPU's
buffer touches no word; ``entered(key)`` and ``left(key)`` with any number of the model's own tie it to its drain (the drain cannot come
first). Calls that touch what is no word (a global order of fences) use the keys below.

**Choices.** A load that may return one of several values calls ``choose(n, label)``; 0 should be the value that sequential consistency
gives, so that the first schedule is an ordinary one. What happens by itself (a buffer drains) is an action of ``internal()``: at
most one a CPU at a time, done by ``perform()``, scheduled like a step of an actor of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..watch import Watch, newest

EVERYTHING = 0  # a key that all memory accesses read in models other than sc: whoever writes it conflicts with all of them
FENCES = 1  # a key for the order of full barriers


class Action(NamedTuple):
    """Something a model may do by itself on behalf of a CPU."""

    cpu: int
    kind: str  # "drain"
    target: Any  # a word
    details: tuple = ()


class Model:
    """Sequential consistency's answers where a model does not say otherwise."""

    name = ""
    ordered = True  # no load is ever stale: fences need no scheduling and accesses need not conflict with ``heavy``
    in_order = True  # neither loads pass loads nor stores stores: each is an acquire or a release
    stale_fields = False  # plain loads of guarded structs are asked for, too
    acts = False  # internal() may have something to say

    def __init__(self, watch: Watch):
        self.watch = watch
        self.read: Callable[[int], None] = watch.reads.append
        self.wrote: Callable[[int], None] = watch.writes.append
        self.entered: Callable[[int], None] = watch.entered.append
        self.left: Callable[[int], None] = watch.left.append
        self.undo: Callable[[tuple], None] = watch.journal.log.append
        self.choose: Callable[[int, str], int] = lambda n, label: 0

    def put(self, word, value: int) -> None:
        """``word`` has a new newest value."""
        self.undo((_SET, word, word.v))
        self.wrote(word.uid)
        word.v = value

    def load(self, cpu: int, word, acquire: bool) -> int:
        raise NotImplementedError

    def store(self, cpu: int, word, value: int, release: bool) -> None:
        raise NotImplementedError

    def rmw(self, cpu: int, word, update: Callable[[int], int | None], acquire: bool, release: bool) -> int:
        """Atomically; the old value. ``update`` returns None for "no store" (a cas that fails)."""
        raise NotImplementedError

    def fence(self, cpu: int) -> None:
        """A full barrier."""

    def acquire(self, cpu: int) -> None:
        """Loads before it come before all accesses after it. Concerns no other CPU: no step."""

    def light(self, cpu: int) -> None:
        """A compiler's barrier: the other half of ``heavy``. No step."""

    def heavy(self, cpu: int) -> None:
        """A full barrier on every CPU."""

    def hand_over(self, cpu: int, thing) -> None:
        """What the CPU did comes before what the next ``take_over`` of the thing's CPU does (unlock, wake, start, page)."""

    def take_over(self, cpu: int, thing) -> None:
        """The other end of ``hand_over`` (lock, wait, join)."""

    def must_wait(self, cpu: int, kind: str) -> bool:
        """Must drains come before the CPU's call of that kind? Who reorders steps makes it only when they are done."""
        return False

    def internal(self) -> list[Action]:
        return []

    def perform(self, action: Action) -> None:
        raise NotImplementedError

    def plain_load(self, cpu: int, struct, field: str):
        """A field of a struct of a guarded kind, where ``stale_fields``."""
        return newest(struct, field)

    def plain_store(self, cpu: int, struct, field: str, value) -> None:
        """Told before the store: ``newest(struct, field)`` is still the old value. The caller keeps the newest."""

    def settle(self) -> None:
        """Everybody sees every store: set-up is over, or a schedule and somebody judges its end. No step."""

    def reset(self) -> None:
        """Back to the start of a schedule: every CPU has seen everything. Words are rolled back already."""


def _set(word, value):
    word.v = value


_SET = _set
