from libc.stdint cimport uint64_t
from hotswap.engine.mm cimport Mm

cdef enum:
    PARTS = 64              # pages that are tried in a row

cdef int swap_writeout(Mm *mm, uint64_t page, const uint64_t *addresses, int count, int order, int unit, uint64_t *first) noexcept nogil
cdef int swap_writeback(int type, Mm *mm, uint64_t page, const uint64_t *addresses, int count, int order, uint64_t *first) noexcept nogil
cdef int write_to(int type, Mm *mm, uint64_t page, const uint64_t *addresses, int count, int order, int unit, uint64_t *first, bint ram_too) noexcept nogil
cdef int swap_writeout_parts(Mm *mm, uint64_t page, uint64_t address, int pages, uint64_t *entries) noexcept nogil
cdef void slots_drop(uint64_t entry, int slots) noexcept nogil
