from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef enum:
    VIEWS = 32              # attachments of one object

cdef struct View:           # where an object is attached
    int mm
    uint64_t start          # the first page, in that mm's arena

cdef struct Shm:            # what an object has besides its Mm, whose index it shares
    arch.mutex lock
    View views[32]          # under lock
    int view_count

cdef Shm *shms

cdef int shm_attach(Mm *shm, Mm *mm, uint64_t start) noexcept nogil
cdef void shm_detach(Mm *shm, Mm *mm, uint64_t start) noexcept nogil
cdef int shm_view_count(Mm *shm) noexcept nogil
cdef void shm_unmap(Mm *shm, uint64_t page, int order) noexcept nogil
cdef void shm_zero(Mm *shm, uint64_t page, int order) noexcept nogil
cdef void shm_fill(Mm *shm, uint64_t page, int order, uint64_t source) noexcept nogil
cdef void shm_take_out(Mm *shm, uint64_t page, int order, uint64_t to) noexcept nogil
cdef void shm_drop(Mm *shm, uint64_t page, int order) noexcept nogil
cdef void shm_view(Mm *mm, uint64_t page, int order, bint protect, bint write) noexcept nogil
