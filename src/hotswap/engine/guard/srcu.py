"""The design ``srcu``: sections that may sleep, a domain for each area (the patch's V2; seed 000).

Two counts for each area and thread, and an index that says which of the two whoever enters adds to. A grace period waits until
nobody is counted under the other index, turns the index over, and waits until nobody is counted under the old one: new users
count under the new index, so they cannot hold it up.

The wait before the turn is for a user who read the index and was late to count: it counts under an index that was turned away
meanwhile. The grace period after that one would look at the wrong count first, and miss it.

The user has compiler barriers (``light``), a grace period makes every thread run a full one (``heavy``) before it looks at
either count. Before the first look: whoever reads the new index has run its barrier since, and sees what the caller wrote.
Before the second: either a user's count is seen, or that user enters after its barrier and sees what the caller wrote.

Swapoff waits for users of its own area only. Lock order: a domain's lock is taken by swapon and swapoff, alone.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import areas
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import family_patience, forget_dead
from cython.cimports.libc.stdint import uint32_t

insides = cython.cast(cython.pointer(Inside), arch.table(arch.THREADS, cython.sizeof(Inside)))
domains = cython.cast(cython.pointer(Domain), arch.table(AREAS, cython.sizeof(Domain)))
if arch.founder():
    for _type in range(AREAS):
        arch.mutex_init(cython.address(domains[_type].one))
arch.barrier_setup()
arch.thread_slots()


def describe(guard):
    guard.enter = enter
    guard.exit = leave
    guard.publish = publish
    guard.retire = retire
    guard.may_sleep = True
    guard.new_objects = False


def enter(type):
    slot = arch.thread_slot_mine()
    if arch.rarely(slot < 0):
        return enter_first(type)
    place = cython.cast(uint32_t, 2 * type + arch.load(cython.address(domains[type].index)))
    insides[slot].mine[type] = place
    arch.bump(cython.address(insides[slot].count[place]), 1)
    arch.light()  # the count is out before anything is read inside; pairs with heavy() in synchronize_srcu()
    if arch.rarely(arch.load(cython.address(domains[type].valid)) == 0):
        return came_late(type)
    return cython.address(areas[type])


def enter_first(type):
    """enter() of a thread that has no number yet."""
    arch.check(arch.thread_slot() >= 0, b"no more than 1024 threads use swap areas at one time")
    return enter(type)


def came_late(type):
    """enter() on an area that is off."""
    leave(type)
    return cython.NULL


def leave(type):
    slot = arch.thread_slot_mine()
    arch.check(slot >= 0, b"who leaves has entered")
    word = cython.address(insides[slot].count[insides[slot].mine[type]])
    arch.store_release(word, arch.load(word) - 1)  # pairs with the acquire in total()
    arch.light()  # the count has fallen before "waiting" is read; pairs with heavy() in synchronize_srcu()
    if arch.rarely(arch.load(cython.address(domains[type].waiting)) != 0):
        arch.event_wake(cython.address(domains[type].left))


def publish(type, insert):
    synchronize_srcu(type)
    arch.store(cython.address(domains[type].valid), 1)
    if insert:
        insert(type)


def retire(type, detach):
    arch.store(cython.address(domains[type].valid), 0)
    synchronize_srcu(type)
    if detach:
        detach(type)


def synchronize_srcu(type):
    """May block. A grace period of one area: returns when every section on it that had begun before the call has ended."""
    domain = cython.address(domains[type])
    arch.mutex_lock(cython.address(domain.one))
    index = cython.cast(cython.int, arch.load(cython.address(domain.index)))
    arch.store(cython.address(domain.waiting), 1)
    arch.heavy()  # pairs with light() in enter() and in leave()
    wait_for_readers(type, 1 - index)
    arch.store(cython.address(domain.index), 1 - index)
    arch.heavy()  # pairs with light() in enter() and in leave()
    wait_for_readers(type, index)
    arch.store(cython.address(domain.waiting), 0)
    arch.mutex_unlock(cython.address(domain.one))


def wait_for_readers(type, index):
    """May block. Until nobody is counted under the index."""
    left = cython.address(domains[type].left)
    while True:
        seen = arch.event_read(left)
        if total(type, index) == 0:
            return
        arch.event_wait(left, seen, family_patience())
        forget_dead(forget)


def total(type, index):
    """Sections under an index. A thread leaves where it entered, so no count is negative and none is missed while others come."""
    sections: cython.long = 0
    for slot in range(arch.THREADS):
        sections += cython.cast(cython.long, arch.load_acquire(cython.address(insides[slot].count[2 * type + index])))
    return sections


def forget(process):
    """The threads of a process that has died are in no section any more."""
    for slot in range(arch.THREADS):
        if arch.thread_slot_owner(slot) == process:
            for place in range(2 * AREAS):
                arch.store(cython.address(insides[slot].count[place]), 0)
            arch.thread_slot_free(slot)
    for type in range(AREAS):
        arch.event_wake(cython.address(domains[type].left))
