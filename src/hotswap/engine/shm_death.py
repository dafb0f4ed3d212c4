"""What a member that died leaves of the shared objects that it had open, put right by whoever cleans up after it (death.py).

Everybody is at rest, so an entry that is locked is one that the dead had locked. What it says is true as far as it goes, since each step
says so before it is made (shm.py):

- out (NONE, FILLED, SWAPPED): it was being brought in, and what of it is in the object's memory goes again;
- CLEAN: its memory may have gone already; then it is out, in its slots;
- DIRTY: some of its memory may have gone; a frame whose note names it has those bytes, and they are put back;
- half of a folio that was being split or made larger: what was not done yet becomes single pages.

Lists, counts of what is in memory, and frames are made anew from that. Then the counts of slots are (death.py). An object that only the dead
had open goes. What they had pinned (Space.resident) stays pinned.

Nobody else runs: no lock is taken, but the pipe's, which then gives up what it holds.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.attach import lowest_of
from cython.cimports.hotswap.engine.commit import commit_drop
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family_copy import space_bury
from cython.cimports.hotswap.engine.frames import frame_address
from cython.cimports.hotswap.engine.lru import lru_link, lru_setup
from cython.cimports.hotswap.engine.mm import (
    FRAME_BUSY,
    FRAME_EMPTY,
    FRAME_READING,
    FRAME_READY,
    FRAME_STANDBY,
    MMS,
    NO_FRAME,
    PTE_ACTIVE,
    PTE_CLEAN,
    PTE_DIRTY,
    PTE_FILLED,
    PTE_KIND,
    PTE_NONE,
    PTE_PASSING,
    PTE_PINNED,
    PTE_SWAPPED,
    PTE_TAIL,
    mm_at,
    pte_entry,
    pte_make,
    pte_order,
)
from cython.cimports.hotswap.engine.mmap import rows
from cython.cimports.hotswap.engine.shm import here, here_close, here_late, shm_fill, shms
from cython.cimports.hotswap.engine.store.ram import ram_disown
from cython.cimports.libc.stdint import uint32_t, uint64_t


def shms_lost(member):
    """A member died: it has nothing open any more. Whom an object belongs to now is alive; what nobody has open goes."""
    for index in range(MMS):
        mm = mm_at(index)
        if not arch.load_acquire(cython.address(rows[index])) or not mm.shared:
            continue
        object = cython.address(shms[index])
        before = arch.load(cython.address(object.open))
        now = before & ~(cython.cast(uint64_t, 1) << member)
        owned: cython.bint = mm.member == member
        if before == now and not owned:
            continue
        object.hurt = True
        arch.store(cython.address(object.open), now)
        if owned:
            mm.thread_count = 0
            mm.holds = 0
            arch.store(cython.address(mm.stop), 0)
            arch.rwlock_init(cython.address(mm.mmap_lock))
            if now:
                mm.member = lowest_of(now)
        if now == 0 and owned:
            commit_drop(index)
            if arch.load(cython.address(mm.packed)):
                for type in range(AREAS):
                    ram_disown(type, index)
            object.name_length = 0
            space_bury(mm)


def shms_mend():
    """Puts right what a death left. False: it could not be opened here now, and has to be tried again."""
    done: cython.bint = True
    for index in range(MMS):
        mm = mm_at(index)
        hurt: cython.bint = arch.load_acquire(cython.address(rows[index])) != 0 and mm.shared and shms[index].hurt
        if hurt and arch.load(cython.address(shms[index].open)) and not shm_mend(mm):
            done = False
    return done


def shm_mend(mm):
    """May block, for the descriptors."""
    object = cython.address(shms[mm.index])
    guest: cython.bint = here[mm.index].fd == 0
    if here_late(mm):
        return False
    arch.mutex_lock(cython.address(object.take))  # and with it what the pipe holds goes into its frame (take_mend())
    arch.mutex_unlock(cython.address(object.take))
    mend_views(mm)
    page: uint64_t = 0
    while page < mm.arena_pages:
        state = arch.load(cython.address(mm.ptes[page].state))
        if state & arch.LOCKED:
            mend_folio(mm, page)
            state = arch.load(cython.address(mm.ptes[page].state))
        page += cython.cast(uint64_t, 1) << pte_order(state) if state & PTE_KIND != PTE_TAIL else 1
    mend_orphans(mm)
    mend_frames(mm)
    mend_lists(mm)
    object.hurt = False
    if guest:
        here_close(mm)
    arch.event_wake(cython.address(mm.relief))
    return True


def mend_views(mm):
    """Those of the living, as their ranges say."""
    object = cython.address(shms[mm.index])
    object.view_count = 0
    for index in range(MMS):
        other = mm_at(index)
        if not arch.load_acquire(cython.address(rows[index])) or other.shared or not other.vmas:
            continue
        for number in range(other.vma_count):
            if other.vmas[number].shm == mm.index:
                object.views[object.view_count].mm = index
                object.views[object.view_count].start = other.vmas[number].start
                object.view_count += 1


def mend_folio(mm, page):
    """A folio whose entry was locked."""
    pte = cython.address(mm.ptes[page])
    state = arch.load(cython.address(pte.state))
    kind = state & PTE_KIND
    order = pte_order(state)
    pages: uint64_t = cython.cast(uint64_t, 1) << order
    if kind == PTE_TAIL:  # who came too late had it for a look
        arch.bit_unlock(cython.address(pte.state), state)
        return
    if kind == PTE_DIRTY:
        mend_dirty(mm, page, pages)
    if order and mend_parts(mm, page, order):
        return
    if kind == PTE_CLEAN and not all_in(mm, page, pages):
        mend_out(mm, page, pages)
        pte.prev = 0
        state = pte_make(PTE_SWAPPED, order, pte_entry(state))
    elif kind == PTE_NONE or kind == PTE_FILLED or kind == PTE_SWAPPED:
        mend_out(mm, page, pages)
    arch.bit_unlock(cython.address(pte.state), state)


def mend_parts(mm, page, order):
    """Was the folio being split? It is from behind: what is still its own becomes single pages. False: it was not."""
    pages: uint64_t = cython.cast(uint64_t, 1) << order
    own_pages: uint64_t = 1
    while own_pages < pages:
        tail = arch.load(cython.address(mm.ptes[page + own_pages].state))
        if tail & PTE_KIND != PTE_TAIL or pte_order(tail) != order:
            break
        own_pages += 1
    if own_pages == pages:
        return False
    state = arch.load(cython.address(mm.ptes[page].state))
    kind = state & PTE_KIND
    if kind == PTE_CLEAN:
        kind = PTE_SWAPPED
    if kind != PTE_DIRTY:
        mend_out(mm, page, own_pages)
    for part in range(own_pages):
        pte = cython.address(mm.ptes[page + part])
        if kind == PTE_FILLED:
            pte.prev = mm.ptes[page].prev
            pte.next = mm.ptes[page].next
        said = pte_make(kind, 0, pte_entry(state) + part if kind == PTE_SWAPPED else 0)
        arch.store(cython.address(pte.state), said | arch.LOCKED)  # so that the unlock wakes who waits
        arch.bit_unlock(cython.address(pte.state), said)
    return True


def mend_dirty(mm, page, pages):
    """What the object does not have of it, a frame has whose note says so."""
    for frame in range(mm.frame_count):
        if mm.frames[frame].holds == page + 1:
            for part in range(pages):
                if not arch.shm_has(here[mm.index].fd, (page + part) << 12):
                    shm_fill(mm, page + part, 4096, frame_address(mm, frame) + (cython.cast(uint64_t, part) << 12))


def mend_out(mm, page, pages):
    failed = arch.shm_punch(here[mm.index].fd, page << 12, pages << 12)
    arch.check(not failed, b"an object gives memory back")


def all_in(mm, page, pages):
    whole: cython.bint = True
    for part in range(pages):
        whole = whole and arch.shm_has(here[mm.index].fd, (page + part) << 12)
    return whole


def mend_orphans(mm):
    """Tails of a folio that was being made and is none: what they were follows from the first."""
    for page in range(mm.arena_pages):
        state = arch.load(cython.address(mm.ptes[page].state))
        order = pte_order(state)
        folio: uint64_t = page >> order << order
        first = arch.load(cython.address(mm.ptes[folio].state))
        if state & PTE_KIND != PTE_TAIL or (pte_order(first) == order and first & PTE_KIND != PTE_TAIL):
            continue
        said: uint64_t = 0
        if first & PTE_KIND == PTE_SWAPPED:
            said = pte_make(PTE_SWAPPED, 0, pte_entry(first) + page - folio)
        arch.store(cython.address(mm.ptes[page].state), said | arch.LOCKED)
        arch.bit_unlock(cython.address(mm.ptes[page].state), said)


def mend_frames(mm):
    """Nothing is being read or in anybody's hands: what was, was so in the dead one's. What is in the cache stays there."""
    for level in range(mm.pool_count):
        pool = cython.address(mm.pools[level])
        pool.ready_head = NO_FRAME
        pool.empty_head = NO_FRAME
        pool.standby_head = NO_FRAME
        pool.standby_tail = NO_FRAME
    for frame in range(mm.frame_count):
        record = cython.address(mm.frames[frame])
        pool = cython.address(mm.pools[record.level])
        record.holds = 0
        if record.state == FRAME_BUSY or record.state == FRAME_READING:
            record.state = FRAME_READY
        if record.state == FRAME_STANDBY:
            record.next = NO_FRAME
            record.prev = pool.standby_tail
            if pool.standby_tail != NO_FRAME:
                mm.frames[pool.standby_tail].next = frame
            else:
                pool.standby_head = frame
            pool.standby_tail = frame
        elif record.state == FRAME_EMPTY:
            record.next = pool.empty_head
            pool.empty_head = frame
        else:
            record.next = pool.ready_head
            pool.ready_head = frame
    mm.frames_cut = False


def mend_lists(mm):
    """Who was on which list before whom is forgotten."""
    resident: uint64_t = 0
    pinned: uint64_t = 0
    mm.lru_cut = False
    lru_setup(cython.address(mm.active))
    lru_setup(cython.address(mm.inactive))
    mm.passing = 0
    page: uint64_t = 0
    while page < mm.arena_pages:
        state = arch.load(cython.address(mm.ptes[page].state))
        kind = state & PTE_KIND
        order = pte_order(state)
        pages: uint64_t = cython.cast(uint64_t, 1) << order
        if kind == PTE_CLEAN or kind == PTE_DIRTY:
            resident += pages
            if state & PTE_PINNED:
                pinned += pages
            else:
                arch.store(cython.address(mm.ptes[page].state), state & ~cython.cast(uint64_t, PTE_ACTIVE | PTE_PASSING))
                lru_link(mm, cython.address(mm.inactive), cython.cast(uint32_t, page), order)
        page += pages
    packed = (arch.load(cython.address(mm.packed)) + 63) >> 6
    arch.store(cython.address(mm.resident), resident + packed)
    arch.store(cython.address(mm.pinned), pinned)
