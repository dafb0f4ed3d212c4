from libc.stdint cimport uint64_t
from hotswap.engine.mm cimport Mm
from hotswap.engine.store.ram cimport Ram
from hotswap.engine.swapoff cimport Emptying, Run

cdef Emptying *jobs         # of which a row uses what collecting and locking need

cdef int writeback_start(int type) noexcept nogil
cdef void writeback_inherit(int type, int member) noexcept nogil
cdef void writeback_again(int type) noexcept nogil
cdef void writeback_over(Ram *ram) noexcept nogil
cdef void writeback_main(int type) noexcept nogil
cdef bint wanted(int type, uint64_t part) noexcept nogil
cdef bint slots_near(int type, uint64_t part) noexcept nogil
cdef int writeback_some(int type) noexcept nogil
cdef int move_coldest(int type) noexcept nogil
cdef uint64_t move_some_of_all(Emptying *job) noexcept nogil
cdef uint64_t coldest_stamp(int type) noexcept nogil
cdef void move_of(Emptying *job, Mm *mm, uint64_t oldest) noexcept nogil
cdef void keep_cold(Emptying *job, Mm *mm, uint64_t oldest) noexcept nogil
cdef void move_run(Emptying *job, Mm *mm, Run *run) noexcept nogil
