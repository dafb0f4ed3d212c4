from libc.stdint cimport uint64_t

cpdef int area_setup(int fd, uint64_t slots, int priority) noexcept nogil
cpdef void area_label(int type, uint64_t name) noexcept nogil
cpdef void area_publish(int type) noexcept nogil
cpdef void area_teardown(int type) noexcept nogil
cdef void area_free_tables(int type) noexcept nogil
cpdef void area_release_row(int type) noexcept nogil
