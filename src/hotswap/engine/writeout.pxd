from libc.stdint cimport uint64_t
from hotswap.engine.mm cimport Mm

cdef int swap_writeout(Mm *mm, const uint64_t *addresses, int count, int order, uint64_t *first) noexcept nogil
cdef void slots_drop(uint64_t entry, int slots) noexcept nogil
