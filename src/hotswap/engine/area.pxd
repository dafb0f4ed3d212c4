from libc.stdint cimport uint8_t, uint32_t, uint64_t
from hotswap cimport arch

cdef enum:
    SWP_WRITEOK = 2         # new slots may be taken
    SWP_EMPTYING = 4        # a swapoff is under way
    CLUSTER_SLOTS = 512     # 2 MiB: the largest folio
    ORDERS = 10             # folios of 1, 2, 4 ... 512 slots
    BUCKETS = 4096          # of the swap cache's index
    NIL = -1

cdef struct Cluster:        # all under the area's lock
    int used                # slots that are not free (bad ones count)
    int order               # of the folios in it; NIL while it is free
    int list                # which list it is on
    int prev
    int next
    uint32_t *extra         # continuation of counts that overflow, a number a slot; NULL until one does

cdef struct Area:
    arch.word flags
    # Set up before publish, gone after retire; reading them needs the guard.
    int store               # where the bytes are: a number of store/contract.py, since code lies elsewhere in each process
    int handle              # and its name for the area
    int priority
    int turn                # pages it took since its equals had theirs; under active.lock
    uint64_t label          # address of the name that the log gives it, or 0
    int generation          # how many times this row was switched on
    int cluster_count
    uint64_t slots          # the header's slot 0 and bad ones included
    uint64_t usable
    uint8_t *map            # a count a slot, and flags: swap_map.py
    Cluster *clusters
    uint32_t *buckets       # heads of the swap cache's chains: frame handles
    # Under lock:
    arch.mutex lock
    int free_head
    int partial_head[10]
    int partial_tail[10]
    int current[10]         # the cluster that order takes slots from now
    int cursor[10]          # and where in it
    int order_clusters[10]  # how many clusters are that order's
    uint64_t order_used[10] # and how many slots in them are taken
    # Counters
    arch.word inuse         # slots with a count or in the swap cache
    arch.word pages_in
    arch.word pages_out
    arch.word errors

cdef struct Active:         # areas that take new slots, best first; under lock
    arch.mutex lock
    int count
    int type[32]

cdef struct Parked:         # an area's tables between the moment it loses them and their end
    int cluster_count
    uint8_t *map
    Cluster *clusters
    uint32_t *buckets

cdef struct Figures:        # of an area, for who watches
    uint64_t most           # of compressed RAM: pages of memory that it may take
    uint64_t held           # and takes
    uint64_t stored         # bytes that are in there, as they came
    uint64_t packed         # and as they are kept
    uint64_t backed         # pages that were written back to other areas, or to the file behind it
    uint64_t declined       # pages that did not pack
    uint64_t usable
    uint64_t used
    uint64_t pages_in
    uint64_t pages_out
    uint64_t errors
    uint64_t flags

cdef Area *areas            # the rows
cdef Area **objects      # what area_at() gives: the row, or the object that was made for this swapon
cdef Area **made            # that object's memory, or NULL
cdef arch.word *taken       # rows that are some area's
cdef Parked *parked
cdef Active *active

cdef Area *area_at(int type) noexcept nogil
cpdef int area_take_row() noexcept nogil
cpdef void area_release_row(int type) noexcept nogil
cpdef bint area_row_taken(int type) noexcept nogil
cdef Area *area_make(int type) noexcept nogil
cdef void area_unmake(int type) noexcept nogil
cdef void area_detach(int type) noexcept nogil
cdef void area_activate(int type) noexcept nogil
cdef bint area_deactivate(int type) noexcept nogil
cdef int areas_by_priority(int *types) noexcept nogil
cdef void area_rotate(int type, int pages) noexcept nogil
cdef bint area_figures(int type, Figures *figures) noexcept nogil
cdef int area_read(Area *area, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot) noexcept nogil
cdef void area_read_each(const uint64_t *entries, const uint64_t *addresses, int count, uint64_t pages, int *failed) noexcept nogil
cdef int area_write(Area *area, int mm, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot, int element) noexcept nogil
