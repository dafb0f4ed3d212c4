from libc.stdint cimport uint32_t, uint64_t
from hotswap.engine.area cimport Area
from hotswap.engine.mm cimport Mm, Pool

cdef enum:
    CACHE_MISS = -1
    CACHE_BUSY = -2
    EVERY_AREA = -1
    SHED_MOST = 4           # of what becomes one folio one part in so many may be on standby, and is dropped

cdef int cache_reserve(Mm *mm, uint64_t entry, int slots, int frame) noexcept nogil
cdef void cache_add(Mm *mm, uint64_t entry, int slots, int frame) noexcept nogil
cdef void cache_settle(Mm *mm, int frame, bint keep) noexcept nogil
cdef int cache_take(Mm *mm, uint64_t entry, int slots) noexcept nogil
cdef bint cache_has(Mm *mm, uint64_t entry, int slots, bint left) noexcept nogil
cdef bint cache_shed(Mm *mm, uint64_t entry, int slots) noexcept nogil
cdef void cache_forget(uint64_t entry) noexcept nogil
cdef void cache_serve() noexcept nogil
cdef void standby_drop(Area *area, Mm *owner, int frame) noexcept nogil
cdef int cache_sweep(Mm *mm, int type) noexcept nogil
cdef void cache_remove(Mm *mm, int frame) noexcept nogil
cdef bint standby_claim(Mm *mm, int frame) noexcept nogil
