"""The two lists of folios that are in memory, and who is kept.

Nobody tells a process which of its pages were read, so all that is known of a folio's use are its refaults. A folio that comes in goes to
the head of ``inactive`` and leaves at its tail: first in, first out, and a scan goes through there and out. An eviction leaves the clock
(pages evicted so far) in the entry, as the kernel's workingset code does. A folio that comes back while fewer have left than are held in
memory may go to ``active``, where it is safe.

How much ``active`` holds follows from what it is worth. A folio that was there and was evicted since takes a page from its size; if it comes back
soon it gives two. So while at least half of them come back ``active`` grows, up to nine tenths; and where what was used lately is not used again it shrinks to next to
nothing, and the oldest leaves first. Once it is full a refault takes the place of the oldest. Of those that a scan brings back only one in eight does: what is
used in turns, as in a loop over more than fits, would else go round through both lists and never be there when it is wanted (decisions 15 and 23
have figures). It is one block in eight, what the largest folio there can be has room for: where that is in parts they go the same way, as they would else leave
at different times, to slots apart, and never be one folio again (decision 25).

A scan of more than memory holds would take the place of all that, and be gone itself before it comes round. So what comes in by a scan that has passed
nearly all of memory (``run``, stream.py), and has not been in lately, only passes: it leaves first, in order, and what would have left before it is
spared, on ``active``, where it stays until that loses its worth. A loop over four times memory then finds nearly a quarter of it in.

Links are page numbers in the entries themselves. All under ``lru_lock``, which is taken with the folio's entry locked; going
through a list, entries are only tried.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import ACTIVATIONS, PTE_ACTIVE, PTE_PASSING, PTE_WORKINGSET, REFAULTS, TURNS, pte_order
from cython.cimports.libc.stdint import uint32_t, uint64_t


def lru_setup(lru):
    lru.head = EMPTY_LIST
    lru.tail = EMPTY_LIST
    lru.pages = 0
    lru.folios = 0


def age(mm, urgent):
    """Under lru_lock: what ``active`` has too much goes to ``inactive``, the oldest first.

    ``urgent``: some rounds freed nothing. With the areas full only clean folios can leave, and those may all be on ``active``.
    """
    lru_bounds(mm)
    for _turn in range(0 if mm.lru_cut else AGED):
        page: uint32_t = mm.active.tail
        if page == EMPTY_LIST or (mm.active.pages <= mm.active_pages and not urgent):
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
    pages = lru_pages(mm)
    if mm.active_pages < pages // ACTIVE_LEAST:
        mm.active_pages = pages // ACTIVE_LEAST
    if mm.active_pages > pages - pages // ACTIVE_MOST:
        mm.active_pages = pages - pages // ACTIVE_MOST


def lru_pages(mm):
    """Under lru_lock: pages on the lists, and those that are on their way out, which will be missing on ``inactive`` only while they are."""
    listed: uint64_t = mm.active.pages + mm.inactive.pages
    other: uint64_t = arch.load(cython.address(mm.pinned)) + ((arch.load(cython.address(mm.packed)) + 63) >> 6)
    resident: uint64_t = arch.load(cython.address(mm.resident))
    return resident - other if resident > listed + other else listed


def lru_leaves(mm, page, state):
    """Under lru_lock: takes a folio off ``inactive`` that is about to leave memory."""
    order = pte_order(state)
    size: uint64_t = cython.cast(uint64_t, 1) << order
    lru_unlink(mm, cython.address(mm.inactive), page, order)
    if state & PTE_PASSING:
        lru_passed(mm, size)
    if state & PTE_WORKINGSET:
        mm.active_pages -= size if size < mm.active_pages else mm.active_pages


def lru_long(mm, run):
    """Has a scan that went over so many pages passed more than stays in memory?"""
    budget = arch.load(cython.address(mm.budget))
    return run > budget - budget // LONG_RUN


def lru_spares(mm, state):
    """Under lru_lock: does the oldest folio, of which that is said, stay, as enough of what leaves before it is in memory?"""
    pages: uint64_t = mm.active.pages + mm.inactive.pages
    size: uint64_t = cython.cast(uint64_t, 1) << pte_order(state)
    return (
        not state & PTE_PASSING and mm.passing > pages // PASSING_LEAST and mm.active.pages + size <= pages - pages // ACTIVE_MOST
    )


def lru_spare(mm, page, order):
    """Under lru_lock: to ``active``, whose room grows by it; it is given up like all of that (lru_leaves)."""
    lru_unlink(mm, cython.address(mm.inactive), page, order)
    lru_link(mm, cython.address(mm.active), page, order)
    if mm.active_pages < mm.active.pages:
        mm.active_pages = mm.active.pages


def lru_came(mm, page, order, run):
    """Puts a folio on a list of which nothing is known but the scan that it came with; what its entry has to say of that."""
    state: uint64_t = PTE_PASSING if lru_long(mm, run) else 0
    lru_insert(mm, page, order, state)
    return state


def lru_refault(mm, page, order, run):
    """Puts a folio on a list that comes back, with a scan that has passed ``run`` pages; what its entry has to say of that. The caller holds
    the entry, in which the shadow still is."""
    pte = cython.address(mm.ptes[page])
    size: uint64_t = cython.cast(uint64_t, 1) << order
    arch.mutex_lock(cython.address(mm.lru_lock))
    # In 31 bits, which wrap.
    distance: uint32_t = (cython.cast(uint32_t, arch.load(cython.address(mm.clock))) - (pte.prev >> 1)) & 0x7FFFFFFF
    active: cython.bint = distance <= mm.active.pages + mm.inactive.pages
    passing: cython.bint = not active and lru_long(mm, run)
    if active:
        arch.add(cython.address(mm.counter[REFAULTS]), 1)
        if pte.prev & 1:
            mm.active_pages += CAME_BACK * size
        lru_bounds(mm)
        if run >= SCAN_RUN:
            active = lru_turn(mm, page, size)
    lru_link(mm, cython.address(mm.active) if active else cython.address(mm.inactive), cython.cast(uint32_t, page), order)
    if passing and not mm.lru_cut:
        mm.passing += size
    arch.mutex_unlock(cython.address(mm.lru_lock))
    if active:
        arch.add(cython.address(mm.counter[ACTIVATIONS]), 1)
        return PTE_ACTIVE | PTE_WORKINGSET
    return PTE_PASSING if passing else 0


def lru_turn(mm, page, size):
    """Under lru_lock: do so many pages that a scan brings back go to ``active``? While there is room; then those of one block in so many. What was said
    of a part holds for the rest of the block."""
    block: uint64_t = page >> mm.order
    for number in range(TURNS):
        turn = cython.address(mm.turns[number])
        if turn.left and turn.block == block:
            turn.left -= size if size < turn.left else turn.left
            return turn.active
    active: cython.bint = mm.active.pages + size <= mm.active_pages
    if not active:
        mm.since_exchange += 1
        active = mm.since_exchange >= EXCHANGE
        if active:
            mm.since_exchange = 0
    turn = cython.address(mm.turns[mm.turn])
    mm.turn = (mm.turn + 1) % TURNS
    turn.block = block
    turn.left = (cython.cast(uint64_t, 1) << mm.order) - size
    turn.active = active
    return active


def shadow_make(clock, workingset):
    """What an entry keeps of when its folio left, and whether it had been on ``active``."""
    return (cython.cast(uint32_t, clock) << 1) | (1 if workingset else 0)


def lru_insert(mm, page, order, state):
    """Puts a folio on the list that ``state`` says; the caller holds its entry and then sets it to match."""
    arch.mutex_lock(cython.address(mm.lru_lock))
    lru_link(
        mm, cython.address(mm.active) if state & PTE_ACTIVE else cython.address(mm.inactive), cython.cast(uint32_t, page), order
    )
    if state & PTE_PASSING and not mm.lru_cut:
        mm.passing += cython.cast(uint64_t, 1) << order
    arch.mutex_unlock(cython.address(mm.lru_lock))


def lru_remove(mm, page, order, state):
    arch.mutex_lock(cython.address(mm.lru_lock))
    lru_unlink(mm, cython.address(mm.active) if state & PTE_ACTIVE else cython.address(mm.inactive), page, order)
    if state & PTE_PASSING and not mm.lru_cut:
        lru_passed(mm, cython.cast(uint64_t, 1) << order)
    arch.mutex_unlock(cython.address(mm.lru_lock))


def lru_passed(mm, size):
    """Under lru_lock: a folio is off ``inactive`` that only passed."""
    arch.check(mm.passing >= size, b"no more pages are through than came in passing")
    mm.passing -= size
    arch.check(mm.passing <= mm.inactive.pages, b"what is passing is on the inactive list")


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
