from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef enum:                  # what a child tells its parent
    CHILD_READY = 1
    CHILD_ALONE = 2         # it could not be set up
    NO_DESCRIPTOR = -1

cdef struct Forking:        # a process's own, under lock from before a fork to after it
    arch.mutex lock
    arch.word serving       # the service thread: 1 starts, 2 holds `alive`
    int member              # the row for the child, or NO_MEMBER
    uint64_t coming         # and what stands there until the child is somebody
    int ends[2]             # of the pipe
    int rows[64]            # by row of an address space: the row of its copy, or MM_NIL
    int fds[64]             # and the descriptors that the child inherits and closes
    int stoppers[64]

cdef Forking forking

cdef int process_watch() noexcept nogil
cdef bint serve_start() noexcept nogil
cdef void serve_wake() noexcept nogil
cdef void serve_main(int argument) noexcept nogil
cdef void rest() noexcept nogil
cdef void resume() noexcept nogil
cdef void fork_before() noexcept nogil
cdef void fork_after() noexcept nogil
cdef void fork_child() noexcept nogil
cdef bint is_born() noexcept nogil
cdef int copy_spaces(int member) noexcept nogil
cdef int fork_join() noexcept nogil
cdef int join_space(Mm *mm) noexcept nogil
cdef int join_views(Mm *mm) noexcept nogil
cdef void protect_clean(Mm *mm) noexcept nogil
cdef void bury(int member) noexcept nogil
cdef void bury_coming(int member) noexcept nogil
cdef void bury_unborn() noexcept nogil
cdef bint has_come(int member) noexcept nogil
