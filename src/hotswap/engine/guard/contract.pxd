ctypedef bint (*enter_call)(int type) noexcept nogil
ctypedef void (*section_call)(int type) noexcept nogil

cdef struct Guard:
    enter_call enter        # may the caller use this area? if so it cannot vanish until exit()
    section_call exit
    section_call publish    # swapon: the area is complete, users may come
    section_call retire     # swapoff: no user comes any more, and those inside have left
    bint may_sleep          # may a user sleep (read the disk) inside?

cdef enum:
    GUARD_NONE = 0
    GUARD_PERCPU_REF = 1
    GUARDS = 2

cdef Guard guards[2]
cdef int chosen

cpdef int choose_guard(int which) noexcept nogil
cpdef bint guard_enter(int type) noexcept nogil
cpdef void guard_exit(int type) noexcept nogil
cpdef void guard_publish(int type) noexcept nogil
cpdef void guard_retire(int type) noexcept nogil
cpdef bint guard_may_sleep() noexcept nogil
