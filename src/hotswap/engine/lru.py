"""The two lists of folios that are in memory, and who is hot.

A folio that comes in goes to the head of ``inactive`` and leaves at its tail; a scan goes through there and out. Nobody tells a
process which of its pages were read, so recency is taken from refaults, as the kernel's workingset code does: an eviction leaves
the clock (pages evicted so far) in the entry; a folio that comes back while fewer have left than are held in memory would have
stayed had the scan not pushed it out, and goes to ``active``. A write fault on a clean folio counts as use too. When ``active``
has more than its half, its oldest go back to ``inactive``.

Links are page numbers in the entries themselves. All under ``lru_lock``, which is taken with the folio's entry locked; going
through a list, entries are only tried.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import PTE_ACTIVE, PTE_REFERENCED, pte_order
from cython.cimports.libc.stdint import uint32_t, uint64_t


def lru_setup(lru):
    lru.head = EMPTY_LIST
    lru.tail = EMPTY_LIST
    lru.pages = 0
    lru.folios = 0


def age(mm, urgent):
    """Under lru_lock: when more than half of what is in memory is on ``active``, its oldest go to ``inactive``.

    ``urgent``: a round freed nothing. With the areas full only clean folios can leave, and those may all be on ``active``.
    """
    for _turn in range(AGED):
        page: uint32_t = mm.active.tail
        if page == EMPTY_LIST or (mm.active.pages <= mm.inactive.pages and not urgent):
            return
        pte = cython.address(mm.ptes[page])
        if not arch.bit_trylock(cython.address(pte.state)):
            return
        state = arch.load(cython.address(pte.state))
        lru_unlink(mm, cython.address(mm.active), page, pte_order(state))
        lru_link(mm, cython.address(mm.inactive), page, pte_order(state))
        arch.bit_unlock(cython.address(pte.state), state & ~cython.cast(uint64_t, PTE_ACTIVE | PTE_REFERENCED))


def was_hot(mm, shadow):
    """Did fewer pages leave since this folio did than are in memory? Then it belongs there (32-bit clock, wraps)."""
    distance: uint32_t = cython.cast(uint32_t, arch.load(cython.address(mm.clock))) - shadow
    return distance <= mm.active.pages + mm.inactive.pages


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
