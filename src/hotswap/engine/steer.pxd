from libc.stdint cimport int64_t, uint8_t, uint64_t
from hotswap cimport arch

cdef enum:
    STEER_VERSION = 2       # of the messages: hotswap.steering checks it too
    CALLERS = 16            # at one time
    VALUES = 48             # numbers in a message
    TEXT_BYTES = 4096       # a path with its zero, or a picture: at most so many cells
    PATIENCE_US = 5000000   # for what a caller said would follow
    SHORT_US = 20000        # between two looks at a swapoff
    TURNS = 5               # of those until its progress is told

cdef enum:                  # kinds of messages
    CALL_LOOK = 1           # asks for figures; value 0: cells of a picture of each area
    CALL_ON = 2             # an area, with its descriptor; values: slots, priority, how, bad slots that follow, pages of compressed memory; text: its name
    CALL_BAD = 3            # some of the bad slots
    CALL_OFF = 4            # text: the area's name
    CALL_CANCEL = 5         # of a swapoff that this caller has asked for
    CALL_LIMIT = 6          # values: address space (-1: the only one), pages
    TELL_PROCESS = 16       # process, areas, address spaces, guard, nanoseconds of the clock
    TELL_AREA = 17          # type, how, usable, used, priority, in, out, errors, emptying, held; pages; bytes stored, packed; pages: most, backed, declined
    TELL_PICTURE = 18       # type; text: a cell a byte
    TELL_SPACE = 19         # index, order, least limit, signal; then what mm_figure() counts
    TELL_PROGRESS = 20      # of a swapoff: moved, loaded, left, nanoseconds, the process that is waited for
    TELL_DONE = 21          # the last answer: 0 or a negative errno, then as each call has it

cdef struct Message:        # both ways, numbers as the machine has them
    int64_t kind
    int64_t version
    int64_t value[48]
    int64_t length          # of the text
    uint8_t text[4096]

cdef struct Caller:         # whose thread runs; a seat is taken by making `busy` 1
    arch.word busy
    int fd
    uint64_t thread

cdef struct Door:
    arch.mutex lock
    int listener            # under lock until it is open, fixed from then on
    uint64_t thread

cdef enum:
    SEAT_FREE = 0
    SEAT_TAKEN = 1
    SEAT_OVER = 2           # its thread is about to end

cdef Caller callers[16]     # a process's own, as the door
cdef Door door

cdef int steer_open() noexcept nogil
cdef void steer_forked() noexcept nogil
cdef void steer_main(int argument) noexcept nogil
cdef int seat_take() noexcept nogil
cdef void serve_main(int seat) noexcept nogil
cdef void answer(int fd, Message *message, int passed) noexcept nogil
cdef bint tell(int fd, Message *message, int kind) noexcept nogil
cdef void done(int fd, Message *message, int64_t result) noexcept nogil
cdef void look(int fd, Message *message) noexcept nogil
cdef int look_at_areas(int fd, Message *message, int64_t cells, bint telling) noexcept nogil
cdef int look_at_spaces(int fd, Message *message, bint telling) noexcept nogil
cdef void picture(int fd, Message *message, int type, int64_t slots, int64_t cells) noexcept nogil
cdef void call_on(int fd, Message *message, int passed) noexcept nogil
cdef int mark_bad(int fd, Message *message, int type, int64_t count) noexcept nogil
cdef void call_off(int fd, Message *message) noexcept nogil
cdef int64_t left_in(int type) noexcept nogil
cdef void call_limit(int fd, Message *message) noexcept nogil
cdef int hold_space(int wanted) noexcept nogil
