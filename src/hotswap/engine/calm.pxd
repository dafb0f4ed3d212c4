cdef void calm_enter() noexcept nogil
cdef void calm_leave() noexcept nogil
cdef void calm_stop() noexcept nogil
cdef void calm_go() noexcept nogil
cdef void calm_begin() noexcept nogil
