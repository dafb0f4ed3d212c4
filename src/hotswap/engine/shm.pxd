from libc.stdint cimport int64_t, uint8_t, uint64_t
from hotswap cimport arch
from hotswap.engine.mm cimport Mm

cdef enum:
    VIEWS = 128             # attachments of one object, in all processes
    SHM_NAME = 256          # bytes of its name
    SHM_INFO = 1024         # and of what its maker says about it

cdef enum:                  # Shm.taking
    TAKING_NOTHING = 0
    TAKING_HOLDS = 1        # pages go into the pipe
    TAKING_HELD = 2         # all that are meant are there; what the object does not have any more only they have

cdef struct View:           # where an object is attached
    int mm
    uint64_t start          # the first page, in that mm's arena

cdef struct Shm:            # what an object has besides its Mm, whose index it shares
    arch.mutex lock
    arch.word open          # a bit for each member that has it open; changes under lock
    View views[128]         # under lock
    int view_count
    arch.mutex take         # the pipe, which all members have
    arch.word taking
    uint64_t take_to        # under take: where the bytes of what is held go
    uint64_t take_bytes
    uint64_t capacity       # of the pipe
    bint hurt               # a member died, and the object was not put right yet; at rest
    int name_length         # under the lock of names; 0: none
    uint8_t name[256]
    int info_length
    uint8_t info[1024]

cdef struct Here:           # of an object, this process's own
    int fd                  # 0: it is not open here
    int ends[2]             # of the pipe
    uint64_t base           # where the engine has it mapped
    int users               # under the interpreter's lock
    bint leaving            # under the object's lock

cdef struct Opened:         # the same descriptors, for others who want to open it
    arch.word process       # 0: not open
    arch.word fd
    arch.word ends[2]

cdef Shm *shms
cdef Here here[64]
cdef Opened *opened_by      # by member and object

cdef int here_make(Mm *shm) noexcept nogil
cdef int here_late(Mm *shm) noexcept nogil
cdef int here_from(Mm *shm, Opened *other) noexcept nogil
cdef void here_close(Mm *shm) noexcept nogil
cdef void here_tell(int index) noexcept nogil
cdef int shm_attach(Mm *shm, Mm *mm, uint64_t start) noexcept nogil
cdef void shm_detach(Mm *shm, Mm *mm, uint64_t start) noexcept nogil
cdef int view_add(Mm *shm, int mm, uint64_t start) noexcept nogil
cdef void view_drop(Mm *shm, int mm, uint64_t start) noexcept nogil
cdef int shm_view_count(Mm *shm) noexcept nogil
cdef void shm_zero(Mm *shm, uint64_t page, int order) noexcept nogil
cdef void shm_fill(Mm *shm, uint64_t page, uint64_t bytes, uint64_t source) noexcept nogil
cdef bint shm_take_out(Mm *shm, uint64_t page, int order, uint64_t to) noexcept nogil
cdef void shm_drop(Mm *shm, uint64_t page, int order) noexcept nogil
cdef void shm_view(Mm *mm, uint64_t page, int order, bint protect, bint write) noexcept nogil
cdef void shm_said(Mm *shm, uint64_t page, uint64_t state) noexcept nogil
cdef void take_mend(int index) noexcept nogil
