from libc.stdint cimport uint8_t, uint64_t
from hotswap cimport arch

cdef enum:
    GRAIN_SHIFT = 6         # 64 bytes: what sizes and places are counted in
    BLOCK_SHIFT = 18        # 256 KiB: objects of one class
    BLOCK_GRAINS = 4096
    CLASSES = 64
    GRAINS_MOST = 819       # the largest object: five fit in a block
    HEAD = 8                # bytes before an object's own: whose it is
    SPARSE = 4              # one in so many objects of a class may be free before it is squeezed
    NOWHERE = 0
    NIL = -1

ctypedef void (*moved_call)(int handle, uint64_t owner, uint64_t old, uint64_t place) noexcept nogil

cdef struct Block:          # under the pool's lock
    int kind                # the class of its objects; NIL: free
    int used                # objects
    int mark                # objects that were ever used since it was taken: what is behind them has no memory yet
    int free                # the first of those that were given back, + 1; each names the next in its head
    int readers             # who reads in it: nothing in it is moved
    int prev                # among the blocks of the class that have room
    int next

cdef struct Pool:
    arch.mutex lock
    uint64_t memory         # address of the first block
    int blocks              # how many there is room for
    int taken               # how many were ever taken: those behind have no state yet
    int free                # blocks given back, by `next`
    Block *block
    int room[64]            # by class: the first block with room
    uint64_t objects[64]    # by class
    uint64_t places[64]     # by class: objects that have memory, used or not
    arch.word pages         # of memory, for who watches

cdef int class_grains[64]
cdef uint8_t class_of[820]
cdef int classes

cdef int pool_setup(Pool *pool, uint64_t bytes) noexcept nogil
cdef void pool_teardown(Pool *pool, bint poison) noexcept nogil
cdef int grains_for(uint64_t bytes) noexcept nogil
cdef uint64_t pool_take(Pool *pool, int grains, uint64_t owner) noexcept nogil
cdef void pool_give(Pool *pool, uint64_t place) noexcept nogil
cdef uint64_t pool_address(Pool *pool, uint64_t place) noexcept nogil
cdef void pool_read(Pool *pool, uint64_t place) noexcept nogil
cdef void pool_unread(Pool *pool, uint64_t place) noexcept nogil
cdef void pool_squeeze(Pool *pool, int kind, moved_call moved, int handle) noexcept nogil
cdef int sparsest(Pool *pool, int kind) noexcept nogil
cdef bint squeezable(Pool *pool, int kind) noexcept nogil
cdef uint64_t object_at(Pool *pool, int number, int index) noexcept nogil
cdef int block_take(Pool *pool, int kind) noexcept nogil
cdef void block_give(Pool *pool, int number) noexcept nogil
cdef void count_pages(Pool *pool, Block *block, int change) noexcept nogil
cdef void room_link(Pool *pool, int number) noexcept nogil
cdef void room_unlink(Pool *pool, int number) noexcept nogil
cdef void room_link_last(Pool *pool, int number) noexcept nogil
