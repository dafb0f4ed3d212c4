from libc.stdint cimport uint64_t

cdef enum:
    AREAS = 32          # areas that can be on at one time
    TYPE_SHIFT = 40     # an entry is type << 40 | offset

cpdef uint64_t make_entry(int type, uint64_t offset) noexcept nogil
cpdef int entry_type(uint64_t entry) noexcept nogil
cpdef uint64_t entry_offset(uint64_t entry) noexcept nogil
