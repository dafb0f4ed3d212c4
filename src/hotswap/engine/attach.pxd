from libc.stdint cimport int64_t, uint8_t, uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef struct Names:
    arch.mutex lock         # names come and go

cdef Names *names

cpdef int shm_create(uint64_t pages, uint64_t limit, int order, int features) noexcept nogil
cpdef int64_t mm_attach(int index, int shm_index) noexcept nogil
cpdef int shm_destroy(int index) noexcept nogil
cdef int shm_set_up(Mm *mm, uint64_t pages, int features) noexcept nogil
cdef int shm_leave(Mm *mm) noexcept nogil
cdef void shm_end(Mm *mm) noexcept nogil
cdef void shm_adopt() noexcept nogil
cdef int lowest_of(uint64_t members) noexcept nogil
cdef int shm_find(const uint8_t *name, int length) noexcept nogil
cdef int shm_name(int index, const uint8_t *name, int length, const uint8_t *info, int info_length) noexcept nogil
cdef int shm_open_named(const uint8_t *name, int length) noexcept nogil
cdef int shm_unname(const uint8_t *name, int length) noexcept nogil
cdef void shm_inherit(int member) noexcept nogil
cdef void shm_disinherit(int member) noexcept nogil
cdef int shm_join() noexcept nogil
cdef void shm_cut_lru(int index) noexcept nogil
cdef void shm_cut_frames(int index) noexcept nogil
