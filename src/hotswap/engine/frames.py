"""Staging frames: memory of a space beside what it has mapped, in pieces as large as its folios (sizes.py).

Their number is fixed, and all are counted in the limit from the start, so taking one never needs anybody's permission.

READY and EMPTY are free (with or without pages in them), BUSY is a thread's own, READING and STANDBY are in the swap cache (cache.py).
A STANDBY frame is claimed (made BUSY) under ``frame_lock`` by whoever gets there first: a fault that wants its bytes or a thread that wants its
memory.

Frames and their lists are under ``frame_lock``, which is inside all other locks and not held over a transfer.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.cache import cache_remove
from cython.cimports.hotswap.engine.family import family
from cython.cimports.hotswap.engine.mm import FRAME_BUSY, FRAME_EMPTY, FRAME_READY, FRAME_STANDBY, NO_FRAME
from cython.cimports.libc.stdint import uint32_t, uint64_t


def frame_address(mm, frame):
    return mm.staging + (cython.cast(uint64_t, mm.frames[frame].page) << 12)


def frames_setup(mm):
    """All frames of all pools, one behind the other in the staging memory; first those that keep their pages."""
    page: uint32_t = 0
    number: cython.int = 0
    for place_of_pool in range(mm.pool_count):
        level: cython.int = mm.pool_count - 1 - place_of_pool
        pool = cython.address(mm.pools[level])
        pool.ready_head = NO_FRAME
        pool.empty_head = NO_FRAME
        pool.standby_head = NO_FRAME
        pool.standby_tail = NO_FRAME
        for place in range(pool.count):
            frame = cython.address(mm.frames[number])
            frame.level = level
            frame.page = page
            frame.holds = 0
            frame.state = FRAME_EMPTY
            frame.next = number + 1 if place + 1 < pool.count else NO_FRAME
            if place == 0:
                pool.empty_head = number
            page += cython.cast(uint32_t, 1) << pool.order
            number += 1


def pool_for(mm, order):
    """That with the smallest frames which hold a folio of that order."""
    level: cython.int = 0
    while mm.pools[level].order < order:
        level += 1
        arch.check(level < mm.levels, b"there are frames for the largest folio")
    return cython.address(mm.pools[level])


def frame_take(mm, empty, order):
    """A frame of one's own for a folio of that order: without pages when ``empty``, else preferably with; NO_FRAME when none is
    free or on standby."""
    return take_of(mm, pool_for(mm, order), empty)


def frame_take_to_read(mm, order):
    """The same, to be read into: preferably one whose pages are huge."""
    number: cython.int = NO_FRAME
    pool = pool_for(mm, order)
    if mm.pool_count > mm.levels and pool.order == mm.pools[mm.levels].order:
        number = take_of(mm, cython.address(mm.pools[mm.levels]), False)
    return number if number != NO_FRAME else take_of(mm, pool, False)


def frame_kept(mm, frame):
    return mm.pools[mm.frames[frame].level].kept


def take_of(mm, pool, empty):
    arch.mutex_lock(cython.address(mm.frame_lock))
    if mm.frames_cut:
        arch.mutex_unlock(cython.address(mm.frame_lock))
        return NO_FRAME
    number = pool.empty_head if empty else pool.ready_head
    if number == NO_FRAME:
        number = pool.ready_head if empty else pool.empty_head
        if not empty and pool.standby_head != NO_FRAME and not mm.frames[pool.standby_head].ahead:
            number = NO_FRAME  # pages that are there beat pages to be made, unless somebody is about to come for them
    if number == NO_FRAME:
        number = pool.standby_head
    state: cython.int = FRAME_EMPTY
    if number != NO_FRAME:
        state = mm.frames[number].state
        if state == FRAME_STANDBY:
            standby_unlink(mm, number)
        elif state == FRAME_EMPTY:
            pool.empty_head = mm.frames[number].next
        else:
            pool.ready_head = mm.frames[number].next
        mm.frames[number].state = FRAME_BUSY
    arch.mutex_unlock(cython.address(mm.frame_lock))
    if state == FRAME_STANDBY:
        cache_remove(mm, number)
    if empty and state != FRAME_EMPTY:
        arch.mmu_drop(frame_address(mm, number), cython.cast(uint64_t, 4096) << pool.order)
    return number


def frame_wait(mm, order):
    """May block. A frame to read into; those that are out come back when their transfers end. NO_FRAME, for an object only: somebody
    died who may have had them (shm_death.py)."""
    while True:
        seen = arch.event_read(cython.address(mm.relief))
        number = frame_take_to_read(mm, order)
        if number != NO_FRAME:
            return number
        if mm.shared and arch.load_acquire(cython.address(family.rest)) & 1:
            return NO_FRAME
        arch.event_wait(cython.address(mm.relief), seen, 10000)


def frame_put(mm, frame, state):
    """Gives a BUSY frame back as READY or EMPTY."""
    pool = cython.address(mm.pools[mm.frames[frame].level])
    arch.mutex_lock(cython.address(mm.frame_lock))
    arch.check(mm.frames[frame].state == FRAME_BUSY, b"a frame that is given back was its giver's own")
    mm.frames[frame].state = state
    if mm.frames_cut:
        pass
    elif state == FRAME_EMPTY:
        mm.frames[frame].next = pool.empty_head
        pool.empty_head = frame
    else:
        mm.frames[frame].next = pool.ready_head
        pool.ready_head = frame
    arch.mutex_unlock(cython.address(mm.frame_lock))
    arch.event_wake(cython.address(mm.relief))


def frame_moved(mm, frame, order):
    """Gives a frame back whose first pages, a folio's, were moved away; a larger one has pages left."""
    whole: cython.bint = order == mm.pools[mm.frames[frame].level].order
    frame_put(mm, frame, FRAME_EMPTY if whole else FRAME_READY)


def standby_unlink(mm, frame):
    record = cython.address(mm.frames[frame])
    pool = cython.address(mm.pools[record.level])
    if mm.frames_cut:
        return
    if record.prev != NO_FRAME:
        mm.frames[record.prev].next = record.next
    else:
        pool.standby_head = record.next
    if record.next != NO_FRAME:
        mm.frames[record.next].prev = record.prev
    else:
        pool.standby_tail = record.prev
