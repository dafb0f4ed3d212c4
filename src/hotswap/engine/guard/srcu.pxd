from libc.stdint cimport uint32_t, uint64_t
from hotswap cimport arch
from hotswap.engine.area cimport Area
from hotswap.engine.guard.contract cimport Guard, section_call

cdef struct Inside:         # a thread's; only that thread writes it
    arch.word count[64]     # sections it is in, of each area by index: 2 * type + index
    uint32_t mine[32]       # under which of them it entered each area; nobody else reads it

cdef struct Domain:         # an area's; what users read stands behind, elsewhere in its page than their counts in theirs
    arch.mutex one          # one grace period at a time
    arch.word left          # event: a reader left meanwhile
    arch.word waiting       # a grace period waits for readers
    arch.word valid         # users may come (SWP_VALID)
    arch.word index         # the one that who enters takes, 0 or 1

cdef Inside *insides
cdef Domain *domains

cdef void describe(Guard *guard) noexcept
cdef Area *enter(int type) noexcept nogil
cdef Area *enter_first(int type) noexcept nogil
cdef Area *came_late(int type) noexcept nogil
cdef void leave(int type) noexcept nogil
cdef void publish(int type, section_call insert) noexcept nogil
cdef void retire(int type, section_call detach) noexcept nogil
cdef void synchronize_srcu(int type) noexcept nogil
cdef void wait_for_readers(int type, int index) noexcept nogil
cdef long total(int type, int index) noexcept nogil
cdef void forget(uint64_t process) noexcept nogil
