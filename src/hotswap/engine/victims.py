"""Who leaves in a round of reclaim: the oldest of the inactive list, with their entries locked, sorted by address.

Those that only pass leave first; what is older is spared for them (lru.py). Lock order: ``lru_lock``, under which entries are only tried.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.lru import EMPTY_LIST, age, lru_leaves, lru_spare, lru_spares
from cython.cimports.hotswap.engine.mm import NO_FRAME, PTE_ACTIVE, PTE_WORKINGSET, pte_order
from cython.cimports.libc.stdint import uint32_t, uint64_t


def isolate(mm, victims, want, urgent):
    """Takes folios off ``inactive``, oldest first, with their entries locked; how many. Those somebody works on stay, and so do those
    that are spared (lru.py). NOBODY_YET: it saw such only."""
    count: cython.int = 0
    spared: cython.bint = False
    pages: uint64_t = 0
    looks: cython.int = 0
    most: cython.int = mm.pools[0].count >> 1 if mm.pools[0].count >> 1 < BATCH else BATCH  # as for reclaim_main()
    arch.mutex_lock(cython.address(mm.lru_lock))
    age(mm, urgent)
    page: uint32_t = EMPTY_LIST if mm.lru_cut else mm.inactive.tail
    while page != EMPTY_LIST and count < most and pages < want and looks < 4 * BATCH:
        looks += 1
        pte = cython.address(mm.ptes[page])
        younger: uint32_t = pte.prev
        if arch.bit_trylock(cython.address(pte.state)):
            state = arch.load(cython.address(pte.state))
            order = pte_order(state)
            if not urgent and lru_spares(mm, state):
                spared = True
                lru_spare(mm, page, order)
                arch.bit_unlock(cython.address(pte.state), state | PTE_ACTIVE | PTE_WORKINGSET)
            else:
                lru_leaves(mm, page, state)
                victims[count].page = page
                victims[count].kept = state
                victims[count].order = order
                victims[count].frame = NO_FRAME
                count += 1
                pages += cython.cast(uint64_t, 1) << order
        page = younger
    arch.mutex_unlock(cython.address(mm.lru_lock))
    return count if count or not spared else NOBODY_YET


def sort_by_page(victims, count):
    """Insertion: a scan's victims are in order already."""
    for last in range(1, count):
        place: cython.int = last
        while place > 0 and victims[place - 1].page > victims[place].page:
            page = victims[place].page
            kept = victims[place].kept
            order = victims[place].order
            victims[place].page = victims[place - 1].page
            victims[place].kept = victims[place - 1].kept
            victims[place].order = victims[place - 1].order
            victims[place - 1].page = page
            victims[place - 1].kept = kept
            victims[place - 1].order = order
            place -= 1
