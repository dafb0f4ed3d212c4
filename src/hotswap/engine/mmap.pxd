from libc.stdint cimport int64_t, uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef enum:
    ARENA_BITS = 28         # pages of address space that a space asks for first: 1 TiB
    ARENA_LEAST = 16        # and is content with: 256 MiB

cdef arch.word *rows

cpdef int mm_create(uint64_t limit, int order, int refuse, bint signal) noexcept nogil
cpdef int mm_destroy(int index) noexcept nogil
cpdef int64_t mm_map(int index, uint64_t pages, int order) noexcept nogil
cpdef int mm_unmap(int index, uint64_t start) noexcept nogil
cpdef int mm_limit(int index, uint64_t limit) noexcept nogil
cdef uint64_t mm_least(int index) noexcept nogil
cpdef uint64_t mm_base(int index) noexcept nogil
cpdef int mm_features(int index) noexcept nogil
cpdef uint64_t mm_figure(int index, int which) noexcept nogil
cdef Mm *mm_new(uint64_t limit, int order) noexcept nogil
cdef void row_give(Mm *mm) noexcept nogil
cdef int mm_begin(Mm *mm, int failed) noexcept nogil
cdef void set_up_words(Mm *mm, uint64_t limit, int order) noexcept nogil
cdef int set_up(Mm *mm, int refuse, bint signal) noexcept nogil
cdef int set_up_tables(Mm *mm) noexcept nogil
cdef int staging_begin(Mm *mm) noexcept nogil
cdef int start_threads(Mm *mm, int handlers) noexcept nogil
cdef bint start_one(Mm *mm, arch.thread_main main, int argument, const char *name) noexcept nogil
cdef void stop_threads(Mm *mm) noexcept nogil
cdef void waiters_forked() noexcept nogil
cdef void tear_down(Mm *mm) noexcept nogil
cdef void tables_free(Mm *mm) noexcept nogil
cdef void unmap_range(Mm *mm, int number) noexcept nogil
cdef void unmap_folios(Mm *mm, uint64_t page, uint64_t end) noexcept nogil
cdef uint64_t unmap_folio(Mm *mm, uint64_t page) noexcept nogil
