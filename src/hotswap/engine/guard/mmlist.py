"""The design ``mmlist``: an mm's mmap lock over everything one does with an area (Linux 2.3.99, 2000; seed 001).

A user holds the mmap lock of its address space, as faults, unmap and exit do anyway, and looks whether the area is valid:
entering costs nothing else. Swapoff says that it is not and then visits all address spaces hand over hand: hold one, take its
mmap lock for writing, let go of it, hold the next. Whoever saw "valid" held one of these locks, and has let go of it. An
address space that is gone cannot be held, and has no entries left and no threads (R15); a new one joins at the tail, where
the walk still comes to it, or after the walk, and then sees "not valid" through the mmlist's lock (R14).

Who has an mm but not its lock says so (use_mm), and takes it for reading:

- readahead, for a window;
- reclaim in the background and for a new limit, for a round (a fault that has to make room holds the lock already);
- the threads that empty an area, for the folios they have in hand; and its sweeps through the swap cache.

That is the price: their transfers are made under the lock, and whoever maps or unmaps waits for them. It is the order of locks
too: mmap lock before entries. Who works for no address space (figures, counts from outside) takes a lock of this file's own,
as though for an mm at the list's end. In 2000 those who held no mm lock were kept away by the big kernel lock.

The lock alone does not keep new references away while the area is emptied: swap_alloc() and cache_reserve() refuse when the
area is not WRITEOK, under the lock under which swapoff clears it (R19, R20).

Sections may sleep. Swapoff waits for everybody's whole fault, unmap, round or window, whatever area it is about.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import areas
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.mm import MM_NIL, mm_at, mmlist_hold_next

valid = cython.cast(cython.pointer(arch.word), arch.table(AREAS, cython.sizeof(arch.word)))
nobodys = cython.cast(cython.pointer(arch.rwlock), arch.table(1, cython.sizeof(arch.rwlock)))
if arch.founder():
    arch.rwlock_init(cython.address(nobodys[0]))


def describe(guard):
    guard.enter = enter
    guard.exit = leave
    guard.publish = publish
    guard.retire = retire
    guard.use_mm = use_mm
    guard.unuse_mm = unuse_mm
    guard.may_sleep = True
    guard.new_objects = False


def enter(type):
    return cython.address(areas[type]) if arch.load(cython.address(valid[type])) else cython.NULL


def leave(type):
    pass


def publish(type, insert):
    visit_everyone()  # whoever takes an mm's lock from here on sees what was set up
    arch.store(cython.address(valid[type]), 1)
    if insert:
        insert(type)


def retire(type, detach):
    arch.store(cython.address(valid[type]), 0)
    visit_everyone()
    if detach:
        detach(type)


def use_mm(mm):
    """May block."""
    arch.read_lock(cython.address(nobodys[0]) if mm < 0 else cython.address(mm_at(mm).mmap_lock))
    return True


def unuse_mm(mm):
    arch.read_unlock(cython.address(nobodys[0]) if mm < 0 else cython.address(mm_at(mm).mmap_lock))


def visit_everyone():
    """May block. Takes every mm's lock once; what was written before is seen by whoever takes one afterwards."""
    index = mmlist_hold_next(MM_NIL)
    while index != MM_NIL:
        mm = mm_at(index)
        arch.write_lock(cython.address(mm.mmap_lock))
        arch.write_unlock(cython.address(mm.mmap_lock))
        index = mmlist_hold_next(index)
    arch.write_lock(cython.address(nobodys[0]))
    arch.write_unlock(cython.address(nobodys[0]))
