from libc.stdint cimport uint64_t
from hotswap.engine.store.contract cimport Store
from hotswap.engine.store.ram cimport Ram

cdef enum:
    OUT_PIECES = 64         # that are written to the file in one transfer

cdef void describe(Store *store) noexcept
cdef int front_setup(int type, int fd, uint64_t slots, uint64_t most) noexcept nogil
cdef int front_write(int type, int mm, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot, int element) noexcept nogil
cdef int front_read(int type, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot) noexcept nogil
cdef int written_before(uint64_t start, uint64_t slot, uint64_t pages, int failed) noexcept nogil
cdef int write_through(int type, const uint64_t *pieces, int count, uint64_t size, uint64_t start) noexcept nogil
cdef bint front_settled(Ram *ram, uint64_t start, uint64_t end) noexcept nogil
cdef bint is_held(int type, uint64_t slot) noexcept nogil
cdef uint64_t bare_run(Ram *ram, uint64_t slot, uint64_t most) noexcept nogil
cdef int front_back(int type) noexcept nogil
cdef int back_stretch(int type, uint64_t start) noexcept nogil
cdef uint64_t take_cold(Ram *ram, int codec, uint64_t start, uint64_t at, uint64_t slots, bint everyone) noexcept nogil
cdef int write_run(Ram *ram, uint64_t start, uint64_t at, uint64_t run) noexcept nogil
cdef int settle_run(Ram *ram, uint64_t start, uint64_t at, uint64_t run, bint written) noexcept nogil
