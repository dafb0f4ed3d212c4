from libc.stdint cimport uint64_t

cdef struct Found:          # a folio whose entry names the area
    uint64_t offset
    uint64_t page

cdef void sort_found(Found *found, int count) noexcept nogil
cdef void sift(Found *found, int root, int count) noexcept nogil
