"""Pinning: folios that stay in memory, writable, for a device or a system call that must reach them.

A pinned folio is on no reclaim list; its entry counts the pins where the links would be. Pinned memory is inside the limit
and must leave faults their share of it.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.fault import fault_folio
from cython.cimports.hotswap.engine.lru import lru_insert, lru_remove
from cython.cimports.hotswap.engine.mm import PTE_ACTIVE, PTE_DIRTY, PTE_KIND, PTE_PINNED, PTE_POISON, find_vma, mm_at
from cython.cimports.hotswap.engine.mmap import FOLIOS_LEAST
from cython.cimports.libc.errno import EFAULT, EIO, ENOMEM
from cython.cimports.libc.stdint import int64_t, uint64_t


def mm_pin(index, page, pages):
    """May block. Brings in and pins every folio that the pages touch; all or none.

    -EFAULT: not within one range; -ENOMEM: the limit would not leave faults enough, or nothing can leave memory; -EIO: a folio
    cannot be read back.
    """
    mm = mm_at(index)
    arch.read_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    if number < 0 or page + pages > mm.vmas[number].start + mm.vmas[number].pages:
        arch.read_unlock(cython.address(mm.mmap_lock))
        return -EFAULT
    order = mm.vmas[number].order
    size: uint64_t = cython.cast(uint64_t, 1) << order
    first = page - (page - mm.vmas[number].start) % size
    spare: uint64_t = cython.cast(uint64_t, FOLIOS_LEAST) << mm.frame_order
    result: cython.int = 0
    next = first
    while next < page + pages:
        wanted = arch.add(cython.address(mm.pinned), size)
        if wanted + spare > arch.load(cython.address(mm.budget)):
            arch.add(cython.address(mm.pinned), -cython.cast(int64_t, size))
            result = -ENOMEM
            break
        result = pin_folio(mm, next, order)
        if result:
            arch.add(cython.address(mm.pinned), -cython.cast(int64_t, size))
            break
        next += size
    if result:
        while next > first:
            next -= size
            unpin_folio(mm, next, order)
    arch.read_unlock(cython.address(mm.mmap_lock))
    return result


def pin_folio(mm, page, order):
    """The caller has counted it; a folio that was pinned already gives that back."""
    pte = cython.address(mm.ptes[page])
    arch.bit_lock(cython.address(pte.state))
    state = arch.load(cython.address(pte.state))
    if state & PTE_PINNED:
        pte.prev += 1
        arch.add(cython.address(mm.pinned), -(cython.cast(int64_t, 1) << order))
        arch.bit_unlock(cython.address(pte.state), state)
        return 0
    state = fault_folio(mm, page, order, True)
    pinned: cython.bint = state & PTE_KIND == PTE_DIRTY
    if pinned:
        lru_remove(mm, page, order, state & PTE_ACTIVE != 0)
        pte.prev = 1
        state = (state & ~cython.cast(uint64_t, PTE_ACTIVE)) | PTE_PINNED
    arch.bit_unlock(cython.address(pte.state), state)
    if pinned:
        return 0
    return -EIO if state & PTE_KIND == PTE_POISON else -ENOMEM


def mm_unpin(index, page, pages):
    """Takes one pin off every folio that the pages touch."""
    mm = mm_at(index)
    arch.read_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    arch.check(number >= 0, b"a range that is pinned exists")
    order = mm.vmas[number].order
    size: uint64_t = cython.cast(uint64_t, 1) << order
    next = page - (page - mm.vmas[number].start) % size
    while next < page + pages:
        unpin_folio(mm, next, order)
        next += size
    arch.read_unlock(cython.address(mm.mmap_lock))


def unpin_folio(mm, page, order):
    pte = cython.address(mm.ptes[page])
    arch.bit_lock(cython.address(pte.state))
    state = arch.load(cython.address(pte.state))
    arch.check(state & PTE_PINNED != 0, b"a folio that is unpinned was pinned")
    pte.prev -= 1
    if pte.prev == 0:
        lru_insert(mm, page, order, False)
        arch.add(cython.address(mm.pinned), -(cython.cast(int64_t, 1) << order))
        state &= ~cython.cast(uint64_t, PTE_PINNED)
    arch.bit_unlock(cython.address(pte.state), state)
