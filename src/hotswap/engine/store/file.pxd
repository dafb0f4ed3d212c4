from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.store.contract cimport Store

cdef enum:
    FILE_ROWS = 32          # of areas
    FILE_HOLDERS = 64       # members of a family
    SPREAD_TRIES = 100      # of 2 ms each
    FD_BITS = 24
    EACH = 16               # pieces that are read from anywhere at one go

cdef struct Origin:         # of an area's file, for the whole family
    arch.word generation    # counts swapons and swapoffs of the row: odd while its file is an area's
    int direct              # transfers bypass the page cache
    uint64_t identity       # which file it is

cdef struct Holder:         # who has the file open; only that member writes it
    arch.word generation
    arch.word process
    arch.word fd

cdef Origin *origins
cdef Holder *holders        # by member and row
cdef arch.word opened[32]    # a process's own: the generation of what it has open << FD_BITS | the descriptor; 0: nothing

cdef void describe(Store *store) noexcept
cdef int file_read(int type, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot) noexcept nogil
cdef void file_read_each(const int *types, const uint64_t *addresses, const uint64_t *slots, int count, uint64_t pages, int *results) noexcept nogil
cdef int file_write(int type, int mm, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot, int element) noexcept nogil
cdef void file_on(int type, int fd, bint direct) noexcept nogil
cdef int file_off(int type) noexcept nogil
cdef int file_here(int type) noexcept nogil
cdef int file_open_late(int type) noexcept nogil
cdef void file_tell(int type, uint64_t generation, int fd) noexcept nogil
cdef void file_note(int type, uint64_t generation, int fd) noexcept nogil
cdef void file_untell(int type, uint64_t generation) noexcept nogil
cdef uint64_t word_of(uint64_t generation, int fd) noexcept nogil
cdef int fd_of(uint64_t word) noexcept nogil
cdef void file_spread(int type) noexcept nogil
cdef void file_gather(int type, uint64_t gone) noexcept nogil
cdef bint file_held(int member, int type, uint64_t gone) noexcept nogil
cdef bint files_settled() noexcept nogil
cdef void files_forked() noexcept nogil
cdef void files_tidy() noexcept nogil
cdef bint files_all() noexcept nogil
cdef void files_lock() noexcept nogil
cdef void files_close() noexcept nogil
