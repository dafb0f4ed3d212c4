from libc.stdint cimport uint8_t, uint32_t, uint64_t
from hotswap.engine.area cimport Area, Parked

cdef enum:
    SWAP_MAP_MAX = 0x3e         # the highest count a byte holds by itself
    SWAP_MAP_BAD = 0x3f         # not a slot: the header, a bad block, past the end
    SWAP_HAS_CACHE = 0x40       # a frame of the swap cache owns the slot too
    COUNT_CONTINUED = 0x80      # more of the count stands in the cluster's `extra`
    CONTINUATION = 0x20         # what moves there at a time

cdef int map_setup(Area *area) noexcept nogil
cdef void map_free(Parked *tables, bint poison) noexcept nogil
cdef void area_mend(int type) noexcept nogil
cpdef bint swap_map_mark_bad(int type, uint64_t offset) noexcept nogil
cpdef uint64_t swap_alloc(int type, int order, int want) noexcept nogil
cpdef int swap_duplicate(uint64_t entry, int slots) noexcept nogil
cpdef int add_swap_count_continuation(uint64_t entry, int slots) noexcept nogil
cpdef int swap_free(uint64_t entry, int slots) noexcept nogil
cpdef long swap_count(uint64_t entry) noexcept nogil
cpdef bint swap_has_cache(uint64_t entry) noexcept nogil
cdef int cached_slots(Area *area, uint64_t offset, int slots) noexcept nogil
cpdef int swapcache_prepare(uint64_t entry, int slots) noexcept nogil
cpdef int swapcache_free(uint64_t entry, int slots) noexcept nogil
cdef bint swap_map_picture(int type, uint8_t *cells, int count) noexcept nogil
cdef uint8_t fullness(Area *area, uint64_t start, uint64_t end) noexcept nogil
cpdef uint64_t swap_inuse(int type) noexcept nogil
cdef bint in_bounds(Area *area, uint64_t offset, int slots) noexcept nogil
cdef int cache_flag_set(Area *area, uint64_t offset, int slots) noexcept nogil
cdef void cache_flag_clear(Area *area, uint64_t offset, int slots) noexcept nogil
cdef bint cached_only(Area *area, uint64_t offset) noexcept nogil
cdef void drop_one(Area *area, uint64_t offset) noexcept nogil
cdef void slot_release(Area *area, uint64_t offset) noexcept nogil
