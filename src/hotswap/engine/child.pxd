from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef struct Forked:
    arch.word child         # this process is a child that could not be made a member of the family
    uint64_t first[64]      # by row of the parent's address spaces: where their arenas were, 0: none
    uint64_t bytes[64]

cdef Forked forked

cdef bint child_is() noexcept nogil
cdef void child_note(int row, uint64_t first, uint64_t bytes) noexcept nogil
cdef void child_alone() noexcept nogil
cdef int child_touches(uint64_t address) noexcept nogil
