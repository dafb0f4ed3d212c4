from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.area cimport Area
from hotswap.engine.guard.contract cimport Guard, section_call

cdef struct Slot:           # of the table of pointers; an area's
    arch.word current       # the pointer: 1 + the number of the object in `published`; 0: there is none
    int turn                # the next object's number; swapon's

cdef Slot *slots
cdef Area **published       # objects by number, 2 * type + turn: a new one never stands where a user may still look for the old

cdef void describe(Guard *guard) noexcept
cdef Area *enter(int type) noexcept nogil
cdef void publish(int type, section_call insert) noexcept nogil
cdef void retire(int type, section_call detach) noexcept nogil
