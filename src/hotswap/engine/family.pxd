from libc.stdint cimport int64_t, uint64_t
from hotswap cimport arch

cdef enum:
    MEMBERS = 64            # processes of a family
    NO_MEMBER = -1
    NOT_BEGUN = 0x1000000   # instead of a process, with the number of its coming in the bits below: it has not begun; above those of processes
    NOT_TO_COME = 0x7fffffff   # it was buried with its parent before it began

cdef enum:
    PATIENCE_US = 100000    # of who waits for others, between two looks at whether they live
    ENDS_US = 2000          # the threads of one who died end one after the other; those on other processors within moments

ctypedef void (*forget_call)(uint64_t process) noexcept nogil

cdef enum:                  # what a member is
    MEMBER_FREE = 0         # a row that is nobody's
    MEMBER_COMING = 1       # between its parent's decision to fork and its own first thread
    MEMBER_LIVE = 2
    MEMBER_GONE = 3         # it died, and everything is counted without it; what it had begun is being ended

cdef struct Member:         # a process
    arch.mutex alive        # its service thread's for as long as it lives
    arch.word state
    arch.word process       # its number for the system, or NOT_BEGUN; 0: there is none
    arch.word parent        # the member that forks it, + 1; matters while it is COMING
    arch.word call          # event: it is asked for something
    arch.word rested        # the last rest that it came to

cdef struct Family:
    arch.mutex lock         # members come and go
    arch.word answer        # event: a member has done what it was asked for
    arch.word rest          # odd: everybody is to be at rest; counts up
    arch.word asker         # the member that asks for it
    arch.word half          # what is counted anew is not yet: nobody moves, whoever asked
    arch.mutex counting     # held while everything is counted, and while an area's tables are taken out of it: a leaf
    bint grown              # there has been more than one member
    arch.word comings       # how many were about to come
    int guard               # the design that all use (guard/contract.pxd)

cdef struct Own:            # of this process alone
    int member
    bint door               # others may join through it

cdef Member *members
cdef Family *family
cdef Own own

cdef int family_take() noexcept nogil
cdef void family_give(int member) noexcept nogil
cdef bint family_live(int member) noexcept nogil
cdef int family_size() noexcept nogil
cdef bint family_dead(int member) noexcept nogil
cdef void family_enter() noexcept nogil
cdef int64_t family_patience() noexcept nogil
cdef void forget_dead(forget_call forget) noexcept nogil
cdef void family_call() noexcept nogil
