from libc.stdint cimport uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef enum:
    WATCH_NS = 100000       # how long a handler looks for the next fault before it sleeps; 0: not at all
    BARREN_MOST = 63        # after looks in vain it sleeps so often before it looks again
    AROUND_PAGES = 64       # mapped along with a hit in the swap cache, 256 KiB
    STRAY_MOST = 200        # faults in a row at one page of no array; more than that many threads do not touch one at a time

cdef enum:                  # what became of a fault
    FAULT_SERVED = 0
    FAULT_WAITS = 1         # there is no memory for it
    FAULT_RESTS = 3         # a process of the family died, and everybody is asked to rest
    FAULT_LOST = 2          # its page was poisoned before, or belongs to no array

cdef struct Looks:          # of a handler, for the next fault
    int asleep              # how often it slept since its last
    int barren              # and how often it will before the next

cdef int waiters[64]        # a process's own: by row (MMS), what its handlers sleep on; 0: none
cdef arch.keep kept[64]     # and who keeps its userfaultfd open

cdef void fault_main(int index) noexcept nogil
cdef int fault_wait(Mm *mm, arch.fault_info *fault, Looks *looks) noexcept nogil
cdef void serve(Mm *mm, uint64_t address, int flags) noexcept nogil
cdef int serve_or_wait(Mm *mm, uint64_t address, int flags) noexcept nogil
cdef int serve_once(Mm *mm, uint64_t address, int flags) noexcept nogil
cdef int serve_view(Mm *mm, int number, uint64_t page, bint write) noexcept nogil
cdef void stray(Mm *mm, uint64_t page) noexcept nogil
cdef uint64_t fault_folio(Mm *mm, uint64_t page, bint write) noexcept nogil
cdef uint64_t first_touch(Mm *mm, uint64_t page, int order) noexcept nogil
cdef bint zeros_moved(Mm *mm, uint64_t page, int order) noexcept nogil
cdef uint64_t fill_in(Mm *mm, uint64_t page, int order, uint64_t value) noexcept nogil
cdef uint64_t swap_in(Mm *mm, uint64_t page, int order, uint64_t state, bint write) noexcept nogil
cdef int read_entry(Mm *mm, uint64_t entry, int order, uint64_t page) noexcept nogil
cdef uint64_t map_folio(Mm *mm, uint64_t page, int order, int frame, uint64_t entry, bint write) noexcept nogil
cdef uint64_t write_clean(Mm *mm, uint64_t page, int order, uint64_t state) noexcept nogil
cdef void release_entry(uint64_t entry, int order) noexcept nogil
cdef void map_around(Mm *mm, int number, uint64_t page) noexcept nogil
cdef void map_steps(Mm *mm, int number, uint64_t page) noexcept nogil
cdef uint64_t map_cached(Mm *mm, uint64_t page) noexcept nogil
cdef void poison(Mm *mm, uint64_t page, uint64_t pages) noexcept nogil
cdef bint mostly_written(Mm *mm) noexcept nogil
