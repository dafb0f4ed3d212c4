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

The processes of a family visit each its own, when they are asked: an mmap lock is never waited for by another process, and goes with its own.

Sections may sleep. Swapoff waits for everybody's whole fault, unmap, round or window, whatever area it is about.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import areas
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import ENDS_US, MEMBERS, PATIENCE_US, family, family_dead, family_live, members, own
from cython.cimports.hotswap.engine.mm import MM_NIL, mm_at, mmlist, mmlist_hold_mine
from cython.cimports.libc.stdint import uint64_t

valid = cython.cast(cython.pointer(arch.word), arch.table(AREAS, cython.sizeof(arch.word)))
visits = cython.cast(cython.pointer(Visit), arch.table(MEMBERS, cython.sizeof(Visit)))
arch.rwlock_init(cython.address(nobodys.lock))


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
    arch.read_lock(cython.address(nobodys.lock) if mm < 0 else cython.address(mm_at(mm).mmap_lock))
    return True


def unuse_mm(mm):
    arch.read_unlock(cython.address(nobodys.lock) if mm < 0 else cython.address(mm_at(mm).mmap_lock))


def visit_everyone():
    """May block. Takes every mm's lock once; what was written before is seen by whoever takes one afterwards."""
    asked = cython.declare(uint64_t[MEMBERS])
    grown: cython.bint = family.grown
    if grown:
        arch.heavy()  # who is no member yet has no section: it sees what was written, as it is one before it begins any (process.py)
        for member in range(MEMBERS):
            asked[member] = 0
            if member != own.member and family_live(member):
                asked[member] = arch.add(cython.address(visits[member].wanted), 1)
                arch.event_wake(cython.address(members[member].call))
    visit_mine()
    if grown:
        for member in range(MEMBERS):
            if asked[member]:
                await_visit(member, asked[member])


def visit_mine():
    """May block. Nobody takes the lock of another process's address space: it could die with it."""
    again: cython.bint = True
    while again:
        mended = mmlist.mended
        index = mmlist_hold_mine(MM_NIL)
        while index != MM_NIL:
            mm = mm_at(index)
            arch.write_lock(cython.address(mm.mmap_lock))
            arch.write_unlock(cython.address(mm.mmap_lock))
            index = mmlist_hold_mine(index)
        again = mended != mmlist.mended
    arch.write_lock(cython.address(nobodys.lock))
    arch.write_unlock(cython.address(nobodys.lock))


def await_visit(member, asked):
    """May block. Until another member has visited its own, or is found to have died."""
    while family_live(member):
        seen = arch.event_read(cython.address(family.answer))
        if arch.load_acquire(cython.address(visits[member].done)) >= asked:
            return
        arch.event_wait(cython.address(family.answer), seen, PATIENCE_US)
        if family_dead(member):
            arch.nap_us(ENDS_US)
            arch.mutex_unlock(cython.address(members[member].alive))
            return


def visit_serve():
    """May block. In a service thread: visits if one was asked for."""
    mine = cython.address(visits[own.member])
    wanted = arch.load_acquire(cython.address(mine.wanted))
    if wanted != arch.load(cython.address(mine.done)):
        visit_mine()
        arch.store_release(cython.address(mine.done), wanted)
        arch.event_wake(cython.address(family.answer))


def visit_forked():
    """In a child of fork: what the member before it in its row was asked for is nothing to it."""
    mine = cython.address(visits[own.member])
    arch.store(cython.address(mine.done), arch.load(cython.address(mine.wanted)))
