from hotswap cimport arch
from hotswap.engine.guard.contract cimport Guard

cdef enum:
    REF_LIVE = 1

cdef struct Counts:
    arch.word count[32]     # a thread's own share of each area's references; only that thread writes it

cdef struct Ref:
    arch.word live          # REF_LIVE, or 0 once killed (and before the first swapon)
    arch.word left          # event: somebody left after the kill

cdef Counts *counts
cdef Ref *refs

cdef void describe(Guard *guard) noexcept
cdef bint enter(int type) noexcept nogil
cdef void leave(int type) noexcept nogil
cdef void publish(int type) noexcept nogil
cdef void retire(int type) noexcept nogil
cdef long total(int type) noexcept nogil
