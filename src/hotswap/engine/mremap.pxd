from libc.stdint cimport int64_t, uint64_t
from hotswap.engine.mm cimport Mm

cdef int64_t mm_resize(int index, uint64_t page, uint64_t pages) noexcept nogil
cdef int64_t mm_range(int index, uint64_t page, uint64_t *start, int *order) noexcept nogil
cdef int mm_move(int index, uint64_t source, uint64_t to, uint64_t pages) noexcept nogil
cdef void cut(Mm *mm, uint64_t page) noexcept nogil
cdef uint64_t move_folio(Mm *mm, uint64_t source, uint64_t to) noexcept nogil
cdef void carry(Mm *mm, uint64_t source, uint64_t to, uint64_t length, bint protect) noexcept nogil
