from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef enum:
    ORDERS = 10             # of folios: 4 KiB to 2 MiB
    SLACK = 2               # clusters of an area that large folios may not be able to use: the one with the header, and the last
    CLUSTER = 512           # pages

cdef struct Account:        # in pages
    arch.mutex lock
    uint64_t usable[32]     # of each area that is on
    uint64_t promised[640]  # by space and order of the folios
    uint64_t in_order[10]   # the same, of all spaces

cdef struct Verdict:
    uint64_t wanted         # pages that might have to be out
    uint64_t room           # and what the areas hold

cdef Account account

cpdef void commit_area(int type, uint64_t usable) noexcept nogil
cpdef void commit_drop(int space) noexcept nogil
cdef bint commit_promise(int space, uint64_t pages, int order, Verdict *verdict) noexcept nogil
cpdef void commit_take_back(int space, uint64_t pages, int order) noexcept nogil
cdef void judge(Verdict *verdict) noexcept nogil
cdef void count(int space, int order, uint64_t pages, bint comes) noexcept nogil
