from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.swapoff cimport Emptying

cdef enum:
    PATIENCE_NS = 1000000000    # until who does not answer is named

cdef struct Asked:          # of one member, about one area
    arch.word wanted        # rounds that it was asked for,
    arch.word done          # and has made
    arch.word moved         # pages of the last one
    arch.word loaded
    arch.word failed        # errno
    arch.word failed_slot

cdef Asked *asks            # by member and area

cdef void everyone_ask(Emptying *job) noexcept nogil
cdef uint64_t everyone_gather(Emptying *job) noexcept nogil
cdef uint64_t gather_one(Emptying *job, int member) noexcept nogil
cdef void everyone_forked() noexcept nogil
cdef bint everyone_serve() noexcept nogil
cdef void serve_ask(int type) noexcept nogil
