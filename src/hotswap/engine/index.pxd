from libc.stdint cimport uint32_t, uint64_t
from hotswap.engine.area cimport Area
from hotswap.engine.mm cimport Mm

cdef enum:
    HANDLE_SHIFT = 20       # a frame's handle is (mm index + 1) << 20 | frame: zero is none

cdef void index_add(Area *area, Mm *mm, int frame) noexcept nogil
cdef void index_remove(Area *area, Mm *mm, int frame) noexcept nogil
cdef uint32_t index_find(Area *area, uint64_t entry) noexcept nogil
cdef uint32_t bucket_of(uint64_t entry) noexcept nogil
