from libc.stdint cimport int64_t, uint64_t

cdef enum:
    RAM_SHARE = 4           # of a limit, all but one part in so many may be packed
    NOBODY = 255            # the owner of what a closed space left to its snapshots

cdef uint64_t share_of(int mm) noexcept nogil
cdef bint charge_packed(int mm, int grains) noexcept nogil
cdef void uncharge_packed(int mm, int grains) noexcept nogil
cdef int64_t pages_of(uint64_t grains) noexcept nogil
cdef bint mm_near(int index, uint64_t part) noexcept nogil
