"""The two lists of folios that are in memory, and who is kept.

Nobody tells a process which of its pages were read, so all that is known of a folio's use are its refaults. A folio that comes in goes to
the head of ``inactive`` and leaves at its tail: first in, first out, and a scan goes through there and out. An eviction leaves the clock
(pages evicted so far) in the entry, as the kernel's workingset code does. A folio that comes back while fewer have left than are held in
memory may go to ``active``, where it is safe.

How much ``active`` holds follows from what it is worth. A folio that was there and was evicted since takes a page from its size; if it comes back
soon it gives two. So while at least half of them come back ``active`` grows, up to nine tenths; and where what was used lately is not used again it shrinks to next to
nothing, and the oldest leaves first. Once it is full only one refault in eight takes the place of an older one: what is used in turns, as in a loop
over more than fits, would else go round through both lists and never be there when it is wanted (decision 15 has figures).

Links are page numbers in the entries themselves. All under ``lru_lock``, which is taken with the folio's entry locked; going
through a list, entries are only tried.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import ACTIVATIONS, PTE_ACTIVE, REFAULTS, pte_order
from cython.cimports.libc.stdint import uint32_t, uint64_t


def lru_setup(lru):
    lru.head = EMPTY_LIST
    lru.tail = EMPTY_LIST
    lru.pages = 0
    lru.folios = 0


def age(mm, urgent):
    """Under lru_lock: what ``active`` has too much goes to ``inactive``, the oldest first.

    ``urgent``: a round freed nothing. With the areas full only clean folios can leave, and those may all be on ``active``.
    """
    lru_bounds(mm)
    for _turn in range(0 if mm.lru_cut else AGED):
        page: uint32_t = mm.active.tail
        if page == EMPTY_LIST or (mm.active.pages <= mm.active_pages and mm.inactive.pages and not urgent):
            return
        pte = cython.address(mm.ptes[page])
        if not arch.bit_trylock(cython.address(pte.state)):
            return
        state = arch.load(cython.address(pte.state))
        lru_unlink(mm, cython.address(mm.active), page, pte_order(state))
        lru_link(mm, cython.address(mm.inactive), page, pte_order(state))
        arch.bit_unlock(cython.address(pte.state), state & ~cython.cast(uint64_t, PTE_ACTIVE))


def lru_bounds(mm):
    """Under lru_lock: neither list is ever without a share, so that each can show what it is worth."""
    pages: uint64_t = mm.active.pages + mm.inactive.pages
    if mm.active_pages < pages // ACTIVE_LEAST:
        mm.active_pages = pages // ACTIVE_LEAST
    if mm.active_pages > pages - pages // ACTIVE_MOST:
        mm.active_pages = pages - pages // ACTIVE_MOST


def lru_leaves(mm, order):
    """Under lru_lock: a folio that was on ``active`` is about to leave memory."""
    size: uint64_t = cython.cast(uint64_t, 1) << order
    mm.active_pages -= size if size < mm.active_pages else mm.active_pages


def lru_refault(mm, page, order):
    """Puts a folio on a list that comes back; whether on ``active``. The caller holds its entry, in which the shadow still is, and then sets
    PTE_ACTIVE and PTE_WORKINGSET to match."""
    pte = cython.address(mm.ptes[page])
    size: uint64_t = cython.cast(uint64_t, 1) << order
    arch.mutex_lock(cython.address(mm.lru_lock))
    # In 31 bits, which wrap.
    distance: uint32_t = (cython.cast(uint32_t, arch.load(cython.address(mm.clock))) - (pte.prev >> 1)) & 0x7FFFFFFF
    active: cython.bint = distance <= mm.active.pages + mm.inactive.pages
    if active:
        arch.add(cython.address(mm.counter[REFAULTS]), 1)
        if pte.prev & 1:
            mm.active_pages += CAME_BACK * size
        lru_bounds(mm)
        if mm.active.pages + size > mm.active_pages:
            mm.turn += 1
            active = mm.turn >= EXCHANGE
            if active:
                mm.turn = 0
    lru_link(mm, cython.address(mm.active) if active else cython.address(mm.inactive), cython.cast(uint32_t, page), order)
    arch.mutex_unlock(cython.address(mm.lru_lock))
    if active:
        arch.add(cython.address(mm.counter[ACTIVATIONS]), 1)
    return active


def shadow_make(clock, workingset):
    """What an entry keeps of when its folio left, and whether it had been on ``active``."""
    return (cython.cast(uint32_t, clock) << 1) | (1 if workingset else 0)


def lru_insert(mm, page, order, active):
    """Puts a folio on a list; the caller holds its entry and then sets PTE_ACTIVE to match."""
    arch.mutex_lock(cython.address(mm.lru_lock))
    lru_link(mm, cython.address(mm.active) if active else cython.address(mm.inactive), cython.cast(uint32_t, page), order)
    arch.mutex_unlock(cython.address(mm.lru_lock))


def lru_remove(mm, page, order, active):
    arch.mutex_lock(cython.address(mm.lru_lock))
    lru_unlink(mm, cython.address(mm.active) if active else cython.address(mm.inactive), cython.cast(uint32_t, page), order)
    arch.mutex_unlock(cython.address(mm.lru_lock))


def lru_link(mm, lru, page, order):
    """At the head; under lru_lock."""
    if mm.lru_cut:
        return
    pte = cython.address(mm.ptes[page])
    pte.prev = EMPTY_LIST
    pte.next = lru.head
    if lru.head != EMPTY_LIST:
        mm.ptes[lru.head].prev = page
    else:
        lru.tail = page
    lru.head = page
    lru.pages += cython.cast(uint64_t, 1) << order
    lru.folios += 1


def lru_link_behind(mm, page, before, active):
    """Files a part of a folio that is split behind the rest of it, where the folio stands on its list."""
    lru = cython.address(mm.active) if active else cython.address(mm.inactive)
    arch.mutex_lock(cython.address(mm.lru_lock))
    if not mm.lru_cut:
        pte = cython.address(mm.ptes[page])
        pte.prev = before
        pte.next = mm.ptes[before].next
        if pte.next != EMPTY_LIST:
            mm.ptes[pte.next].prev = page
        else:
            lru.tail = page
        mm.ptes[before].next = page
        lru.folios += 1
    arch.mutex_unlock(cython.address(mm.lru_lock))


def lru_unlink(mm, lru, page, order):
    if mm.lru_cut:
        return
    pte = cython.address(mm.ptes[page])
    if pte.prev != EMPTY_LIST:
        mm.ptes[pte.prev].next = pte.next
    else:
        lru.head = pte.next
    if pte.next != EMPTY_LIST:
        mm.ptes[pte.next].prev = pte.prev
    else:
        lru.tail = pte.prev
    lru.pages -= cython.cast(uint64_t, 1) << order
    lru.folios -= 1
