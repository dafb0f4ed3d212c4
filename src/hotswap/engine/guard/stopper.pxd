from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef struct Seat:           # a thread's; only that thread writes it. A cache line each
    uint64_t pad[7]         # before it, so that it has not the place in its page that the first `valid` has in its own
    arch.word inside        # how deep in sections

cdef struct Machine:
    arch.word stopping      # nobody begins a section
    arch.word going         # event: it goes on
    arch.word left          # event: somebody left while it was to stop
    arch.mutex one          # one stop at a time

cdef Seat *seats
cdef Machine *machine

cdef void preempt_disable() noexcept nogil
cdef void first_disable() noexcept nogil
cdef void preempt_enable() noexcept nogil
cdef bint preempt_disabled() noexcept nogil
cdef void step_aside(int slot) noexcept nogil
cdef void stop() noexcept nogil
cdef void go() noexcept nogil
cdef void go_on_for_dead() noexcept nogil
cdef void forget(uint64_t process) noexcept nogil
