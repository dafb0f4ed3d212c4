"""Pinning: folios that stay in memory, writable, for a device or a system call that must reach them.

A pinned folio is on no reclaim list; its entry counts the pins where the links would be. Pinned memory is inside the limit
and must leave faults their share of it. Where a shared object is attached the object's folios are pinned, within its limit, and
mapped in the view that was named.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.family import family
from cython.cimports.hotswap.engine.fault import fault_folio
from cython.cimports.hotswap.engine.folio import NO_FOLIO, folio_fit, folio_lock
from cython.cimports.hotswap.engine.lru import lru_insert, lru_remove
from cython.cimports.hotswap.engine.mm import (
    MM_NIL,
    PTE_ACTIVE,
    PTE_DIRTY,
    PTE_KIND,
    PTE_PASSING,
    PTE_PINNED,
    PTE_POISON,
    find_vma,
    mm_at,
    pte_order,
)
from cython.cimports.hotswap.engine.shm import shm_view
from cython.cimports.hotswap.engine.sizes import FOLIOS_LEAST
from cython.cimports.libc.errno import EAGAIN, EFAULT, EIO, ENOMEM
from cython.cimports.libc.stdint import int64_t, uint64_t


def mm_pin(index, page, pages):
    """May block. Brings in and pins every folio that the pages touch; all or none.

    -EFAULT: not within one range; -ENOMEM: the limit would not leave faults enough, or nothing can leave memory; -EIO: a folio
    cannot be read back.
    """
    result = pin_once(index, page, pages)
    while result == -EAGAIN:
        arch.nap_us(1000)
        result = pin_once(index, page, pages)
    return result


def pin_once(index, page, pages):
    """-EAGAIN: a process of the family died, and everybody is asked to rest."""
    mm = mm_at(index)
    arch.read_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    if number < 0 or page + pages > mm.vmas[number].start + mm.vmas[number].pages:
        arch.read_unlock(cython.address(mm.mmap_lock))
        return -EFAULT
    vma = cython.address(mm.vmas[number])
    result: cython.int = 0
    next: uint64_t = page
    while next < page + pages and result >= 0:
        result = pin_folio(mm, vma, next)
        if result >= 0:
            next += cython.cast(uint64_t, result)
    if result < 0 and next > page:
        unpin_range(mm, vma, page, next)
    arch.read_unlock(cython.address(mm.mmap_lock))
    return result if result < 0 else 0


def pin_folio(mm, vma, page):
    """Pins the folio that a page is in; how many of its pages there are from that on, or -errno."""
    owner = mm if vma.shm == MM_NIL else mm_at(vma.shm)
    base: uint64_t = 0 if vma.shm == MM_NIL else vma.start
    folio = folio_fit(owner, vma if vma.shm == MM_NIL else cython.address(owner.vmas[0]), page - base, True, True)
    if folio == NO_FOLIO:
        return -EAGAIN
    pte = cython.address(owner.ptes[folio])
    state = arch.load(cython.address(pte.state))
    size: uint64_t = cython.cast(uint64_t, 1) << pte_order(state)
    if state & PTE_PINNED:
        pte.prev += 1
    elif room_to_pin(owner, size):
        state = fault_folio(owner, folio, True)
        if state & PTE_KIND == PTE_DIRTY:
            lru_remove(owner, folio, pte_order(state), state)
            pte.prev = 1
            state = (state & ~cython.cast(uint64_t, PTE_ACTIVE | PTE_PASSING)) | PTE_PINNED
        else:
            arch.add(cython.address(owner.pinned), -cython.cast(int64_t, size))
    if state & PTE_PINNED and owner.shared:
        shm_view(mm, base + folio, pte_order(state), False, True)
    arch.bit_unlock(cython.address(pte.state), state)
    if state & PTE_PINNED:
        return cython.cast(cython.int, folio + size - (page - base))
    if state & PTE_KIND == PTE_POISON:
        return -EIO
    return -EAGAIN if owner.shared and arch.load(cython.address(family.rest)) & 1 else -ENOMEM


def room_to_pin(owner, size):
    """Counts pages as pinned, if that leaves faults their share of the limit."""
    spare: uint64_t = cython.cast(uint64_t, FOLIOS_LEAST) << owner.pools[0].order
    if arch.add(cython.address(owner.pinned), size) + spare <= arch.load(cython.address(owner.budget)):
        return True
    arch.add(cython.address(owner.pinned), -cython.cast(int64_t, size))
    return False


def mm_unpin(index, page, pages):
    """Takes one pin off every folio that the pages touch."""
    mm = mm_at(index)
    arch.read_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    arch.check(number >= 0, b"a range that is pinned exists")
    unpin_range(mm, cython.address(mm.vmas[number]), page, page + pages)
    arch.read_unlock(cython.address(mm.mmap_lock))


def unpin_range(mm, vma, page, end):
    owner = mm if vma.shm == MM_NIL else mm_at(vma.shm)
    base: uint64_t = 0 if vma.shm == MM_NIL else vma.start
    next: uint64_t = page - base
    last: uint64_t = end - base
    while next < last:
        folio = folio_lock(owner, next)
        if folio != NO_FOLIO:
            next = unpin_folio(owner, folio)
        else:  # the array stays meanwhile: it is pinned
            arch.read_unlock(cython.address(mm.mmap_lock))
            arch.nap_us(1000)
            arch.read_lock(cython.address(mm.mmap_lock))


def unpin_folio(owner, folio):
    """The caller has locked its entry; the page behind it."""
    pte = cython.address(owner.ptes[folio])
    state = arch.load(cython.address(pte.state))
    arch.check(state & PTE_PINNED != 0, b"a folio that is unpinned was pinned")
    order = pte_order(state)
    pte.prev -= 1
    if pte.prev == 0:
        lru_insert(owner, folio, order, 0)
        arch.add(cython.address(owner.pinned), -(cython.cast(int64_t, 1) << order))
        state &= ~cython.cast(uint64_t, PTE_PINNED)
    arch.bit_unlock(cython.address(pte.state), state)
    return folio + (cython.cast(uint64_t, 1) << order)
