from libc.stdint cimport uint64_t
from hotswap.engine.area cimport Area

cdef enum:
    LIST_NONE = 0       # full, or nowhere
    LIST_FREE = 1
    LIST_PARTIAL = 2
    LIST_CURRENT = 3
    SLOT_BAD = 0x3f     # in the map, as swap_map.py has it

cdef struct Run:        # consecutive folios' worth of slots
    uint64_t offset
    int count

cdef void clusters_setup(Area *area) noexcept nogil
cdef void clusters_recount(Area *area) noexcept nogil
cdef bint cluster_take(Area *area, int order, int want, Run *run) noexcept nogil
cdef bint cluster_scan(Area *area, int number, int start, int order, int want, Run *run) noexcept nogil
cdef void cluster_settle(Area *area, int number) noexcept nogil
cdef void cluster_mark(Area *area, uint64_t offset, int slots) noexcept nogil
cdef void cluster_put(Area *area, uint64_t offset) noexcept nogil
cdef void list_add(Area *area, int number, int list) noexcept nogil
cdef void list_remove(Area *area, int number) noexcept nogil
