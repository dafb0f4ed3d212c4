from libc.stdint cimport uint8_t, uint64_t
from hotswap cimport arch
from hotswap.engine.area cimport Figures

cdef enum:
    NAME_BYTES = 4096       # of a path, its zero included
    SWAP_PARTITION = 1      # a block device
    SWAP_DIRECT = 2         # transfers bypass the page cache
    SWAP_RAM = 4            # compressed memory: there is no file
    SWAP_FRONT = 8          # compressed memory in front of it
    SWAPS_FREE = 0          # a row is nobody's,
    SWAPS_COMING = 1        # is set up,
    SWAPS_ON = 2            # is listed, until its swapoff is reaped,
    SWAPS_GOING = 3         # is let go of

cdef struct Listed:         # all under swaps.lock; the name stays as it is while the area is on
    int state
    int member              # who switches it on, or has switched it off
    int fd
    int how
    int priority
    int length
    uint8_t name[4096]

cdef struct Swaps:
    arch.mutex lock

cdef Listed *listed
cdef Swaps *swaps

cdef int swaps_begin(int fd, uint64_t slots, int priority, int how, const uint8_t *name, int length, uint64_t most) noexcept nogil
cdef int begin_packing(int type, int how, uint64_t most) noexcept nogil
cdef void swaps_finish(int type) noexcept nogil
cdef void swaps_list(int type) noexcept nogil
cdef int swaps_undo(int type) noexcept nogil
cdef int swaps_off(const uint8_t *name, int length) noexcept nogil
cdef void swaps_reap(int type, int member) noexcept nogil
cdef void swaps_let_go(int type) noexcept nogil
cdef void swaps_mend(int nothing) noexcept nogil
cdef bint swaps_look(int type, Listed *found, Figures *figures) noexcept nogil
cdef int swaps_choose_guard(int which) noexcept nogil
cdef void swaps_forked() noexcept nogil
cdef void swaps_orphan(int type, int member) noexcept nogil
cdef int find_name(const uint8_t *name, int length) noexcept nogil
