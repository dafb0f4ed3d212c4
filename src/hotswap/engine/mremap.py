"""Ranges that change their length or their place, as mremap(2) does it: for realloc.

A folio that moves takes its entry along. What is swapped out stays where it is, its slots only get another owner; what is in
memory is moved page by page, without a copy where the kernel can. Nothing is read from an area.

What the caller owes: nobody touches a range that is being moved or cut, as with any realloc.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.folio import entry_set, folio_lock, folio_split
from cython.cimports.hotswap.engine.lru import lru_insert, lru_remove
from cython.cimports.hotswap.engine.mm import (
    MM_NIL,
    POISONED,
    PTE_CLEAN,
    PTE_DIRTY,
    PTE_KIND,
    PTE_POISON,
    PTE_TAIL,
    address_of,
    find_vma,
    mm_at,
    pte_make,
    pte_order,
)
from cython.cimports.hotswap.engine.mmap import unmap_folios
from cython.cimports.hotswap.engine.sizes import before_order, whole_order
from cython.cimports.libc.errno import EBUSY, EINVAL, ENOMEM
from cython.cimports.libc.stdint import int64_t, uint64_t


def mm_range(index, page, start, order):
    """Pages of the range that holds ``page``, with its first page and its folios' order; -EINVAL: there is none."""
    mm = mm_at(index)
    arch.read_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    pages: int64_t = -EINVAL
    if number != MM_NIL:
        start[0] = mm.vmas[number].start
        order[0] = mm.vmas[number].order
        pages = cython.cast(int64_t, mm.vmas[number].pages)
    arch.read_unlock(cython.address(mm.mmap_lock))
    return pages


def mm_resize(index, page, pages):
    """May block. Gives the range that begins at ``page`` another length, where it is: whole folios, its new length in pages.
    -ENOMEM: what follows it is taken. -EINVAL: no range begins there."""
    mm = mm_at(index)
    arch.write_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    if number == MM_NIL or mm.vmas[number].start != page:
        arch.write_unlock(cython.address(mm.mmap_lock))
        return -EINVAL
    order = whole_order(mm, mm.vmas[number].order)
    old: uint64_t = mm.vmas[number].pages
    size: uint64_t = cython.cast(uint64_t, 1) << order
    wanted: uint64_t = (pages + size - 1) & ~(size - 1)
    limit: uint64_t = mm.vmas[number + 1].start if number + 1 < mm.vma_count else mm.arena_pages
    if page + wanted > limit:
        arch.write_unlock(cython.address(mm.mmap_lock))
        return -ENOMEM
    if wanted > old and arch.load(cython.address(mm.counter[POISONED])):  # as in mm_map()
        arch.mmu_drop(address_of(mm, page + old), (wanted - old) << 12)
    if wanted < old:
        cut(mm, page + wanted)
        unmap_folios(mm, page + wanted, page + old)
        arch.mmu_drop(address_of(mm, page + wanted), (old - wanted) << 12)
    mm.vmas[number].pages = wanted
    arch.write_unlock(cython.address(mm.mmap_lock))
    return cython.cast(int64_t, wanted)


def mm_move(index, source, to, pages):
    """May block. Moves the bytes of a range's first pages to another, fresh one of folios of the same order. -EBUSY: something
    of the space is pinned, and stays where it is."""
    mm = mm_at(index)
    arch.write_lock(cython.address(mm.mmap_lock))
    if arch.load(cython.address(mm.pinned)):  # nobody pins under the mmap lock
        arch.write_unlock(cython.address(mm.mmap_lock))
        return -EBUSY
    done: uint64_t = 0
    while done < pages:
        if arch.load(cython.address(mm.ptes[source + done].state)):
            done += move_folio(mm, source + done, to + done)
        else:
            done += 1
    arch.write_unlock(cython.address(mm.mmap_lock))
    return 0


def cut(mm, page):
    """From here on a folio begins at ``page``, if one went over it."""
    while True:
        folio = folio_lock(mm, page)
        state = arch.load(cython.address(mm.ptes[folio].state))
        if folio == page:
            arch.bit_unlock(cython.address(mm.ptes[folio].state), state)
            return
        folio_split(mm, folio, before_order(mm, pte_order(state)))


def move_folio(mm, source, to):
    """Pages of it. Both ranges are the caller's alone but for reclaim, readahead and swapoffs, which try or take the entry's lock."""
    old = cython.address(mm.ptes[source])
    new = cython.address(mm.ptes[to])
    arch.bit_lock(cython.address(old.state))
    arch.bit_lock(cython.address(new.state))  # a second one, but nobody knows of it yet
    state = arch.load(cython.address(old.state))
    kind = state & PTE_KIND
    order = pte_order(state)
    pages: uint64_t = cython.cast(uint64_t, 1) << order
    arch.check(kind != PTE_TAIL, b"a range has whole folios")
    if kind == PTE_CLEAN or kind == PTE_DIRTY:
        lru_remove(mm, source, order, state)
        carry(mm, address_of(mm, source), address_of(mm, to), cython.cast(uint64_t, 4096) << order, kind == PTE_CLEAN)
        lru_insert(mm, to, order, state)
    elif kind != PTE_POISON:
        new.prev = old.prev
        new.next = old.next
    for tail in range(1, pages):
        entry_set(mm, to + tail, pte_make(PTE_TAIL, order, 0))
        entry_set(mm, source + tail, 0)
    arch.bit_unlock(cython.address(new.state), state)
    arch.bit_unlock(cython.address(old.state), 0)
    return pages


def carry(mm, source, to, length, protect):
    """The pages themselves: moved, or copied and dropped where the kernel cannot move or will not let go of them."""
    if mm.features & arch.MMU_MOVE and not arch.mmu_move(mm.fd, to, source, length):
        if protect:
            arch.check(not arch.mmu_protect(mm.fd, to, length, True), b"a folio that was moved can be protected")
        return
    arch.check(not arch.mmu_copy(mm.fd, to, source, length, protect), b"a folio can be copied to another place")
    arch.mmu_drop(source, length)
