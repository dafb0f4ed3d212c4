from libc.stdint cimport int64_t, uint64_t
from hotswap.engine.mm cimport Mm

cpdef int shm_create(uint64_t pages, uint64_t limit, int order, int features) noexcept nogil
cpdef int64_t mm_attach(int index, int shm_index) noexcept nogil
cpdef int shm_destroy(int index) noexcept nogil
cdef int shm_set_up(Mm *mm, uint64_t pages, int features) noexcept nogil
