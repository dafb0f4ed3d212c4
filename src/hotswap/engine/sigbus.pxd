from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef struct Served:         # by index of the address space
    arch.word first         # address of its arena, 0: none, or its faults go to handler threads
    arch.word bytes

cdef Served spaces[64]       # a process's own

cdef int sigbus_add(Mm *mm) noexcept nogil
cdef void sigbus_remove(Mm *mm) noexcept nogil
cdef void sigbus_forked() noexcept nogil
cdef int sigbus_fault(uint64_t address, int write) noexcept nogil
