from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef enum:
    DEAR_NS = 20000         # waking a thread takes so long that it is better to stay awake
    TURNS = 9
    PAUSE_NS = 50000        # before each: for who waits to be asleep, and its processor to halt

cdef struct Waking:         # a process's own
    arch.word asked         # events
    arch.word answered
    arch.word begun         # somebody measures, or has
    arch.word ns            # from waking to running; 0: not known

cdef Waking waking

cdef bint waking_is_dear() noexcept nogil
cdef void waking_ask() noexcept nogil
cdef uint64_t waking_measure() noexcept nogil
cdef void answer_main(int _nothing) noexcept nogil
cdef uint64_t wait_for(arch.word *event, uint64_t seen) noexcept nogil
cdef uint64_t median(uint64_t *values) noexcept nogil
