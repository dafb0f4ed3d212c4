from libc.stdint cimport uint64_t

cdef enum:
    WATCH_US = 100000       # between two looks at whether the others live
    REST_NS = 300000000     # how long one waits for all to be at rest before they may go on, and it is tried again

cdef enum:                  # what there is left to do
    MOURN_DONE = 0
    MOURN_BUSY = 1          # another member is at it, and waits for us to be at rest; or a transfer of the dead one is under way
    MOURN_LATE = 2          # somebody is not to be brought to rest, or there is no memory

cdef void active_mend(int nothing) noexcept nogil
cdef int death_watch() noexcept nogil
cdef bint family_settled() noexcept nogil
cdef int mourn(int member) noexcept nogil
cdef void remove(int member) noexcept nogil
cdef void count_without(int member) noexcept nogil
cdef void count_for_dead(int asker) noexcept nogil
cdef bint rest_of_all(uint64_t number) noexcept nogil
cdef void rest_serve() noexcept nogil
cdef bint asker_lives() noexcept nogil
cdef void remove_spaces(int member) noexcept nogil
cdef void remove_member(int member) noexcept nogil
cdef void take_over(int member) noexcept nogil
