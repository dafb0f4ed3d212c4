from hotswap cimport arch
from hotswap.engine.area cimport Area
from hotswap.engine.guard.contract cimport Guard, section_call

cdef arch.word *valid       # of each area: users may come
cdef arch.rwlock *nobodys   # stands for the mmap lock of threads that work for no address space

cdef void describe(Guard *guard) noexcept
cdef Area *enter(int type) noexcept nogil
cdef void leave(int type) noexcept nogil
cdef void publish(int type, section_call insert) noexcept nogil
cdef void retire(int type, section_call detach) noexcept nogil
cdef bint use_mm(int mm) noexcept nogil
cdef void unuse_mm(int mm) noexcept nogil
cdef void visit_everyone() noexcept nogil
