"""Ranges as an allocator wants them: by address and size in bytes, from any thread, without the interpreter's lock.

``heap_map`` promises the memory (engine/commit.py) and makes a range; ``heap_unmap`` gives it back, or keeps it for the next of
the same size: programs make and drop temporary arrays all the time, and memory that is there already needs no fault. Blocks are
kept only while the limit has room to spare, so that dead bytes are not written to an area. So long a new
block that is to be written also gets its pages at once.

Nothing here allocates, and the caller holds no lock of the engine. Lock order: ``heap.lock`` is a leaf, held to look and to note.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.child import child_is
from cython.cimports.hotswap.engine.commit import Verdict, commit_promise, commit_take_back
from cython.cimports.hotswap.engine.folio import folio_fit
from cython.cimports.hotswap.engine.handle import handle_row
from cython.cimports.hotswap.engine.lru import lru_insert
from cython.cimports.hotswap.engine.mm import (
    MM_NIL,
    MMS,
    PTE_DIRTY,
    PTE_KIND,
    PTE_NONE,
    address_of,
    element_at,
    elements_set,
    find_vma,
    mm_at,
    mm_mine,
    pte_make,
    pte_order,
)
from cython.cimports.hotswap.engine.mmap import mm_map, mm_unmap, rows
from cython.cimports.hotswap.engine.mremap import mm_move, mm_range, mm_resize
from cython.cimports.hotswap.engine.pin import mm_pin, mm_unpin
from cython.cimports.hotswap.engine.reclaim import charge_now
from cython.cimports.hotswap.engine.sizes import whole_order
from cython.cimports.libc.errno import EFAULT
from cython.cimports.libc.stdint import int64_t, uint64_t

arch.mutex_init(cython.address(heap.lock))
heap.zeros = arch.reserve(ZEROS)  # never written, so that all of it is one page of zeros


def heap_map(index, bytes, zeroed):
    """May block. The address of a block of so many bytes, aligned to its folios; 0 when limits and areas could not hold it. All
    zeros if asked for, else whatever was there."""
    if child_is():
        return 0
    index = handle_row(index)
    mm = mm_at(index)
    order = order_for(mm, (bytes + 4095) >> 12)
    pages = whole(mm, (bytes + 4095) >> 12, order)
    if not roomy(index):
        kept_flush(index)
    else:
        start = kept_take(index, pages)
        if start >= 0:
            kept: uint64_t = address_of(mm, cython.cast(uint64_t, start))
            elements_set(mm, cython.cast(uint64_t, start), pages, 0)
            if zeroed:
                arch.fill(kept, pages << 12, 0)
            return kept
    address = map_new(index, pages, order)
    if address == 0 and kept_flush(index):
        address = map_new(index, pages, order)
    if address and not zeroed:
        pages_ahead(mm, (address - mm.arena) >> 12, pages)
    return address


def order_for(mm, pages):
    """Of the largest folios of a block: no larger than the space's, or than the block."""
    order: cython.int = 0
    while order < mm.order and pages >> order > 1:
        order += 1
    return order


def whole(mm, pages, order):
    """A block's pages: whole folios where those have one size."""
    size: uint64_t = cython.cast(uint64_t, 1) << whole_order(mm, order)
    return (pages + size - 1) & ~(size - 1)


def heap_element(index, address, bytes, element):
    """The block at ``address`` is an array with elements of that many bytes: for compression, a hint."""
    elements_set(mm_at(index), (address - mm_at(index).arena) >> 12, (bytes + 4095) >> 12, element)


def map_new(index, pages, order):
    verdict = cython.declare(Verdict)
    if not commit_promise(index, pages, cython.address(verdict)):
        return 0
    start = mm_map(index, pages, order)
    if start < 0:
        commit_take_back(index, pages)
        return 0
    elements_set(mm_at(index), cython.cast(uint64_t, start), pages, 0)
    return address_of(mm_at(index), cython.cast(uint64_t, start))


def pages_ahead(mm, page, pages):
    """Gives a new block its pages before it is written, while the limit has room to spare: for a first touch a handler is woken, and the
    kernel then has a fault for each page of zeros that is written. Zeros that are asked for may never be written and are left to that."""
    most: uint64_t = arch.load(cython.address(mm.budget)) >> KEPT_SHIFT
    end: uint64_t = page + (pages if pages < most else most)
    while page < end and roomy(mm.index):
        page = folio_ahead(mm, page)


def folio_ahead(mm, page):
    """The folio of a new block that begins at ``page`` gets its pages, if it has none; the page behind it, or the arena's end when the limit
    had no room. Nobody but this thread knows the block by now, but for wild accesses."""
    arch.read_lock(cython.address(mm.mmap_lock))  # anew for each, as for a fault: who maps and unmaps does not wait for all
    number = find_vma(mm, page)
    arch.check(number >= 0, b"a block that was just made exists")
    folio = folio_fit(mm, cython.address(mm.vmas[number]), page, True, True)
    pte = cython.address(mm.ptes[folio])
    state = arch.load(cython.address(pte.state))
    order = pte_order(state)
    size: uint64_t = cython.cast(uint64_t, 1) << order
    behind: uint64_t = folio + size
    if state & PTE_KIND == PTE_NONE:
        if not charge_now(mm, size):
            behind = mm.arena_pages
        else:
            if arch.mmu_copy(mm.fd, address_of(mm, folio), heap.zeros, size << 12, False):
                arch.check(not arch.mmu_zero(mm.fd, address_of(mm, folio), size << 12), b"zeros can be mapped")
            lru_insert(mm, folio, order, 0)
            state = pte_make(PTE_DIRTY, order, 0)
    arch.bit_unlock(cython.address(pte.state), state)
    arch.read_unlock(cython.address(mm.mmap_lock))
    return behind


def heap_unmap(address):
    """May block. Gives the block back that the address is in. In a child of fork there is nothing to give back."""
    if child_is():
        return
    index = space_of(address)
    start = cython.declare(uint64_t)
    order = cython.declare(cython.int)
    pages = mm_range(index, (address - mm_at(index).arena) >> 12, cython.address(start), cython.address(order))
    arch.check(pages > 0, b"a block that is freed exists")
    if not kept_put(index, start, cython.cast(uint64_t, pages)):
        give_back(index, start, cython.cast(uint64_t, pages))


def give_back(index, start, pages):
    mm_unmap(index, start)
    commit_take_back(index, pages)


def heap_room(address):
    """Bytes from the address to the end of its block."""
    index = space_of(address)
    start = cython.declare(uint64_t)
    order = cython.declare(cython.int)
    pages = mm_range(index, (address - mm_at(index).arena) >> 12, cython.address(start), cython.address(order))
    arch.check(pages > 0, b"a block that is asked for exists")
    return address_of(mm_at(index), start + cython.cast(uint64_t, pages)) - address


def heap_resize(address, bytes):
    """May block. Another length for the block that begins at the address: its address now, or 0 and all as before. What is swapped
    out stays out."""
    index = space_of(address)
    mm = mm_at(index)
    start = cython.declare(uint64_t)
    order = cython.declare(cython.int)
    got = mm_range(index, (address - mm.arena) >> 12, cython.address(start), cython.address(order))
    arch.check(got > 0 and address == address_of(mm, start), b"a block that changes its length begins there")
    pages = cython.cast(uint64_t, got)
    wanted = whole(mm, (bytes + 4095) >> 12, order)
    if wanted <= pages:
        if wanted < pages and mm_resize(index, start, wanted) > 0:
            commit_take_back(index, pages - wanted)
        return address
    verdict = cython.declare(Verdict)
    fits: cython.bint = commit_promise(index, wanted - pages, cython.address(verdict))
    if not fits and kept_flush(index):
        fits = commit_promise(index, wanted - pages, cython.address(verdict))
    if not fits:
        return 0
    if mm_resize(index, start, wanted) > 0:
        return address
    moved = move_block(index, start, pages, wanted)
    if moved == 0:
        commit_take_back(index, wanted - pages)
    return moved


def move_block(index, start, pages, wanted):
    """May block. To a place that is long enough. What is more than before was promised by the caller."""
    mm = mm_at(index)
    to = mm_map(index, wanted, order_for(mm, wanted))
    if to < 0:
        return 0
    address: uint64_t = address_of(mm, cython.cast(uint64_t, to))
    elements_set(mm, cython.cast(uint64_t, to), wanted, element_at(mm, start))
    if mm_move(
        index, start, cython.cast(uint64_t, to), pages
    ):  # something is pinned: by way of memory then, both there for a while
        verdict = cython.declare(Verdict)
        if not commit_promise(index, pages, cython.address(verdict)):
            mm_unmap(index, cython.cast(uint64_t, to))
            return 0
        arch.copy(address, address_of(mm, start), pages << 12)
        commit_take_back(index, pages)
    mm_unmap(index, start)
    return address


def heap_pin(address, bytes):
    """May block. Keeps what the kernel is to read or write in memory; as mm_pin()."""
    index = space_of(address)
    if index == MM_NIL:
        return -EFAULT
    first: uint64_t = (address - mm_at(index).arena) >> 12
    return mm_pin(index, first, ((address + bytes - 1 - mm_at(index).arena) >> 12) + 1 - first)


def heap_unpin(address, bytes):
    index = space_of(address)
    first: uint64_t = (address - mm_at(index).arena) >> 12
    mm_unpin(index, first, ((address + bytes - 1 - mm_at(index).arena) >> 12) + 1 - first)


def heap_close(index):
    """May block. Keeps no blocks of this space any more; how many ranges it has left."""
    kept_flush(index)
    mm = mm_at(index)
    arch.read_lock(cython.address(mm.mmap_lock))
    left: cython.int = mm.vma_count
    arch.read_unlock(cython.address(mm.mmap_lock))
    return left


def space_of(address):
    """The number of the space whose arena the address is in, or -1. One that has blocks stays."""
    for index in range(MMS):
        if arch.load_acquire(cython.address(rows[index])) and mm_mine(index):
            mm = mm_at(index)
            if address - mm.arena < mm.arena_pages << 12:
                return index
    return MM_NIL


def roomy(index):
    """Does the limit have room to spare?"""
    mm = mm_at(index)
    budget = arch.load(cython.address(mm.budget))
    return arch.load(cython.address(mm.resident)) + (budget >> ROOMY_SHIFT) < budget


def kept_take(index, pages):
    """The first page of a block of just that size that was kept, the latest first; -1: none was."""
    start: int64_t = -1
    arch.mutex_lock(cython.address(heap.lock))
    place: cython.int = heap.count - 1
    while place >= 0 and start < 0:
        kept = cython.address(heap.kept[place])
        if kept.pages == pages and kept.index == index:
            start = cython.cast(int64_t, kept.start)
            kept_remove(place)
        place -= 1
    arch.mutex_unlock(cython.address(heap.lock))
    return start


def kept_remove(place):
    """Caller: the lock."""
    heap.pages -= heap.kept[place].pages
    heap.count -= 1
    for number in range(place, heap.count):
        heap.kept[number].index = heap.kept[number + 1].index
        heap.kept[number].start = heap.kept[number + 1].start
        heap.kept[number].pages = heap.kept[number + 1].pages


def kept_put(index, start, pages):
    """May block. Keeps a block, and lets older ones go for it; False when it is too large or there is no room to spare."""
    most: uint64_t = arch.load(cython.address(mm_at(index).budget)) >> KEPT_SHIFT
    if pages > KEPT_BLOCK or pages > most or not roomy(index):
        return False
    while True:
        arch.mutex_lock(cython.address(heap.lock))
        if heap.count < KEPT and heap.pages + pages <= most:
            kept = cython.address(heap.kept[heap.count])
            kept.index = index
            kept.start = start
            kept.pages = pages
            heap.count += 1
            heap.pages += pages
            arch.mutex_unlock(cython.address(heap.lock))
            return True
        drop_oldest()


def drop_oldest():
    """May block. Gives the block back that was kept longest. Caller: the lock, which it lets go of."""
    index: cython.int = heap.kept[0].index
    start: uint64_t = heap.kept[0].start
    pages: uint64_t = heap.kept[0].pages
    kept_remove(0)
    arch.mutex_unlock(cython.address(heap.lock))
    give_back(index, start, pages)


def heap_forked(rows):
    """In a child of fork: what was kept of a space is kept of its copy (``rows``, by row; MM_NIL: there is none)."""
    arch.mutex_init(cython.address(heap.lock))
    place: cython.int = 0
    while place < heap.count:
        index: cython.int = rows[heap.kept[place].index]
        if index == MM_NIL:
            kept_remove(place)
        else:
            heap.kept[place].index = index
            place += 1


def kept_flush(index):
    """May block. Gives all that was kept of a space back; how many blocks."""
    flushed: cython.int = 0
    while True:
        arch.mutex_lock(cython.address(heap.lock))
        place: cython.int = 0
        while place < heap.count and heap.kept[place].index != index:
            place += 1
        if place == heap.count:
            arch.mutex_unlock(cython.address(heap.lock))
            return flushed
        start: uint64_t = heap.kept[place].start
        pages: uint64_t = heap.kept[place].pages
        kept_remove(place)
        arch.mutex_unlock(cython.address(heap.lock))
        give_back(index, start, pages)
        flushed += 1
