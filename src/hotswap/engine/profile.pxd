from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef enum:
    PROFILED = 1            # 0: the calls do nothing (in the lab, where a clock is one more thing to interleave)
    ONE_IN = 7              # faults of a thread that are timed; no power of two, which windows of readahead are

cdef enum:                  # stages of a fault, in their order
    STAGE_FIND = 0          # range found, folio locked
    STAGE_CHARGE = 1        # counted into the limit, room made
    STAGE_CACHE = 2         # swap cache looked up, a transfer under way waited for
    STAGE_FRAME = 3         # a frame taken
    STAGE_READ = 4
    STAGE_MAP = 5           # mapped, woken
    STAGE_AHEAD = 6         # asked for more ahead, neighbours mapped
    STAGE_OTHER = 7         # all of a fault with nothing to bring in, but for STAGE_FIND
    STAGES = 8

cdef struct Clock:          # a thread's own, a cache line each
    arch.word last          # when the stage began that it is in; 0 outside of faults
    arch.word stage         # the one before
    arch.word faults        # that it served
    uint64_t apart[5]

cdef struct Sums:           # a thread's in one address space, a cache line: no two threads write to one
    arch.word ns[8]

cdef Clock *clocks
cdef Sums *sums

cdef void profile_reset(int index) noexcept nogil
cdef void profile_begin() noexcept nogil
cdef void profile_stage(Mm *mm, int stage) noexcept nogil
cdef void profile_end(Mm *mm) noexcept nogil
cdef void profile_forget(uint64_t process) noexcept nogil
cdef uint64_t profile_figure(int index, int stage) noexcept nogil
