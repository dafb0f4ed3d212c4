from libc.stdint cimport uint32_t, uint64_t
from hotswap.engine.mm cimport Mm, Pool

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
cdef void standby_unlink(Mm *mm, int frame) noexcept nogil
