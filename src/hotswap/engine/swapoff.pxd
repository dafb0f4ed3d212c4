from libc.stdint cimport uint32_t, uint64_t
from hotswap cimport arch
from hotswap.engine.found cimport Found
from hotswap.engine.mm cimport Mm

cdef enum:
    EMPTIERS = 2            # threads that empty one area
    BOUNCE_PAGES = 512      # what each has in hand at a time, 2 MiB: the largest folio
    FOUND = 65536           # entries that one look at an address space collects at most
    CLAIM = 256             # and that a thread takes in hand at a time
    HOLE = 16               # slots of others, at most, that are read along so that a transfer stays one: less than another one costs

cdef enum:                  # how a swapoff stands
    OFF_IDLE = 0
    OFF_UNDER_WAY = 1
    OFF_DONE = 2
    OFF_FAILED = 3          # the area is in use again, as before

cdef enum:                  # what swapoff_progress() tells
    OFF_STATE = 0
    OFF_MOVED = 1           # pages written to other areas
    OFF_LOADED = 2          # pages put into memory, or found there
    OFF_ERRNO = 3
    OFF_SLOT = 4            # where it failed
    OFF_WAITING = 5         # the process that is waited for

cdef struct Run:            # folios in hand: entries locked, slots close to each other
    uint64_t offset         # the first slot, and how many there are from it on
    uint64_t span
    int order
    int count
    int seen                # order of the folio that was looked at last
    int next                # where in the list to go on
    uint64_t pages[512]
    uint64_t slots[512]

cdef struct Emptying:       # one swapoff; a row for each area
    int type
    uint64_t thread
    # What the emptying threads work through; written while none runs
    int mm
    Found *found
    int found_count
    uint64_t bounce
    arch.word claimed       # how many found ones are taken in hand
    arch.word turn          # numbers the threads
    # Progress and outcome
    arch.word state
    arch.word changed       # event
    arch.word moved
    arch.word loaded
    arch.word failed        # the first errno
    arch.word failed_slot
    arch.word cancel
    arch.word waiting       # for this process to do its part, 0: none is late

cdef Emptying *everyones     # by member of the family and area
cdef Emptying *emptyings     # this member's
cdef Emptying *everyones_rounds  # the same for what members do for another's swapoff
cdef Emptying *rounds

cpdef int swapoff_start(int type) noexcept nogil
cpdef int swapoff_wait(int type, long timeout_us) noexcept nogil
cpdef void swapoff_cancel(int type) noexcept nogil
cpdef uint64_t swapoff_progress(int type, int what) noexcept nogil
cdef void swapoff_main(int type) noexcept nogil
cdef void detach(int type) noexcept nogil
cdef void swapoff_round(Emptying *job) noexcept nogil
cdef void take_tools(Emptying *job) noexcept nogil
cdef void give_tools(Emptying *job) noexcept nogil
cdef void swapoff_forked() noexcept nogil
cdef void swapoff_forget(int member, int type) noexcept nogil
cdef uint64_t empty_everyone(Emptying *job) noexcept nogil
cdef void sweep(Emptying *job, int index) noexcept nogil
cdef void empty_mm(Emptying *job, Mm *mm) noexcept nogil
cdef uint64_t collect(Emptying *job, Mm *mm, uint64_t start) noexcept nogil
cdef void empty_main(int number) noexcept nogil
cdef bint stops(Emptying *job) noexcept nogil
cdef void lock_run(Emptying *job, Mm *mm, int start, int end, Run *run) noexcept nogil
cdef bint lock_found(Emptying *job, Mm *mm, Found *found, Run *run) noexcept nogil
cdef void empty_run(Emptying *job, Mm *mm, Run *run, uint64_t bounce) noexcept nogil
cdef int run_read(Emptying *job, Run *run, uint64_t bounce) noexcept nogil
cdef uint64_t run_place(Run *run, int number, uint64_t bounce) noexcept nogil
cdef int move_elsewhere(Emptying *job, Mm *mm, Run *run, int done, uint64_t bounce, bint behind) noexcept nogil
cdef int move_parts(Emptying *job, Mm *mm, Run *run, int number, uint64_t bounce) noexcept nogil
cdef int load(Emptying *job, Mm *mm, Run *run, int number, uint64_t bounce) noexcept nogil
cdef void fail(Emptying *job, int error, uint64_t slot) noexcept nogil
