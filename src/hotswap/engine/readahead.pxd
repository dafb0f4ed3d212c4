from libc.stdint cimport int64_t, uint64_t
from hotswap.engine.mm cimport Mm
from hotswap.engine.stream cimport Ahead
from hotswap.engine.stride cimport Steps

cdef enum:
    WIDEST = 2048           # pages of the widest window, 8 MiB
    AHEAD_READ = 256        # pages of one transfer, 1 MiB
    RESIDENT_LOOKS = 4096   # folios that are looked at, at most, to see what a reader may have come over

cdef struct Span:           # folios that are out in consecutive slots
    uint64_t entry
    int folios

cdef void readahead_after(Mm *mm, uint64_t page, int order) noexcept nogil
cdef uint64_t resident_before(Mm *mm, uint64_t page) noexcept nogil
cdef void ask(Mm *mm, Ahead *ahead) noexcept nogil
cdef void ask_steps(Mm *mm, Steps *steps) noexcept nogil
cdef void request_add(Mm *mm, uint64_t page, uint64_t pages, int64_t step) noexcept nogil
cdef void readahead_main(int index) noexcept nogil
cdef void read_window(Mm *mm, uint64_t page, uint64_t pages) noexcept nogil
cdef uint64_t read_run(Mm *mm, uint64_t page, int order, uint64_t end) noexcept nogil
cdef void read_steps(Mm *mm, uint64_t page, uint64_t count, int64_t step) noexcept nogil
cdef int find_steps(Mm *mm, uint64_t page, uint64_t count, int64_t step, uint64_t *entries, int *order) noexcept nogil
cdef void settle(Mm *mm, uint64_t entry, int order, int frame, bint failed) noexcept nogil
cdef int enlarge(Mm *mm, uint64_t page, uint64_t end) noexcept nogil
cdef void gather(Mm *mm, uint64_t page, int order, int folios, Span *span) noexcept nogil
cdef int take_slots(Mm *mm, uint64_t entry, int order, int folios, int *frames) noexcept nogil
