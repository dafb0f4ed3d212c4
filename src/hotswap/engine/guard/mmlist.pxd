from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.area cimport Area
from hotswap.engine.guard.contract cimport Guard, section_call

cdef struct Visit:
    arch.word wanted        # how often the member was asked to visit its address spaces
    arch.word done          # the last time that it has

cdef struct Nobodys:        # stands for the mmap lock of threads that work for no address space; a process's own
    arch.rwlock lock

cdef arch.word *valid       # of each area: users may come
cdef Visit *visits          # by member of the family
cdef Nobodys nobodys

cdef void describe(Guard *guard) noexcept
cdef Area *enter(int type) noexcept nogil
cdef void leave(int type) noexcept nogil
cdef void publish(int type, section_call insert) noexcept nogil
cdef void retire(int type, section_call detach) noexcept nogil
cdef bint use_mm(int mm) noexcept nogil
cdef void unuse_mm(int mm) noexcept nogil
cdef void visit_everyone() noexcept nogil
cdef void visit_mine() noexcept nogil
cdef void await_visit(int member, uint64_t asked) noexcept nogil
cdef void visit_serve() noexcept nogil
cdef void visit_forked() noexcept nogil
