from libc.stdint cimport uint32_t, uint64_t
from hotswap.engine.mm cimport Lru, Mm

cdef enum:
    EMPTY_LIST = 0xffffffff
    AGED = 256              # folios that one round of ageing moves at most
    ACTIVE_LEAST = 16       # of memory: ``active`` has at least one part in so many,
    ACTIVE_MOST = 10        # and may have all but one part in so many
    EXCHANGE = 8            # of the blocks that scans bring back one in so many takes the place of what is oldest on active
    SCAN_RUN = 16           # who passed so many pages in a row is a scan
    PASSING_LEAST = 32      # of memory: so much passes through before anything else is spared for it
    LONG_RUN = 8            # a scan is long that has passed all of memory but one part in so many
    CAME_BACK = 2           # pages that ``active`` grows by for one that came back; for one that leaves it shrinks by one

cdef void lru_setup(Lru *lru) noexcept nogil
cdef void age(Mm *mm, bint urgent) noexcept nogil
cdef void lru_insert(Mm *mm, uint64_t page, int order, uint64_t state) noexcept nogil
cdef uint64_t lru_came(Mm *mm, uint64_t page, int order, uint64_t run) noexcept nogil
cdef void lru_remove(Mm *mm, uint64_t page, int order, uint64_t state) noexcept nogil
cdef void lru_link(Mm *mm, Lru *lru, uint32_t page, int order) noexcept nogil
cdef void lru_link_behind(Mm *mm, uint32_t page, uint32_t before, bint active) noexcept nogil
cdef void lru_unlink(Mm *mm, Lru *lru, uint32_t page, int order) noexcept nogil
cdef uint64_t lru_refault(Mm *mm, uint64_t page, int order, uint64_t run) noexcept nogil
cdef void lru_leaves(Mm *mm, uint32_t page, uint64_t state) noexcept nogil
cdef void lru_passed(Mm *mm, uint64_t size) noexcept nogil
cdef bint lru_long(Mm *mm, uint64_t run) noexcept nogil
cdef bint lru_spares(Mm *mm, uint64_t state) noexcept nogil
cdef void lru_spare(Mm *mm, uint32_t page, int order) noexcept nogil
cdef uint64_t lru_pages(Mm *mm) noexcept nogil
cdef void lru_bounds(Mm *mm) noexcept nogil
cdef bint lru_turn(Mm *mm, uint64_t page, uint64_t size) noexcept nogil
cdef uint32_t shadow_make(uint64_t clock, bint workingset) noexcept nogil
