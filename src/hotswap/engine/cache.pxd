from libc.stdint cimport uint32_t, uint64_t
from hotswap.engine.area cimport Area
from hotswap.engine.mm cimport Mm, Pool

cdef enum:
    CACHE_MISS = -1
    CACHE_BUSY = -2
    EVERY_AREA = -1
    SHED_MOST = 4           # of what becomes one folio one part in so many may be on standby, and is dropped

cdef uint64_t frame_address(Mm *mm, int frame) noexcept nogil
cdef void frames_setup(Mm *mm) noexcept nogil
cdef Pool *pool_for(Mm *mm, int order) noexcept nogil
cdef int frame_take(Mm *mm, bint empty, int order) noexcept nogil
cdef int frame_take_to_read(Mm *mm, int order) noexcept nogil
cdef bint frame_kept(Mm *mm, int frame) noexcept nogil
cdef int take_of(Mm *mm, Pool *pool, bint empty) noexcept nogil
cdef int frame_wait(Mm *mm, int order) noexcept nogil
cdef void frame_put(Mm *mm, int frame, int state) noexcept nogil
cdef void frame_moved(Mm *mm, int frame, int order) noexcept nogil
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
cdef void standby_unlink(Mm *mm, int frame) noexcept nogil
