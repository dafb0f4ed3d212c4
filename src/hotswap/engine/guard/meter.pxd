from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef struct Tally:          # a thread's; a cache line each
    arch.word count
    uint64_t pad[7]

cdef Tally *tallies

cpdef uint64_t meter_plain(uint64_t rounds) noexcept nogil
cpdef uint64_t meter_sections(int type, uint64_t rounds) noexcept nogil
cpdef uint64_t meter_pause(int type, uint64_t ns) noexcept nogil
cpdef uint64_t meter_look(int type, uint64_t ns) noexcept nogil
