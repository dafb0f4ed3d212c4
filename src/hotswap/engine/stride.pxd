from libc.stdint cimport int64_t, uint64_t
from hotswap.engine.mm cimport Mm

cdef enum:
    STRIDE_NONE = -1
    STRIDE_SURE = 3             # times that a reader came a few steps further, one after the other: it is a stride
    STRIDE_TIMES = 8            # of which no more are counted: what keeps a stride that others pass by
    STRIDE_NEAR = 8             # steps between two faults, at most, and how far back one may be: loops are unrolled and reordered
    STRIDE_REACH = 16384        # pages, 64 MiB: who is further away is somebody else
    STRIDE_WINDOW = 64          # steps, the widest
    STRIDE_LEAST = 12           # pages a step: in shorter ones all is read

cdef struct Steps:              # folios that are worth reading now: at ``page`` and ``count`` - 1 times a ``step`` on
    uint64_t page
    uint64_t count
    int64_t step
    bint short                  # none, and a scan is: steps are short, forwards or ``back``
    bint back

cdef bint stride_went_on(Mm *mm, uint64_t page, uint64_t pages, uint64_t most, Steps *steps) noexcept nogil
cdef int64_t stride_step(Mm *mm, uint64_t page) noexcept nogil
cdef int stride_at(Mm *mm, uint64_t page) noexcept nogil
cdef bint stride_sure(Mm *mm, int number) noexcept nogil
cdef void stride_learn(Mm *mm, uint64_t page, uint64_t pages) noexcept nogil
cdef int stride_nearest(Mm *mm, uint64_t page) noexcept nogil
cdef void stride_begin(Mm *mm, int number, uint64_t page) noexcept nogil
cdef uint64_t common(uint64_t a, uint64_t b) noexcept nogil
