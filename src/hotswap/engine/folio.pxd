from libc.stdint cimport uint32_t, uint64_t
from hotswap.engine.mm cimport Mm, Vma

cdef enum:
    DENSE = 128             # of 256: with so much of the faults in scans, one elsewhere is taken for the beginning of another
    DENSE_SHIFT = 4         # how fast that changes: a 16th a fault

cdef enum:
    NO_FOLIO = 0xffffffffffffffff   # an object's entry was not to be had: everybody is asked to rest

cdef uint64_t folio_lock(Mm *mm, uint64_t page) noexcept nogil
cdef uint64_t folio_fit(Mm *mm, Vma *vma, uint64_t page, bint write, bint all) noexcept nogil
cdef void folio_begin(Mm *mm, Vma *vma, uint64_t page, int order) noexcept nogil
cdef bint folio_divides(Mm *mm, uint64_t folio) noexcept nogil
cdef int wanted_order(Mm *mm, Vma *vma, uint64_t folio, uint64_t page, bint write) noexcept nogil
cdef uint64_t kind_at(Mm *mm, uint64_t page) noexcept nogil
cdef int touch_order(Mm *mm, Vma *vma, uint64_t page) noexcept nogil
cdef int sparse_order(Mm *mm, Vma *vma, int order) noexcept nogil
cdef void scan_noted(Vma *vma, bint scan) noexcept nogil
cdef uint64_t folio_part(Mm *mm, uint64_t page) noexcept nogil
cdef bint folio_grow(Mm *mm, Vma *vma, uint64_t page, int order) noexcept nogil
cdef void folio_split(Mm *mm, uint64_t folio, int order) noexcept nogil
cdef bint folio_merge(Mm *mm, uint64_t first, int order) noexcept nogil
cdef uint64_t merge_lock(Mm *mm, uint64_t first, int order, uint64_t *end) noexcept nogil
cdef bint lock_waits(Mm *mm, uint64_t page) noexcept nogil
cdef void tail_lock(Mm *mm, uint64_t page) noexcept nogil
cdef void entry_set(Mm *mm, uint64_t page, uint64_t state) noexcept nogil
cdef void tails_set(Mm *mm, uint64_t folio, int order) noexcept nogil
cdef void piece_set(Mm *mm, uint64_t page, uint64_t state, uint32_t prev, uint32_t next) noexcept nogil
