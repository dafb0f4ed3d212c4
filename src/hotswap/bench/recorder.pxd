from libc.stdint cimport uint32_t, uint64_t
from hotswap cimport arch

cdef enum:
    WINDOW_MOST = 64        # pages that may be mapped at one time
    WRITTEN = 1             # the first touch of a visit was a write
    WRITTEN_LATER = 2       # a later one was

cdef struct Recorder:
    int fd
    int memory              # descriptor of the pages
    uint64_t first          # address of the first
    uint64_t bytes
    int window
    uint64_t mapped[64]     # pages that are mapped, a ring: the oldest goes next
    uint64_t record[64]     # where each of them stands in the trace
    int turn
    uint32_t *trace         # page << 2 | how it was touched
    arch.word count         # records, those that found no room too
    uint64_t room

cdef Recorder recorder

cdef int on_touch(uint64_t address, int write) noexcept nogil
