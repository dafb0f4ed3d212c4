from libc.stdint cimport uint64_t
from hotswap.engine.store.contract cimport Store

cdef void describe(Store *store) noexcept
cdef int file_read(int fd, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot) noexcept nogil
cdef int file_write(int fd, int mm, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot, int element) noexcept nogil
