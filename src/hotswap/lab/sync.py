"""The twin of sync.h: locks, events, threads and the clock, with nobody else to wait for.

Whoever cannot go on calls ``on_block`` and tries again when that returns.
"""

from .atomics import WORD
from .findings import LockMisuse
from .kinds import Opaque, Pointer
from .memory import Thing, name_of, take_places

IDLE_TURNS = 10_000  # naps and yields in a row, with no shared word changed but by locks: nothing will


class Mutex(Thing):
    __slots__ = ("owner", "uid")

    def __init__(self, up=None):
        super().__init__(up)
        self.uid = take_places(1)
        self.owner = None


class RwLock(Thing):
    __slots__ = ("readers", "uid", "writer")

    def __init__(self, up=None):
        super().__init__(up)
        self.uid = take_places(1)
        self.writer = None
        self.readers = []  # thread numbers


class Thread:
    """A thread that the engine started. It runs when it is joined, until a scheduler exists."""

    def __init__(self, main, argument, name):
        self.main = main
        self.argument = argument
        self.name = name
        self.finished = False


class Sync:
    """A part of the seam; the others give ``on_access``, ``on_block``, ``put``."""

    mutex = Opaque("arch.mutex", Mutex, 64)
    rwlock = Opaque("arch.rwlock", RwLock, 56)
    thread_main = Pointer("thread_main")
    mend_call = Pointer("mend_call")

    def __init__(self):
        super().__init__()
        self.current = 0
        self.clock = 0
        self.idle = 0
        self.threads: list[Thread] = []

    def now_ns(self):
        self.on_access("now_ns", None)
        return self.clock

    def nap_us(self, us):
        self.on_access("nap_us", None, us)
        self.clock += us * 1000
        self.idled("nap_us")

    def yield_cpu(self):
        self.on_access("yield_cpu", None)
        self.idled("yield_cpu")

    def idled(self, kind):
        self.idle += 1
        if self.idle > IDLE_TURNS:
            self.idle = 0
            self.on_block(kind, "the processor, over and over")

    def bit_trylock(self, w):
        self.on_access("bit_trylock", w)
        if w.v & self.LOCKED:
            return False
        w.v |= self.LOCKED
        return True

    def bit_lock(self, w):
        self.on_access("bit_lock", w)
        while w.v & self.LOCKED:
            w.v |= self.WAITERS
            self.on_block("bit_lock", w)
        w.v |= self.LOCKED

    def bit_lock_unless(self, w, stop):
        """Nobody dies here, so nobody is asked to give up."""
        self.on_access("bit_lock_unless", w, stop)
        while w.v & self.LOCKED:
            w.v |= self.WAITERS
            self.on_block("bit_lock_unless", w)
        w.v |= self.LOCKED
        return True

    def bit_unlock(self, w, value):
        self.on_access("bit_unlock", w, value)
        if not w.v & self.LOCKED:
            raise LockMisuse(f"bit_unlock of {name_of(w)}, which is not locked")
        w.v = value & WORD & ~(self.LOCKED | self.WAITERS)

    def event_read(self, w):
        self.on_access("event_read", w)
        return w.v & ~1

    def event_wake(self, w):
        self.on_access("event_wake", w)
        self.put(w, (w.v & ~1) + 2)

    def event_wait(self, w, seen, timeout_us):
        self.on_access("event_wait", w, seen, timeout_us)
        if w.v & ~1 != seen:
            return
        w.v |= 1  # somebody sleeps
        if timeout_us >= 0:
            self.clock += timeout_us * 1000
            self.idled("event_wait")
            return
        while w.v & ~1 == seen:
            self.on_block("event_wait", w)

    def mutex_init(self, m):
        m.owner = None

    def mutex_lock(self, m):
        self.on_access("mutex_lock", m)
        while m.owner is not None:
            self.on_block("mutex_lock", m)
        m.owner = self.current

    def mutex_unlock(self, m):
        self.on_access("mutex_unlock", m)
        if m.owner != self.current:
            raise LockMisuse(f"thread {self.current} unlocks {name_of(m)}, held by {m.owner}")
        m.owner = None

    def mutex_try(self, m):
        self.on_access("mutex_try", m)
        if m.owner is not None:
            return 0
        m.owner = self.current
        return 1

    def mend_known(self, mend):
        """Nobody dies here."""

    def mutex_mend(self, m, mend, argument):
        """Nor is anything put right."""

    def calm_enter(self):
        """Nobody forks the lab, so nobody wants rest."""

    calm_leave = calm_stop = calm_go = calm_begin = calm_enter

    def rwlock_init(self, lock):
        lock.writer = None
        lock.readers = []

    def read_lock(self, lock):
        self.on_access("read_lock", lock)
        if self.current in lock.readers:
            raise LockMisuse(
                f"thread {self.current} reads under {name_of(lock)} and takes it once more: a writer that comes in between waits for it, and it for the writer"
            )
        while lock.writer is not None:
            self.on_block("read_lock", lock)
        lock.readers.append(self.current)

    def read_unlock(self, lock):
        self.on_access("read_unlock", lock)
        if self.current not in lock.readers:
            raise LockMisuse(f"thread {self.current} is no reader of {name_of(lock)}")
        lock.readers.remove(self.current)

    def write_lock(self, lock):
        self.on_access("write_lock", lock)
        while lock.writer is not None or lock.readers:
            self.on_block("write_lock", lock)
        lock.writer = self.current

    def write_unlock(self, lock):
        self.on_access("write_unlock", lock)
        if lock.writer != self.current:
            raise LockMisuse(f"thread {self.current} unlocks {name_of(lock)}, held by {lock.writer}")
        lock.writer = None

    def thread_start(self, main, argument, name):
        self.on_access("thread_start", main, argument, name)
        self.threads.append(Thread(main, argument, bytes(name).decode()))
        return len(self.threads)

    def thread_unjoined(self):
        """Threads cost nothing here."""

    def thread_join(self, handle):
        self.on_access("thread_join", handle)
        thread = self.threads[handle - 1]
        if not thread.finished:
            caller, self.current = self.current, self.current + handle
            thread.main(thread.argument)
            self.current = caller
            thread.finished = True

    def thread_slot(self):
        return self.current if self.current < self.THREADS else -1

    thread_slot_mine = thread_slot

    def thread_slots(self):
        pass

    def thread_slot_owner(self, slot):
        return 1

    def thread_slot_free(self, slot):
        pass

    def rarely(self, condition):
        return condition
