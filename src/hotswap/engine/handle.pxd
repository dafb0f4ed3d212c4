cdef int handles[64]

cdef int handle_new(int row) noexcept nogil
cdef int handle_row(int handle) noexcept nogil
cdef void handle_drop(int handle) noexcept nogil
cdef void handles_forked(const int *rows) noexcept nogil
