from libc.stdint cimport uint32_t, uint64_t
from hotswap.engine.mm cimport Lru, Mm

cdef enum:
    EMPTY_LIST = 0xffffffff
    AGED = 256              # folios that one round of ageing moves at most

cdef void lru_setup(Lru *lru) noexcept nogil
cdef void age(Mm *mm, bint urgent) noexcept nogil
cdef void lru_insert(Mm *mm, uint64_t page, int order, bint active) noexcept nogil
cdef void lru_remove(Mm *mm, uint64_t page, int order, bint active) noexcept nogil
cdef void lru_link(Mm *mm, Lru *lru, uint32_t page, int order) noexcept nogil
cdef void lru_link_behind(Mm *mm, uint32_t page, uint32_t before, bint active) noexcept nogil
cdef void lru_unlink(Mm *mm, Lru *lru, uint32_t page, int order) noexcept nogil
cdef bint was_hot(Mm *mm, uint32_t shadow) noexcept nogil
