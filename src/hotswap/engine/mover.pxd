from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef struct Mover:
    arch.mutex alive        # the thread's for as long as it lives

cdef Mover *movers          # by the thread's number

cdef void mover_here() noexcept nogil
cdef bint movers_gone(uint64_t process) noexcept nogil
