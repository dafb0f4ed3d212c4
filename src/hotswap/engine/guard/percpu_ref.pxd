from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.area cimport Area
from hotswap.engine.guard.contract cimport Guard, section_call

cdef enum:
    REF_LIVE = 1

cdef struct Counts:
    arch.word count[32]     # a thread's own share of each area's references; only that thread writes it

cdef struct Ref:            # tables start on a page: `live` must not stand where a thread's own count has its place in one
    arch.word left          # event: somebody left after the kill
    arch.word live          # REF_LIVE, or 0 once killed (and before the first swapon)
    Area *area              # what it refers to; set before it is live
    Area *pad

cdef Counts *counts
cdef Ref *refs

cdef void describe(Guard *guard) noexcept
cdef Area *enter(int type) noexcept nogil
cdef void publish(int type, section_call insert) noexcept nogil
cdef void retire(int type, section_call detach) noexcept nogil
cdef bint tryget_live(int type) noexcept nogil
cdef Area *enter_first(int type) noexcept nogil
cdef Area *came_late(int type) noexcept nogil
cdef void put(int type) noexcept nogil
cdef void kill(int type) noexcept nogil
cdef void wait_for_zero(int type) noexcept nogil
cdef void resurrect(int type) noexcept nogil
cdef long total(int type) noexcept nogil
cdef void forget(uint64_t process) noexcept nogil
