from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef struct Account:        # in pages
    arch.mutex lock
    uint64_t usable[32]     # of each area that is on
    uint64_t promised[64]   # to each space

cdef struct Verdict:
    uint64_t wanted         # pages that might have to be out
    uint64_t room           # and what the areas hold

cdef Account *account

cpdef void commit_area(int type, uint64_t usable) noexcept nogil
cpdef void commit_drop(int space) noexcept nogil
cdef bint commit_promise(int space, uint64_t pages, Verdict *verdict) noexcept nogil
cpdef void commit_take_back(int space, uint64_t pages) noexcept nogil
cdef void judge(Verdict *verdict) noexcept nogil
