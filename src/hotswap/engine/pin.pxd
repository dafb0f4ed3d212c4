from libc.stdint cimport uint64_t
from hotswap.engine.mm cimport Mm, Vma

cpdef int mm_pin(int index, uint64_t page, uint64_t pages) noexcept nogil
cpdef void mm_unpin(int index, uint64_t page, uint64_t pages) noexcept nogil
cdef int pin_once(int index, uint64_t page, uint64_t pages) noexcept nogil
cdef int pin_folio(Mm *mm, Vma *vma, uint64_t page) noexcept nogil
cdef bint room_to_pin(Mm *owner, uint64_t size) noexcept nogil
cdef void unpin_range(Mm *mm, Vma *vma, uint64_t page, uint64_t end) noexcept nogil
cdef uint64_t unpin_folio(Mm *owner, uint64_t folio) noexcept nogil
