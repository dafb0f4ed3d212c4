from hotswap.engine.area cimport Area

ctypedef Area *(*enter_call)(int type) noexcept nogil
ctypedef void (*section_call)(int type) noexcept nogil
ctypedef void (*change_call)(int type, section_call work) noexcept nogil
ctypedef bint (*inside_call)() noexcept nogil
ctypedef bint (*use_call)(int mm) noexcept nogil

cdef struct Guard:
    enter_call enter        # the area, which cannot vanish until exit(); NULL when it is off
    section_call exit
    change_call publish     # swapon: the area is complete, users may come; `work` puts it on the list of active areas
    change_call retire      # swapoff: no user comes any more, those inside have left; then `work` takes its tables away
    inside_call inside      # is the calling thread inside a section that may not sleep?
    use_call use_mm         # a thread that holds no mmap lock begins to work for an address space
    section_call unuse_mm   # and ends
    bint may_sleep          # may a user sleep inside?
    bint new_objects        # is a new Area made for each swapon?

cdef enum:
    GUARD_NONE = 0
    GUARD_PERCPU_REF = 1
    GUARD_MMLIST = 2
    GUARD_STOP_MACHINE = 3
    GUARD_STOP_MACHINE_WORK = 4
    GUARD_RCU = 5
    GUARD_SRCU = 6
    GUARD_RCU_POINTER = 7
    GUARDS = 8
    NO_MM = -1              # of a thread that works for no address space

cdef Guard guards[8]
cdef Guard *guard           # the chosen one
cdef int chosen

cpdef int choose_guard(int which) noexcept nogil
cpdef int guard_chosen() noexcept nogil
cdef Area *guard_enter(int type) noexcept nogil    # for who calls from outside; the engine saves itself a call: guard.enter()
cpdef void guard_exit(int type) noexcept nogil
cdef void guard_publish(int type, section_call insert) noexcept nogil
cdef void guard_retire(int type, section_call detach) noexcept nogil
cpdef bint guard_use_mm(int mm) noexcept nogil   # and the process is not at rest until guard_unuse_mm() (calm.py)
cpdef void guard_unuse_mm(int mm, bint used) noexcept nogil
cpdef bint guard_inside() noexcept nogil
cpdef bint guard_may_sleep() noexcept nogil
cpdef bint guard_new_objects() noexcept nogil
cdef bint awake() noexcept nogil
cdef bint needs_no_mm(int mm) noexcept nogil
cdef void had_no_mm(int mm) noexcept nogil
