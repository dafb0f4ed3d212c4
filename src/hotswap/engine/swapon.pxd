from libc.stdint cimport uint64_t

cdef struct Freeing:
    bint poison             # freed tables become inaccessible for good: a late user is caught in the act

cdef Freeing freeing

cpdef void poison_freed(bint always) noexcept nogil
cpdef int area_setup(int fd, uint64_t slots, int priority) noexcept nogil
cpdef void area_label(int type, uint64_t name) noexcept nogil
cpdef int area_front(int type, uint64_t most) noexcept nogil
cpdef void area_publish(int type) noexcept nogil
cpdef void area_teardown(int type) noexcept nogil
cdef void area_free_tables(int type) noexcept nogil
