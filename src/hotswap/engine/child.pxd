from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef struct Forked:
    arch.word known         # children are told from now on
    arch.word child         # this process is one

cdef Forked forked

cdef int child_watch() noexcept nogil
cdef bint child_is() noexcept nogil
cdef void child_begins() noexcept nogil
cdef int child_touches(uint64_t address) noexcept nogil
