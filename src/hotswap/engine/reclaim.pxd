from libc.stdint cimport int64_t, uint32_t, uint64_t
from hotswap.engine.mm cimport Mm
from hotswap.engine.victims cimport Victim

cdef enum:
    BATCH_PAGES = 512       # and their pages: a large transfer, 2 MiB
    URGENT_ROUNDS = 8       # of them, before it takes those on ``active`` too
    LARGEST = 512           # pages of the largest folio
    PAUSE_US = 100000       # the thread in the background looks that often, when nobody calls it
    BARREN_ROUNDS = 50      # rounds that free nothing, 2 ms each, before charge() gives up

cdef bint charge(Mm *mm, uint64_t pages) noexcept nogil
cdef bint charge_now(Mm *mm, uint64_t pages) noexcept nogil
cdef void uncharge(Mm *mm, uint64_t pages) noexcept nogil
cdef void reclaim_main(int index) noexcept nogil
cdef uint64_t shrink(Mm *mm, uint64_t want, bint urgent) noexcept nogil
cdef uint64_t drop_clean(Mm *mm, Victim *victims, int count) noexcept nogil
cdef bint take_out(Mm *mm, Victim *victim) noexcept nogil
cdef void put_back(Mm *mm, Victim *victim) noexcept nogil
cdef uint64_t write_out(Mm *mm, Victim *victims, int count) noexcept nogil
cdef int write_run(Mm *mm, Victim *victims, int count) noexcept nogil
cdef int whole_block(Mm *mm, Victim *victims, int count, int *least) noexcept nogil
cdef int write_row(Mm *mm, Victim *victims, int count, int order, int unit) noexcept nogil
cdef uint64_t write_parts(Mm *mm, Victim *victim) noexcept nogil
cdef void restore(Mm *mm, uint64_t page, uint64_t pages, uint64_t staging) noexcept nogil
cdef void value_set(Mm *mm, Victim *victim) noexcept nogil
cdef void said_out(Mm *mm, Victim *victim, uint64_t kind, uint64_t entry) noexcept nogil
cdef uint32_t left_at(Mm *mm, Victim *victim) noexcept nogil
cdef void finish(Mm *mm, Victim *victim, uint64_t kind, uint64_t entry) noexcept nogil
cdef uint64_t low_mark(Mm *mm) noexcept nogil
cdef uint64_t smallest_frames(Mm *mm) noexcept nogil
