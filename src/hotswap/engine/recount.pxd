from libc.stdint cimport uint32_t, uint64_t
from hotswap.engine.area cimport Area
from hotswap.engine.mm cimport Mm

cdef enum:
    FREED = 0xffffffff      # of a slot that was in use and has no reference

cdef struct Recount:        # one at a time, under family.lock
    uint32_t *references[32]    # by area and slot

cdef Recount work

cdef bint count_everything() noexcept nogil
cdef void count_space(Mm *mm) noexcept nogil
cdef void set_counts(int type) noexcept nogil
cdef void set_count(Area *area, uint64_t slot, uint32_t count) noexcept nogil
cdef void set_cached(Mm *mm) noexcept nogil
cdef void settle_area(int type) noexcept nogil
