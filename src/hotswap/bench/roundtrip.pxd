from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef struct Probe:
    int fd
    int stopper
    uint64_t source         # where the bytes come from
    uint64_t bytes          # that a fault brings in
    arch.word stop

cdef Probe probe

cdef void handler_main(int argument) noexcept nogil
cdef int touch(uint64_t address, int count, uint64_t pause, uint64_t *took) noexcept nogil
