"""Address spaces: the table of them, the mmlist, ranges, and page-table entries.

An address space has one long reservation of addresses (the arena) and a page-table entry for each of its pages; an array is
a range of it. A folio, the unit that is paged, is described by the entry of its first page: what the entry says, where the
bytes are, and a lock in the same word; the entries of its other pages are tails, and say how large it is. The lock may be held over
the folio's own transfer and nothing else may. How a folio is found and how it changes its size stands in folio.py.

Lock order: ``mmlist.lock``; an mm's ``mmap_lock`` (held for reading over a whole fault, for writing to map and unmap);
entries (a second one is only ever tried; those of a shared object after an mmap lock of who attached it); ``lru_lock``, an
object's ``lock`` (shm.py) or an area's locks; ``frame_lock``. An mm that is on the mmlist and
not gone can be held, and one that is held does not go.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.family import NO_MEMBER, own
from cython.cimports.libc.stdint import int64_t, uint64_t

mms = cython.cast(cython.pointer(Mm), arch.table(MMS, cython.sizeof(Mm)))
mmlist = cython.address(cython.cast(cython.pointer(MmList), arch.table(1, cython.sizeof(MmList)))[0])

if arch.founder():
    arch.mutex_init(cython.address(mmlist.lock))
    mmlist.head = MM_NIL
    mmlist.tail = MM_NIL
    for _row in range(MMS):
        mms[_row].member = NO_MEMBER


def mm_at(index):
    arch.check(0 <= index and index < MMS, b"an address space is one of 64")
    return cython.address(mms[index])


def mm_mine(index):
    """Is an address space this process's own?"""
    return mms[index].member == own.member


def mmlist_add(mm):
    """At the tail, so that a walk under way still comes to it: a child is found after its parent (seed 001, R14)."""
    arch.mutex_lock(cython.address(mmlist.lock))
    mm.gone = False
    mm.holds = 0
    mm.listed = True
    mm.next = MM_NIL
    mm.prev = mmlist.tail
    if mmlist.tail != MM_NIL:
        mms[mmlist.tail].next = mm.index
    else:
        mmlist.head = mm.index
    mmlist.tail = mm.index
    arch.mutex_unlock(cython.address(mmlist.lock))


def mmlist_hold_mine(after):
    """Hand over hand along the list: holds the first of this process's own behind ``after``, lets go of that, and gives its index. MM_NIL begins,
    and ends. Others' are passed over and not held, as who holds one may die."""
    arch.mutex_lock(cython.address(mmlist.lock))
    index = mmlist.head if after == MM_NIL else mms[after].next
    while index != MM_NIL and (mms[index].gone or mms[index].member != own.member):
        index = mms[index].next
    if index != MM_NIL:
        mms[index].holds += 1
    if after != MM_NIL:
        mms[after].holds -= 1 if mms[after].holds else 0  # 0: whose hold it was is not known since a member died (shm_death.py)
    arch.mutex_unlock(cython.address(mmlist.lock))
    return index


def mmlist_tell():
    """There is more swap: everybody who waits for some looks again. Nobody is held, as one who holds may die."""
    arch.mutex_lock(cython.address(mmlist.lock))
    index = mmlist.head
    while index != MM_NIL:
        arch.store(cython.address(mms[index].full_said), 0)
        arch.event_wake(cython.address(mms[index].relief))
        arch.event_wake(cython.address(mms[index].pressure))
        index = mms[index].next
    arch.mutex_unlock(cython.address(mmlist.lock))


def mmlist_release(index):
    arch.mutex_lock(cython.address(mmlist.lock))
    mms[index].holds -= 1 if mms[index].holds else 0
    arch.mutex_unlock(cython.address(mmlist.lock))


def mmlist_remove(mm):
    """May block. From here on it cannot be held; returns once nobody holds it any more. It has no entries left by then."""
    arch.mutex_lock(cython.address(mmlist.lock))
    mm.gone = True
    while mm.holds > 0:
        arch.mutex_unlock(cython.address(mmlist.lock))
        arch.nap_us(200)
        arch.mutex_lock(cython.address(mmlist.lock))
    if mm.listed:  # else who died in here had come so far
        if mm.prev != MM_NIL:
            mms[mm.prev].next = mm.next
        else:
            mmlist.head = mm.next
        if mm.next != MM_NIL:
            mms[mm.next].prev = mm.prev
        else:
            mmlist.tail = mm.prev
    mm.listed = False
    arch.mutex_unlock(cython.address(mmlist.lock))


def mmlist_mend(nothing):
    """Under the lock of the list, whose holder died while it put one in or took one out: it is linked anew. A walk under way may come to some
    twice, or pass some over: who walks does so until nothing is left (swapoff.py), or looks at ``mended``."""
    mmlist.mended += 1
    mmlist.head = MM_NIL
    mmlist.tail = MM_NIL
    for index in range(MMS):
        if mms[index].listed:
            mms[index].next = MM_NIL
            mms[index].prev = mmlist.tail
            if mmlist.tail != MM_NIL:
                mms[mmlist.tail].next = index
            else:
                mmlist.head = index
            mmlist.tail = index


def find_vma(mm, page):
    """The number of the range that holds ``page``, or -1. The caller holds the mmap lock."""
    low: cython.int = 0
    high: cython.int = mm.vma_count
    while low < high:
        middle: cython.int = (low + high) >> 1
        if mm.vmas[middle].start + mm.vmas[middle].pages <= page:
            low = middle + 1
        else:
            high = middle
    return low if low < mm.vma_count and mm.vmas[low].start <= page else MM_NIL


def vma_insert(mm, pages, order):
    """A free range of the arena, first fit, aligned to its largest folios: its first page, or -1. Caller: mmap lock for writing."""
    start: uint64_t = 0
    place: cython.int = 0
    size: uint64_t = cython.cast(uint64_t, 1) << order
    if mm.vma_count == VMAS:
        return -1
    while place < mm.vma_count and start + pages > mm.vmas[place].start:
        start = (mm.vmas[place].start + mm.vmas[place].pages + size - 1) & ~(size - 1)
        place += 1
    if start + pages > mm.arena_pages:
        return -1
    for number in range(mm.vma_count, place, -1):
        mm.vmas[number].start = mm.vmas[number - 1].start
        mm.vmas[number].pages = mm.vmas[number - 1].pages
        mm.vmas[number].order = mm.vmas[number - 1].order
        arch.store(cython.address(mm.vmas[number].dense), arch.load(cython.address(mm.vmas[number - 1].dense)))
        mm.vmas[number].shm = mm.vmas[number - 1].shm
    mm.vmas[place].start = start
    mm.vmas[place].pages = pages
    mm.vmas[place].order = order
    arch.store(cython.address(mm.vmas[place].dense), DENSE_FIRST)
    mm.vmas[place].shm = MM_NIL
    mm.vma_count += 1
    return cython.cast(int64_t, start)


def vma_remove(mm, number):
    mm.vma_count -= 1
    for place in range(number, mm.vma_count):
        mm.vmas[place].start = mm.vmas[place + 1].start
        mm.vmas[place].pages = mm.vmas[place + 1].pages
        mm.vmas[place].order = mm.vmas[place + 1].order
        arch.store(cython.address(mm.vmas[place].dense), arch.load(cython.address(mm.vmas[place + 1].dense)))
        mm.vmas[place].shm = mm.vmas[place + 1].shm


def pte_entry(state):
    return state >> PTE_ENTRY_SHIFT


def pte_order(state):
    return (state >> PTE_ORDER_SHIFT) & 15


def pte_make(kind, order, entry):
    return kind | cython.cast(uint64_t, order) << PTE_ORDER_SHIFT | entry << PTE_ENTRY_SHIFT


def address_of(mm, page):
    return mm.arena + (page << 12)


def element_at(mm, page):
    """Bytes of an element of the array that ``page`` is part of, so that compression knows what it is about; 0: not known. A hint."""
    return cython.cast(cython.int, arch.load(cython.address(mm.elements[page >> 9].bytes)))


def elements_set(mm, page, pages, element):
    """Where two arrays share 2 MiB the last one counts."""
    for place in range(page >> 9, ((page + pages - 1) >> 9) + 1):
        arch.store(cython.address(mm.elements[place].bytes), element)


arch.mutex_mend(cython.address(mmlist.lock), mmlist_mend, 0)
