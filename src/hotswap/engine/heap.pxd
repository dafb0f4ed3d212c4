from libc.stdint cimport int64_t, uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef enum:
    KEPT = 64               # freed blocks that are kept for the next of the same size
    KEPT_BLOCK = 8192       # pages of the largest, 32 MiB: as the C library has it (M_MMAP_THRESHOLD's limit)
    KEPT_SHIFT = 3          # all of them, and what a new block gets at once: that part of a limit (an 8th)
    ROOMY_SHIFT = 2         # and only while that part of it is free (a quarter)

    ZEROS = 1 << 21         # bytes of the largest folio

cdef struct Kept:
    int index               # of the space
    uint64_t start
    uint64_t pages

cdef struct Heap:
    arch.mutex lock
    Kept kept[64]           # the oldest first
    int count
    uint64_t pages
    uint64_t zeros          # the address of some; fixed

cdef Heap heap

cdef uint64_t heap_map(int index, uint64_t bytes, bint zeroed) noexcept nogil
cdef void heap_element(int index, uint64_t address, uint64_t bytes, int element) noexcept nogil
cdef void heap_unmap(uint64_t address) noexcept nogil
cdef uint64_t heap_room(uint64_t address) noexcept nogil
cdef uint64_t heap_resize(uint64_t address, uint64_t bytes) noexcept nogil
cdef int heap_pin(uint64_t address, uint64_t bytes) noexcept nogil
cdef void heap_unpin(uint64_t address, uint64_t bytes) noexcept nogil
cdef int heap_close(int index) noexcept nogil
cdef int space_of(uint64_t address) noexcept nogil
cdef int order_for(Mm *mm, uint64_t pages) noexcept nogil
cdef uint64_t whole(Mm *mm, uint64_t pages, int order) noexcept nogil
cdef uint64_t map_new(int index, uint64_t pages, int order) noexcept nogil
cdef void pages_ahead(Mm *mm, uint64_t page, uint64_t pages) noexcept nogil
cdef uint64_t folio_ahead(Mm *mm, uint64_t page) noexcept nogil
cdef void give_back(int index, uint64_t start, uint64_t pages) noexcept nogil
cdef bint roomy(int index) noexcept nogil
cdef int64_t kept_take(int index, uint64_t pages) noexcept nogil
cdef bint kept_put(int index, uint64_t start, uint64_t pages) noexcept nogil
cdef void kept_remove(int place) noexcept nogil
cdef void drop_oldest() noexcept nogil
cdef int kept_flush(int index) noexcept nogil
cdef void heap_forked(const int *rows) noexcept nogil
cdef uint64_t move_block(int index, uint64_t start, uint64_t pages, uint64_t wanted) noexcept nogil
