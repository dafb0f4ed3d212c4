from libc.stdint cimport uint64_t
from hotswap.engine.mm cimport Mm

cdef enum:
    BATCH = 256             # folios that one round of reclaim takes at most
    NOBODY_YET = -1         # isolate() spared somebody, and found nobody else

cdef struct Victim:
    uint64_t page
    uint64_t kept           # what its page-table entry said
    uint64_t value          # of a folio whose words are all equal
    int order
    int frame

cdef int isolate(Mm *mm, Victim *victims, uint64_t want, bint urgent) noexcept nogil
cdef void sort_by_page(Victim *victims, int count) noexcept nogil
