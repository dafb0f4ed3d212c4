"""The page table of a space that a child of fork will have: every entry of the parent's, and one more reference to each slot.

Nobody moves meanwhile (process.py): no entry is locked, and what one says stays true until the kernel has copied the memory. A folio
that is in memory is so in both: clean in both, with its slots shared, or dirty in both, without any. A folio that is pinned is the
parent's to pin: the child's is like any other. Links of the reclaim lists are page numbers and are copied as they are.

References are counted many at a time, in one section for folios of one area.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import Area
from cython.cimports.hotswap.engine.entry import entry_offset, entry_type
from cython.cimports.hotswap.engine.fault import release_entry
from cython.cimports.hotswap.engine.fork import share_entry
from cython.cimports.hotswap.engine.guard.contract import guard
from cython.cimports.hotswap.engine.lru import lru_insert
from cython.cimports.hotswap.engine.mm import (
    MM_NIL,
    PTE_CLEAN,
    PTE_DIRTY,
    PTE_KIND,
    PTE_PINNED,
    PTE_SWAPPED,
    VMAS,
    Element,
    Frame,
    Pte,
    Vma,
    mm_at,
    mmlist_add,
    mmlist_remove,
    pte_entry,
    pte_order,
)
from cython.cimports.hotswap.engine.mmap import mm_new, row_give, tables_free
from cython.cimports.hotswap.engine.shares import own_shares, shares
from cython.cimports.hotswap.engine.shm import view_add, view_drop
from cython.cimports.hotswap.engine.sizes import ADAPTIVE, pools_copy
from cython.cimports.hotswap.engine.swap_map import COUNT_CONTINUED, SWAP_MAP_BAD, SWAP_MAP_MAX
from cython.cimports.libc.errno import EMFILE, ENOMEM
from cython.cimports.libc.stdint import int64_t, uint64_t


def copy_space(mm, member):
    """The row of a copy for ``member``, on the mmlist behind its parent (R14); its memory, descriptors and threads come later.
    -EMFILE: 64 address spaces exist; -ENOMEM. What there is of it then is drop_space()'s."""
    budget = arch.load(cython.address(mm.budget))
    if arch.load(cython.address(shares.limit)):
        budget = own_shares.target[mm.index] - mm.staging_pages
    child = mm_new(budget + mm.staging_pages, mm.order if mm.levels == 1 else ADAPTIVE)
    if not child:
        return -EMFILE
    child.member = member
    child.features = mm.features
    child.arena = mm.arena
    child.arena_pages = mm.arena_pages
    pools_copy(child, mm)
    arch.store(cython.address(child.budget), budget)
    arch.store(cython.address(child.share), budget + mm.staging_pages)
    arch.store(cython.address(child.wish), arch.load(cython.address(mm.wish)))
    arch.store(cython.address(child.clock), arch.load(cython.address(mm.clock)))
    child.ptes = cython.cast(cython.pointer(Pte), arch.table(mm.arena_pages, cython.sizeof(Pte)))
    child.vmas = cython.cast(cython.pointer(Vma), arch.table(VMAS, cython.sizeof(Vma)))
    child.frames = cython.cast(cython.pointer(Frame), arch.table(mm.frame_count, cython.sizeof(Frame)))
    child.elements = cython.cast(cython.pointer(Element), arch.table((mm.arena_pages >> 9) + 1, cython.sizeof(Element)))
    mmlist_add(child)
    if not child.ptes or not child.vmas or not child.frames or not child.elements:
        return -ENOMEM
    child.active.head = mm.active.head
    child.active.tail = mm.active.tail
    child.active.pages = mm.active.pages
    child.active.folios = mm.active.folios
    child.inactive.head = mm.inactive.head
    child.inactive.tail = mm.inactive.tail
    child.inactive.pages = mm.inactive.pages
    child.inactive.folios = mm.inactive.folios
    child.passing = mm.passing
    failed: cython.int = 0
    for number in range(mm.vma_count):
        if not failed:
            failed = copy_range(mm, child, number)
    return failed if failed else child.index


def copy_range(mm, child, number):
    child.vmas[number].start = mm.vmas[number].start
    child.vmas[number].pages = mm.vmas[number].pages
    child.vmas[number].order = mm.vmas[number].order
    arch.store(cython.address(child.vmas[number].dense), arch.load(cython.address(mm.vmas[number].dense)))
    child.vmas[number].shm = MM_NIL
    child.vma_count = number + 1
    if mm.vmas[number].shm != MM_NIL:  # has no entries
        failed = view_add(mm_at(mm.vmas[number].shm), child.index, mm.vmas[number].start)
        if not failed:
            child.vmas[number].shm = mm.vmas[number].shm
        return failed
    batch = cython.declare(Batch)
    batch.count = 0
    batch.type = 0
    page: uint64_t = mm.vmas[number].start
    end: uint64_t = page + mm.vmas[number].pages
    while page < end:
        state = arch.load(cython.address(mm.ptes[page].state))
        kind = state & PTE_KIND
        if kind == PTE_SWAPPED or kind == PTE_CLEAN:
            type = entry_type(pte_entry(state))
            if batch.count == SHARED_AT_ONCE or (batch.count and type != batch.type):
                failed = share_batch(mm, child, cython.address(batch))
                if failed:
                    return failed
            batch.type = type
            batch.page[batch.count] = page
            batch.count += 1
        elif state:
            copy_entry(mm, child, page, state)
        page += 1
    return share_batch(mm, child, cython.address(batch))


def copy_entry(mm, child, page, state):
    """What an entry says, said once more; its slots are counted already."""
    kind = state & PTE_KIND
    child.ptes[page].prev = mm.ptes[page].prev
    child.ptes[page].next = mm.ptes[page].next
    if kind == PTE_CLEAN or kind == PTE_DIRTY:
        arch.add(cython.address(child.resident), cython.cast(int64_t, 1) << pte_order(state))
    arch.store(cython.address(child.ptes[page].state), state & ~cython.cast(uint64_t, PTE_PINNED))
    if state & PTE_PINNED:
        lru_insert(child, page, pte_order(state), 0)


def share_batch(mm, child, batch):
    """May block. One more reference to the slots of each, and its entry for the child; -ENOMEM when there is no memory to count on."""
    if batch.count == 0:
        return 0
    area: cython.pointer(Area) = guard.enter(batch.type)
    arch.check(area != cython.NULL, b"entries keep their area on")
    done: cython.int = 0
    full: cython.bint = False
    arch.mutex_lock(cython.address(area.lock))
    while done < batch.count and not full:
        page = batch.page[done]
        state = arch.load(cython.address(mm.ptes[page].state))
        offset = entry_offset(pte_entry(state))
        slots: cython.int = 1 << pte_order(state)
        for k in range(slots):
            if area.map[offset + k] & SWAP_MAP_BAD >= SWAP_MAP_MAX or area.map[offset + k] & COUNT_CONTINUED:
                full = True
        if not full:
            for k in range(slots):
                area.map[offset + k] += 1
            copy_entry(mm, child, page, state)
            done += 1
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(batch.type)
    return share_slow(mm, child, batch, done)


def share_slow(mm, child, batch, done):
    """The rest of a batch, one by one, from the first on whose count goes beyond its byte."""
    for number in range(done, batch.count):
        page = batch.page[number]
        state = arch.load(cython.address(mm.ptes[page].state))
        failed = share_entry(pte_entry(state), 1 << pte_order(state))
        if failed:
            return failed
        copy_entry(mm, child, page, state)
    batch.count = 0
    return 0


def drop_space(mm):
    """May block. A space whose process has gone, or never came: its references, its tables and its row. Its memory went with the process."""
    if mm.ptes:
        for number in range(mm.vma_count):
            if mm.vmas[number].shm != MM_NIL:
                view_drop(mm_at(mm.vmas[number].shm), mm.index, mm.vmas[number].start)
            else:
                drop_range(mm, number)
    space_bury(mm)


def space_bury(mm):
    """The same when its references are gone, or will be counted anew."""
    mm.vma_count = 0
    mm.holds = 0  # of those that held it none is left
    mmlist_remove(mm)
    tables_free(mm)
    row_give(mm)


def drop_range(mm, number):
    page: uint64_t = mm.vmas[number].start
    end: uint64_t = page + mm.vmas[number].pages
    while page < end:
        state = arch.load(cython.address(mm.ptes[page].state))
        kind = state & PTE_KIND
        if kind == PTE_SWAPPED or kind == PTE_CLEAN:
            arch.store(cython.address(mm.ptes[page].state), 0)
            release_entry(pte_entry(state), pte_order(state))
        page += 1
