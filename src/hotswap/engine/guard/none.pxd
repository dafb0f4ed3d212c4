from hotswap.engine.guard.contract cimport Guard

cdef void describe(Guard *guard) noexcept
cdef bint enter(int type) noexcept nogil
cdef void leave(int type) noexcept nogil
cdef void publish(int type) noexcept nogil
cdef void retire(int type) noexcept nogil
