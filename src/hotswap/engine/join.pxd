from libc.stdint cimport uint64_t

cdef enum:
    BY_ITSELF = 0xffff      # instead of a parent (family.pxd): a member that joins

cdef int family_begin() noexcept nogil
cdef int join() noexcept nogil
cdef void sweep() noexcept nogil
cdef int begin(int member) noexcept nogil
cdef bint somebody_lives() noexcept nogil
cdef int family_door(uint64_t *said) noexcept nogil
