from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef enum:
    NESTING = 0xffff        # of a reader's state: how deep in sections; above it the grace period it entered in
    ONE_PERIOD = 0x10000

cdef struct Reader:         # a thread's; only that thread writes it. A cache line each
    uint64_t pad[7]         # before it, so that it has not the place in its page that the first `valid` has in its own
    arch.word state

cdef struct GracePeriod:
    arch.word number        # of the latest, in the place it has in a reader's state
    arch.word waiting       # one waits for readers
    arch.word left          # event: a reader left meanwhile
    arch.mutex one          # one at a time

cdef Reader *readers
cdef GracePeriod *gp

cdef void rcu_read_lock() noexcept nogil
cdef void first_lock() noexcept nogil
cdef void rcu_read_unlock() noexcept nogil
cdef bint rcu_read_held() noexcept nogil
cdef void synchronize_rcu() noexcept nogil
cdef void forget(uint64_t process) noexcept nogil
