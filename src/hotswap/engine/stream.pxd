from libc.stdint cimport uint64_t
from hotswap.engine.mm cimport Mm

cdef enum:
    STREAM_NONE = -1
    SPARSE_WINDOW = 64      # pages: who came in short steps is expected within these

cdef enum:                  # which way a reader came
    ONWARDS = 0
    TURNED = 1
    AMONG = 2

cdef struct Ahead:          # pages that are worth reading now
    uint64_t page
    uint64_t pages
    bint back               # the last of them first

cdef int stream_expected(Mm *mm, uint64_t page) noexcept nogil
cdef uint64_t stream_run(Mm *mm, uint64_t page) noexcept nogil
cdef int stream_new(Mm *mm, uint64_t page, uint64_t pages, uint64_t run) noexcept nogil
cdef void stream_sparse(Mm *mm, uint64_t page, uint64_t pages, bint back) noexcept nogil
cdef void stream_touched(Mm *mm, uint64_t page, uint64_t pages, bint begins) noexcept nogil
cdef void stream_begins(Mm *mm, int number) noexcept nogil
cdef void stream_went_on(Mm *mm, int number, uint64_t page, uint64_t pages, uint64_t most, Ahead *ahead) noexcept nogil
cdef bint stream_on_trial(Mm *mm, int number, uint64_t page, uint64_t pages) noexcept nogil
cdef int stream_way(Mm *mm, int number, uint64_t page, uint64_t pages) noexcept nogil
cdef void stream_tried(Mm *mm, int number, uint64_t page, uint64_t pages) noexcept nogil
cdef void stream_at(Mm *mm, int number, uint64_t page, uint64_t pages, int way) noexcept nogil
cdef void stream_moved(Mm *mm, uint64_t page, uint64_t to) noexcept nogil
