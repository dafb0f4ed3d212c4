"""The seam of a stepping twin: what a step does once the scheduler lets it happen.

Words go through the memory model; locks, pages and files note what they touch and keep what they change (``watch``). Nothing here
waits: ``READY`` says when a step that may have to wait can be made, and the machine makes it only then. Naps, yields and waits with
a timeout end by themselves only when nobody else can go on (``machine``).
"""

from . import journal
from .atomics import WORD
from .findings import LockMisuse, UseAfterFree
from .kinds import Size
from .memory import NULL, freed, name_of, poison
from .mmu import FIRST
from .seam import Seam
from .watch import Watch, inside

FILES = -(1 << 60)  # places of files: FILES + (descriptor << 40) + block
DESCRIPTORS = 2  # the place of the list of faults that wait, and of other things of the kernel's
THREADS_PLACE = 3
FORBIDDEN = 1 << 62  # added to a page's address: whether it is forbidden
LOCKED, WAITERS = 1, 2


class Fault(Exception):
    """What an access of the program meets where its page is missing or protected."""

    def __init__(self, flags: int):
        self.flags = flags


def met(address, flags):
    raise Fault(flags)


class SteppingSeam(Seam):
    def __init__(self, watch: Watch, **constants):
        super().__init__(**constants)
        self.watch = watch
        self.undo = watch.journal.log.append
        self.read = watch.reads.append
        self.wrote = watch.writes.append
        self.model = watch.model
        self.made: dict[tuple, object] = {}  # tables of earlier schedules, to be used again by who makes the same
        self.handed: dict[int, int] = {}  # how many tables and ranges each CPU was given in this schedule
        self.freed_by: dict[int, tuple] = {}  # a table's place: who freed it, where
        self.frees: list[tuple[str, int]] = []  # of this schedule: where, and by which CPU
        self.where = lambda: ""  # the machine says where the running CPU is
        self.start_thread = self.start_nobody
        self.on_fault = met
        self.inline: frozenset[str] = frozenset()
        self.has_ended = lambda handle: True
        self.take_end = lambda handle: None
        self.setting_up = True

    def start_nobody(self, main, argument, name):
        """While the world is set up threads are not run: a scenario says which of them act."""
        return 1

    # Words

    def load(self, w):
        return self.model.load(self.current, w, False)

    def load_acquire(self, w):
        return self.model.load(self.current, w, True)

    def store(self, w, value):
        self.model.store(self.current, w, value & WORD, False)

    def store_release(self, w, value):
        self.model.store(self.current, w, value & WORD, True)

    def add(self, w, change):
        return self.model.rmw(self.current, w, lambda old: old + change & WORD, False, False) + change & WORD

    def add_acq_rel(self, w, change):
        return self.model.rmw(self.current, w, lambda old: old + change & WORD, True, True) + change & WORD

    def swap(self, w, value):
        return self.model.rmw(self.current, w, lambda old: value & WORD, True, True)

    def cas(self, w, old, new_value):
        old &= WORD
        return self.model.rmw(self.current, w, lambda now: new_value & WORD if now == old else None, True, True) == old

    def bump(self, w, change):
        self.store(w, self.load(w) + change)

    def fence(self):
        self.model.fence(self.current)

    def heavy(self):
        self.model.heavy(self.current)

    def acquire(self):
        self.model.acquire(self.current)
        self.watch.births.acquire(self.current)

    def light(self):
        self.model.light(self.current)

    # Bit locks and events: read-modify-writes of their words

    def bit_trylock(self, w):
        return not self.model.rmw(self.current, w, lambda old: None if old & LOCKED else old | LOCKED, True, True) & LOCKED

    def bit_lock(self, w):
        self.model.rmw(self.current, w, lambda old: old | LOCKED, True, True)

    def bit_lock_unless(self, w, stop):
        self.bit_lock(w)
        return True

    def bit_unlock(self, w, value):
        if not w.v & LOCKED:
            raise LockMisuse(f"bit_unlock of {name_of(w)}, which is not locked")
        self.model.rmw(self.current, w, lambda old: value & WORD & ~(LOCKED | WAITERS), False, True)

    def event_read(self, w):
        return self.model.load(self.current, w, True) & ~1

    def event_wake(self, w):
        self.model.rmw(self.current, w, lambda old: (old & ~1) + 2 & WORD, True, True)

    def event_wait(self, w, seen, timeout_us):
        """The kernel compares with the newest value; the engine's own look before it may be stale, and sleeps no more for that."""
        self.read(w.uid)
        if timeout_us >= 0 and w.v & ~1 == seen:
            self.clock += timeout_us * 1000
        else:
            self.model.take_over(self.current, w)

    # Locks

    def mutex_init(self, m):
        self.own(m, None)

    def own(self, m, owner):
        self.undo((setattr, m, "owner", m.owner))
        self.wrote(m.uid)
        m.owner = owner

    def mutex_lock(self, m):
        self.own(m, self.current)
        self.model.take_over(self.current, m)

    def mutex_unlock(self, m):
        if m.owner != self.current:
            raise LockMisuse(f"CPU {self.current} unlocks {name_of(m)}, held by {holder(m.owner)}")
        self.model.hand_over(self.current, m)
        self.own(m, None)

    def rwlock_init(self, lock):
        self.change(lock, [], None)

    def change(self, lock, readers, writer):
        self.undo((setattr, lock, "readers", lock.readers))
        self.undo((setattr, lock, "writer", lock.writer))
        lock.readers, lock.writer = readers, writer

    def read_lock(self, lock):
        if self.current in lock.readers:
            raise LockMisuse(
                f"CPU {self.current} reads under {name_of(lock)} and takes it once more: a writer that comes in between waits for it, and it for the writer"
            )
        self.read(lock.uid)
        self.change(lock, [*lock.readers, self.current], None)
        self.model.take_over(self.current, lock)

    def read_unlock(self, lock):
        if self.current not in lock.readers:
            raise LockMisuse(f"CPU {self.current} is no reader of {name_of(lock)}")
        self.read(lock.uid)
        readers = lock.readers.copy()
        readers.remove(self.current)
        self.model.hand_over(self.current, lock)
        self.change(lock, readers, lock.writer)

    def write_lock(self, lock):
        self.wrote(lock.uid)
        self.change(lock, [], self.current)
        self.model.take_over(self.current, lock)

    def write_unlock(self, lock):
        if lock.writer != self.current:
            raise LockMisuse(f"CPU {self.current} unlocks {name_of(lock)}, held by {holder(lock.writer)}")
        self.wrote(lock.uid)
        self.model.hand_over(self.current, lock)
        self.change(lock, [], None)

    # Threads and the clock

    def thread_start(self, main, argument, name):
        self.wrote(THREADS_PLACE)
        return self.start_thread(main, argument, bytes(name).decode())

    def thread_join(self, handle):
        """READY has seen that it has ended."""
        self.take_end(handle)

    def nap_us(self, us):
        self.clock += us * 1000

    def yield_cpu(self):
        pass

    def now_ns(self):
        return self.clock

    # Tables and memory

    def mine(self):
        """A number for the next thing this CPU is given: the same in every schedule where the CPU has done the same."""
        number = self.handed[self.current] = self.handed.get(self.current, 0) + 1
        return self.current, number

    def table(self, count, each):
        """One that an earlier schedule made at this place of this CPU is used again: its places keep their numbers."""
        key = () if self.setting_up else (*self.mine(), count, getattr(each, "kind", None) if isinstance(each, Size) else None)
        if key in self.made:
            if self.injected("table"):
                return NULL
            self.tables += 1
            return self.born(self.made[key])
        table = super().table(count, each)
        if table:
            table = self.watch.Table(table.kind, table.count)
        if key and table:
            self.made[key] = self.born(table)
        return table

    def born(self, table):
        self.undo((setattr, table, "birth", None))
        table.birth = self.watch.births.add(self.current, self.where())
        return table

    def table_free(self, table, poisoned):
        if freed(table):
            raise UseAfterFree(f"table_free of {object.__getattribute__(table, '_up')}")
        places = inside(table)
        self.watch.writes.extend(places)
        self.tables -= 1
        where = self.where()
        self.frees.append((where, self.current))
        poison(table, f"by CPU {self.current} {where}", self.undo)

    def freed(self):
        """The step after a free: nothing happens in it."""

    def next_range(self, bytes):
        if self.setting_up:
            return super().next_range(bytes)
        cpu, number = self.mine()
        return FIRST + (cpu + 1 << 41) + (number << 34)

    def page_at(self, place):
        self.read(place)
        return self.pages.get(place)

    def put_page(self, place, page):
        self.wrote(place)
        self.undo((journal.put_item, self.pages, place, journal.item(self.pages, place)))
        super().put_page(place, page)

    def is_forbidden(self, place):
        if self.forbidden:
            self.read(place + FORBIDDEN)
        return place in self.forbidden

    def forbid(self, place, forbidden):
        self.wrote(place + FORBIDDEN)
        super().forbid(place, forbidden)

    def mmu_next(self, fd, fault):
        self.wrote(DESCRIPTORS)
        return super().mmu_next(fd, fault)

    def mmu_wait(self, waiter, fd, fault):
        self.read(DESCRIPTORS)
        return self.mmu_next(fd, fault)

    def stopper_set(self, fd):
        self.wrote(DESCRIPTORS)
        super().stopper_set(fd)

    # The program: one try of an access, within a page

    def user_read(self, address, length):
        return self.tried(lambda: self.read_memory(address, length))

    def user_write(self, address, data):
        return self.tried(lambda: self.write_memory(address, data))

    def tried(self, access):
        """What the access gives, or the Fault that it meets: who makes it has that served and tries again."""
        try:
            return access()
        except Fault as fault:
            return fault

    # Files

    def blocks(self, fd, start, length):
        for block in range(start >> 12, start + length + 4095 >> 12):
            self.read(FILES + (fd << 40) + block)
        return super().blocks(fd, start, length)

    def put_blocks(self, fd, start, data):
        for block in range(start >> 12, start + len(data) + 4095 >> 12):
            self.wrote(FILES + (fd << 40) + block)
        self.undo((super().put_blocks, fd, start, super().blocks(fd, start, len(data))))
        super().put_blocks(fd, start, data)

    def close_fd(self, fd):
        self.wrote(DESCRIPTORS)
        self.undo((journal.put_item, self.files, fd, journal.item(self.files, fd)))
        super().close_fd(fd)


def holder(cpu):
    return "nobody" if cpu is None else f"CPU {cpu}"


# When a step that may have to wait can be made: (seam, operation) -> bool. Others can always be made.
READY = {
    "bit_lock": lambda seam, op: not op[1].v & LOCKED,
    "bit_lock_unless": lambda seam, op: not op[1].v & LOCKED,
    "event_wait": lambda seam, op: op[1].v & ~1 != op[2],
    "mutex_lock": lambda seam, op: op[1].owner is None,
    "read_lock": lambda seam, op: op[1].writer is None,
    "write_lock": lambda seam, op: op[1].writer is None and not op[1].readers,
    "mmu_wait": lambda seam, op: bool(seam.faults) or seam.waiters.get(op[1]) in seam.stopped,
    "thread_join": lambda seam, op: seam.has_ended(op[1]),
    "nap_us": lambda seam, op: False,
    "yield_cpu": lambda seam, op: False,
}
# Of those: what ends by itself, in time.
IN_TIME = {
    "nap_us": lambda op: True,
    "yield_cpu": lambda op: True,
    "event_wait": lambda op: op[3] >= 0,
}
