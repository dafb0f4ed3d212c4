from libc.stdint cimport uint64_t
from hotswap.engine.mm cimport Mm

cdef enum:
    SHARED_AT_ONCE = 512    # folios whose counts rise in one section

cdef struct Batch:          # folios of one area
    int type
    int count
    uint64_t page[512]

cdef int copy_space(Mm *mm, int member) noexcept nogil
cdef int copy_range(Mm *mm, Mm *child, int number) noexcept nogil
cdef void copy_entry(Mm *mm, Mm *child, uint64_t page, uint64_t state) noexcept nogil
cdef int share_batch(Mm *mm, Mm *child, Batch *batch) noexcept nogil
cdef int share_slow(Mm *mm, Mm *child, Batch *batch, int done) noexcept nogil
cdef void drop_space(Mm *mm) noexcept nogil
cdef void space_bury(Mm *mm) noexcept nogil
cdef void drop_range(Mm *mm, int number) noexcept nogil
