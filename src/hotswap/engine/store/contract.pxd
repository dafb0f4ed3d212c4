from libc.stdint cimport uint64_t

ctypedef int (*read_call)(int handle, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot) noexcept nogil
ctypedef int (*write_call)(int handle, int mm, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot, int element) noexcept nogil
ctypedef void (*discard_call)(int handle, uint64_t slot) noexcept nogil

cdef struct Store:
    int kind
    read_call read          # pieces of some pages each, from slots in a row: 0 or a negative errno
    write_call write        # the same to slots: how many pieces were written, from the first on, or a negative errno when none was
    discard_call discard    # a slot became free; NULL: that is nothing to the store

cdef enum:
    STORE_FILE = 0
    STORE_RAM = 1
    STORE_FRONT = 2         # compressed RAM in front of a file
    STORES = 3

cdef Store stores[3]

cdef Store *store_at(int which) noexcept nogil
