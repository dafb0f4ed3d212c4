from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef void shms_lost(int member) noexcept nogil
cdef bint shms_mend() noexcept nogil
cdef bint shm_mend(Mm *mm) noexcept nogil
cdef void mend_views(Mm *mm) noexcept nogil
cdef void mend_folio(Mm *mm, uint64_t page) noexcept nogil
cdef bint mend_parts(Mm *mm, uint64_t page, int order) noexcept nogil
cdef void mend_dirty(Mm *mm, uint64_t page, uint64_t pages) noexcept nogil
cdef void mend_out(Mm *mm, uint64_t page, uint64_t pages) noexcept nogil
cdef void mend_orphans(Mm *mm) noexcept nogil
cdef void mend_lists(Mm *mm) noexcept nogil
cdef void mend_frames(Mm *mm) noexcept nogil
cdef bint all_in(Mm *mm, uint64_t page, uint64_t pages) noexcept nogil
