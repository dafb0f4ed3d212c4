"""Pinning: folios that stay in memory, writable, for a device or a system call that must reach them.

A pinned folio is on no reclaim list; its entry counts the pins where the links would be. Pinned memory is inside the limit
and must leave faults their share of it. Where a shared object is attached the object's folios are pinned, within its limit, and
mapped in the view that was named.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.fault import fault_folio
from cython.cimports.hotswap.engine.lru import lru_insert, lru_remove
from cython.cimports.hotswap.engine.mm import (
    MM_NIL,
    PTE_ACTIVE,
    PTE_DIRTY,
    PTE_KIND,
    PTE_PINNED,
    PTE_POISON,
    find_vma,
    mm_at,
)
from cython.cimports.hotswap.engine.mmap import FOLIOS_LEAST
from cython.cimports.hotswap.engine.shm import shm_view
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
    vma = cython.address(mm.vmas[number])
    owner = mm if vma.shm == MM_NIL else mm_at(vma.shm)
    size: uint64_t = cython.cast(uint64_t, 1) << vma.order
    first = page - (page - vma.start) % size
    spare: uint64_t = cython.cast(uint64_t, FOLIOS_LEAST) << owner.frame_order
    result: cython.int = 0
    next = first
    while next < page + pages:
        wanted = arch.add(cython.address(owner.pinned), size)
        if wanted + spare > arch.load(cython.address(owner.budget)):
            arch.add(cython.address(owner.pinned), -cython.cast(int64_t, size))
            result = -ENOMEM
            break
        result = pin_folio(mm, vma, next)
        if result:
            arch.add(cython.address(owner.pinned), -cython.cast(int64_t, size))
            break
        next += size
    if result:
        while next > first:
            next -= size
            unpin_folio(mm, vma, next)
    arch.read_unlock(cython.address(mm.mmap_lock))
    return result


def pin_folio(mm, vma, page):
    """The caller has counted it; a folio that was pinned already gives that back."""
    owner = mm if vma.shm == MM_NIL else mm_at(vma.shm)
    folio: uint64_t = page if vma.shm == MM_NIL else page - vma.start
    pte = cython.address(owner.ptes[folio])
    arch.bit_lock(cython.address(pte.state))
    state = arch.load(cython.address(pte.state))
    if state & PTE_PINNED:
        pte.prev += 1
        arch.add(cython.address(owner.pinned), -(cython.cast(int64_t, 1) << vma.order))
    else:
        state = fault_folio(owner, folio, vma.order, True)
        if state & PTE_KIND == PTE_DIRTY:
            lru_remove(owner, folio, vma.order, state & PTE_ACTIVE != 0)
            pte.prev = 1
            state = (state & ~cython.cast(uint64_t, PTE_ACTIVE)) | PTE_PINNED
    if state & PTE_PINNED and owner.shared:
        shm_view(mm, page, vma.order, False, True)
    arch.bit_unlock(cython.address(pte.state), state)
    if state & PTE_PINNED:
        return 0
    return -EIO if state & PTE_KIND == PTE_POISON else -ENOMEM


def mm_unpin(index, page, pages):
    """Takes one pin off every folio that the pages touch."""
    mm = mm_at(index)
    arch.read_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    arch.check(number >= 0, b"a range that is pinned exists")
    vma = cython.address(mm.vmas[number])
    next = page - (page - vma.start) % (cython.cast(uint64_t, 1) << vma.order)
    while next < page + pages:
        unpin_folio(mm, vma, next)
        next += cython.cast(uint64_t, 1) << vma.order
    arch.read_unlock(cython.address(mm.mmap_lock))


def unpin_folio(mm, vma, page):
    owner = mm if vma.shm == MM_NIL else mm_at(vma.shm)
    folio: uint64_t = page if vma.shm == MM_NIL else page - vma.start
    pte = cython.address(owner.ptes[folio])
    arch.bit_lock(cython.address(pte.state))
    state = arch.load(cython.address(pte.state))
    arch.check(state & PTE_PINNED != 0, b"a folio that is unpinned was pinned")
    pte.prev -= 1
    if pte.prev == 0:
        lru_insert(owner, folio, vma.order, False)
        arch.add(cython.address(owner.pinned), -(cython.cast(int64_t, 1) << vma.order))
        state &= ~cython.cast(uint64_t, PTE_PINNED)
    arch.bit_unlock(cython.address(pte.state), state)
