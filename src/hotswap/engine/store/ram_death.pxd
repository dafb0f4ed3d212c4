from libc.stdint cimport uint8_t, uint64_t
from hotswap.engine.store.pool cimport Pool
from hotswap.engine.store.ram cimport Ram

cdef struct Charges:
    uint64_t grains[64]     # by address space: what is packed for it

cdef Charges charges        # while everything is counted

cdef void charges_begin() noexcept nogil
cdef void charges_end() noexcept nogil
cdef void ram_mend(int type, uint8_t *map) noexcept nogil
cdef void forget_pieces(Pool *pool) noexcept nogil
cdef void name_pieces(Ram *ram, uint8_t *map) noexcept nogil
cdef void count_pieces(Ram *ram) noexcept nogil
cdef void pool_cut(int type) noexcept nogil
cdef void pool_mend(Pool *pool) noexcept nogil
cdef int block_mend(Pool *pool, int number) noexcept nogil
