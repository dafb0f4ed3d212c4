from libc.stdint cimport int64_t, uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef enum:
    STEP_SHARE = 4          # of what somebody has too much, that part goes in one turn
    STILL_SHARE = 16        # of a limit: what is off by less than that part stays
    FLOOR_SHARE = 8         # of what is there, that part is divided equally, whoever needs it
    NEED_MOST = 1000        # refaults in a turn that count
    CROWD_NS = 500000000    # how long a fork waits for the others to give
    GIVE_NS = 300000000     # without a page that left: then what was to be given stays

cdef struct Shares:         # in pages, staging frames included
    arch.mutex lock
    arch.word limit         # of all address spaces of the family together; 0: there is none
    arch.word crowd         # members among whom it is to be divided now, as one is coming; 0: nobody asks
    uint64_t pending[64]    # by member: promised to what is being made

cdef struct OwnShares:      # this process's
    arch.mutex changing     # held while a limit of its own changes
    uint64_t target[64]     # by row: what its copy for a child gets
    uint64_t faults[64]     # when it was looked at last

cdef Shares *shares
cdef OwnShares own_shares

cdef uint64_t share_begin(uint64_t wanted, uint64_t least) noexcept nogil
cdef void share_settle(int index, uint64_t granted, uint64_t wanted) noexcept nogil
cdef uint64_t share_more(Mm *mm, uint64_t wanted) noexcept nogil
cdef void share_less(Mm *mm) noexcept nogil
cdef int shares_set(uint64_t limit) noexcept nogil
cdef bint shares_fork(int member) noexcept nogil
cdef void shares_forget(int member) noexcept nogil
cdef void shares_begin() noexcept nogil
cdef void shares_turn() noexcept nogil
cdef uint64_t shares_given() noexcept nogil
cdef uint64_t shares_free() noexcept nogil
cdef bint has_too_much(int member, uint64_t fair) noexcept nogil
cdef void ask_crowd() noexcept nogil
cdef void give_to_crowd() noexcept nogil
cdef bint make_room(uint64_t pages) noexcept nogil
cdef uint64_t give(Mm *mm, uint64_t pages) noexcept nogil
cdef void need_noted(Mm *mm) noexcept nogil
cdef uint64_t target_of(Mm *mm) noexcept nogil
