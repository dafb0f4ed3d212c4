"""The swap cache: frames (frames.py) that hold a slot's bytes without being mapped.

What is read ahead waits in one until somebody faults on it; what was written out stays in one until the frame is wanted for something else, so that a
folio that was evicted too early comes back without a read. Both are found by entry, in the area's index; their slots carry HAS_CACHE and are not
reused. A frame is READING over a transfer, then STANDBY.

Lock order: an area's ``lock``, then ``frame_lock``. Neither is held over a transfer.

What protects an area's index: a section of the guard and in it the area's lock. cache_reserve(), cache_add(), cache_take(),
cache_shed(), cache_forget() and cache_remove() enter by themselves, before HAS_CACHE is cleared and until after the last look (R02, R12); the index_*()
functions are told the area by one who is inside. A frame in the cache pins its slots, and so the area, until somebody has claimed it.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import SWP_WRITEOK, Area
from cython.cimports.hotswap.engine.entry import entry_offset, entry_type
from cython.cimports.hotswap.engine.family import NO_MEMBER, members, own
from cython.cimports.hotswap.engine.frames import frame_put, standby_unlink
from cython.cimports.hotswap.engine.guard.contract import guard, guard_unuse_mm, guard_use_mm
from cython.cimports.hotswap.engine.index import HANDLE_SHIFT, index_add, index_find, index_remove
from cython.cimports.hotswap.engine.mm import (
    FRAME_BUSY,
    FRAME_READING,
    FRAME_READY,
    FRAME_STANDBY,
    MM_NIL,
    NO_FRAME,
    mm_at,
    mmlist_hold_mine,
)
from cython.cimports.hotswap.engine.swap_map import cache_flag_clear, cache_flag_set, cached_only, cached_slots
from cython.cimports.libc.errno import EBUSY, ENOENT
from cython.cimports.libc.stdint import uint32_t


def cache_reserve(mm, entry, slots, frame):
    """A BUSY frame enters the cache for a transfer of the entry's slots ahead of their reader: READING. 0, -EEXIST or -ENOENT. -EBUSY: the area is
    being emptied, and its slots get no new users (R19); looked at under the lock under which swapoff says so.

    Guard and lock: its own; the entry may be a stale one.
    """
    type = entry_type(entry)
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        return -ENOENT
    result: cython.int = -EBUSY
    arch.mutex_lock(cython.address(area.lock))
    if arch.load(cython.address(area.flags)) & SWP_WRITEOK:
        result = cache_flag_set(area, entry_offset(entry), slots)
    if result == 0:
        mm.frames[frame].entry = entry
        mm.frames[frame].slots = slots
        mm.frames[frame].ahead = True
        index_add(area, mm, frame)
        arch.mutex_lock(cython.address(mm.frame_lock))
        mm.frames[frame].state = FRAME_READING
        arch.mutex_unlock(cython.address(mm.frame_lock))
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return result


def cache_add(mm, entry, slots, frame):
    """A BUSY frame with the bytes that were just written to slots which carry HAS_CACHE since they were taken: STANDBY.
    Guard and lock: its own; the slots, which are the caller's, keep the area on until then."""
    type = entry_type(entry)
    area: cython.pointer(Area) = guard.enter(type)
    arch.check(area != cython.NULL, b"slots that are taken keep their area on")
    arch.mutex_lock(cython.address(area.lock))
    mm.frames[frame].entry = entry
    mm.frames[frame].slots = slots
    mm.frames[frame].ahead = False
    index_add(area, mm, frame)
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    cache_settle(mm, frame, True)


def cache_settle(mm, frame, keep):
    """The transfer is over: STANDBY, or out of the cache when it failed or is not wanted."""
    arch.mutex_lock(cython.address(mm.frame_lock))
    record = cython.address(mm.frames[frame])
    if keep:
        record.state = FRAME_STANDBY
    if keep and not mm.frames_cut:
        pool = cython.address(mm.pools[record.level])
        record.next = NO_FRAME
        record.prev = pool.standby_tail
        if pool.standby_tail != NO_FRAME:
            mm.frames[pool.standby_tail].next = frame
        else:
            pool.standby_head = frame
        pool.standby_tail = frame
    if not keep:
        record.state = FRAME_BUSY
    arch.mutex_unlock(cython.address(mm.frame_lock))
    if keep:
        arch.event_wake(cython.address(mm.relief))
    else:
        cache_remove(mm, frame)
        frame_put(mm, frame, FRAME_READY)


def cache_take(mm, entry, slots):
    """The frame that holds the entry's slots, out of the cache and one's own; CACHE_MISS; CACHE_BUSY while it is read or goes away.

    The caller's entry keeps the slots, so the frame's bytes are the ones it wants. One that holds more or less than they, from when
    the folio had another size, is left to age: the slots have the bytes too. Guard and lock: its own.
    """
    type = entry_type(entry)
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        return CACHE_MISS
    result: cython.int = CACHE_MISS
    arch.mutex_lock(cython.address(area.lock))
    handle = index_find(area, entry)
    if handle:
        result = CACHE_BUSY
        frame: cython.int = handle & ((1 << HANDLE_SHIFT) - 1)
        # Another address space's frame can hold a shared slot. It is not ours to move, and not waited for: its slots hold the
        # same bytes, also while it is read, and the fault reads them for itself.
        if (handle >> HANDLE_SHIFT) - 1 != cython.cast(uint32_t, mm.index) or mm.frames[frame].slots != slots:
            result = CACHE_MISS
        elif standby_claim(mm, frame):
            result = frame
            index_remove(area, mm, frame)
            cache_flag_clear(area, entry_offset(entry), mm.frames[frame].slots)
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return result


def cache_has(mm, entry, slots, left):
    """Does a frame hold the entry's slots, or is about to, as they were read ahead, or, with ``left``, as they left? A hint. Guard and
    lock: its own."""
    type = entry_type(entry)
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        return False
    arch.mutex_lock(cython.address(area.lock))
    handle = index_find(area, entry)
    held: cython.bint = handle != 0 and (handle >> HANDLE_SHIFT) - 1 == cython.cast(uint32_t, mm.index)
    frame = handle & ((1 << HANDLE_SHIFT) - 1)
    held = held and mm.frames[frame].slots == slots and (left or mm.frames[frame].ahead)
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return held


def cache_shed(mm, entry, slots):
    """Is none of the slots, which are about to be one folio's, in the cache? A small part of them is taken out of it for that, where it is only on
    standby; more is worth a transfer, and stays. Caller: the folios' entries. Guard and locks: its own."""
    type = entry_type(entry)
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        return False
    offset = entry_offset(entry)
    arch.mutex_lock(cython.address(area.lock))
    cached = cached_slots(area, offset, slots)
    if cached and cached <= slots // SHED_MOST:
        for k in range(slots):
            handle = index_find(area, entry + k) if cached_slots(area, offset + k, 1) else 0
            if handle and (handle >> HANDLE_SHIFT) - 1 == cython.cast(uint32_t, mm.index):
                frame: cython.int = handle & ((1 << HANDLE_SHIFT) - 1)
                if k + mm.frames[frame].slots <= slots:
                    standby_drop(area, mm, frame)
        cached = cached_slots(area, offset, slots)
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return cached == 0


def cache_forget(entry):
    """Nobody refers to the entry any more: if a frame is on standby for it, the slots need not wait for that. The frame may be of
    another address space than the one that let go last, and goes back to its own; if that is another process's, then by the hands of that one:
    who touches a frame may die half-way. Whether the cache alone has the slots is
    decided here, under the area's lock: the caller's answer may be old (R18). Guard and locks: its own.
    """
    type = entry_type(entry)
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        return
    other: cython.int = NO_MEMBER
    arch.mutex_lock(cython.address(area.lock))
    handle = index_find(area, entry)
    if handle and cached_only(area, entry_offset(entry)):
        # In the index under the area's lock, so its owner has not gone; it may when the frame is READY.
        owner = mm_at((handle >> HANDLE_SHIFT) - 1)
        if owner.shared or owner.member == own.member:
            standby_drop(area, owner, handle & ((1 << HANDLE_SHIFT) - 1))
        else:
            other = owner.member
            arch.store(cython.address(owner.forgotten), 1)
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    if other != NO_MEMBER:
        arch.event_wake(cython.address(members[other].call))


def cache_serve():
    """May block. In a service thread: frames on standby for entries that others found nobody refers to."""
    index = mmlist_hold_mine(MM_NIL)
    while index != MM_NIL:
        mm = mm_at(index)
        if arch.load(cython.address(mm.forgotten)) and arch.swap(cython.address(mm.forgotten), 0):
            used: cython.bint = guard_use_mm(index)
            for frame in range(mm.frame_count):
                if mm.frames[frame].state == FRAME_STANDBY:  # a glance: what is true is found out under the locks
                    cache_forget(mm.frames[frame].entry)
            guard_unuse_mm(index, used)
        index = mmlist_hold_mine(index)


def standby_drop(area, owner, frame):
    """A STANDBY frame leaves the cache and is READY in one go; one that was claimed is left to who did. Caller: guard, area's lock."""
    arch.mutex_lock(cython.address(owner.frame_lock))
    record = cython.address(owner.frames[frame])
    if record.state == FRAME_STANDBY:
        standby_unlink(owner, frame)
        index_remove(area, owner, frame)
        cache_flag_clear(area, entry_offset(record.entry), record.slots)
        record.state = FRAME_READY
        if not owner.frames_cut:
            record.next = owner.pools[record.level].ready_head
            owner.pools[record.level].ready_head = frame
    arch.mutex_unlock(cython.address(owner.frame_lock))
    arch.event_wake(cython.address(owner.relief))


def cache_sweep(mm, type):
    """Takes an area's frames on standby (or EVERY_AREA's) out of the cache; how many are left because they are being read."""
    left: cython.int = 0
    for frame in range(mm.frame_count):
        arch.mutex_lock(cython.address(mm.frame_lock))
        record = cython.address(mm.frames[frame])
        meant: cython.bint = type == EVERY_AREA or entry_type(record.entry) == type
        mine: cython.bint = meant and record.state == FRAME_STANDBY
        if mine:
            standby_unlink(mm, frame)
            record.state = FRAME_BUSY
        elif meant and record.state == FRAME_READING:
            left += 1
        arch.mutex_unlock(cython.address(mm.frame_lock))
        if mine:
            cache_remove(mm, frame)
            frame_put(mm, frame, FRAME_READY)
    return left


def cache_remove(mm, frame):
    """A claimed frame leaves the index and its slots lose HAS_CACHE; the guard is entered before they may become free."""
    entry = mm.frames[frame].entry
    type = entry_type(entry)
    area: cython.pointer(Area) = guard.enter(type)
    arch.check(area != cython.NULL, b"HAS_CACHE keeps its area on")
    arch.mutex_lock(cython.address(area.lock))
    index_remove(area, mm, frame)
    cache_flag_clear(area, entry_offset(entry), mm.frames[frame].slots)
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)


def standby_claim(mm, frame):
    """Makes a STANDBY frame the caller's own; false when somebody else was first or it is being read."""
    arch.mutex_lock(cython.address(mm.frame_lock))
    claimed: cython.bint = mm.frames[frame].state == FRAME_STANDBY
    if claimed:
        standby_unlink(mm, frame)
        mm.frames[frame].state = FRAME_BUSY
    arch.mutex_unlock(cython.address(mm.frame_lock))
    return claimed
