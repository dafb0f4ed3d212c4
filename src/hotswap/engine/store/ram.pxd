from libc.stdint cimport int64_t, uint64_t
from hotswap cimport arch
from hotswap.engine.store.contract cimport Store
from hotswap.engine.store.pool cimport Pool

cdef enum:
    PIECE_SLOTS = 16        # 64 KiB: what is packed as one; larger folios are several pieces
    STRETCH = 512           # slots, 2 MiB: warm or cold together, and written back together
    STREAK = 64             # refusals in a row after which only one in 16 pieces is tried
    HIGH = 15               # sixteenths of what may be packed: from there on the coldest is written back
    LOW = 13                # until there is so much again
    META = 8                # bytes before those of a piece
    META_LEFT = 1 << 24     # a slot
    META_READERS = 48       # bits before those that count who reads the piece
    HELD_SHIFT = 8
    HELD_PART = 15
    HELD_USED = 128         # read since somebody looked for what is cold
    HELD_REST = 255
    IN_RAM = -2             # given to area_setup() for a descriptor

cdef struct Hint:           # of a stretch
    arch.word best          # how the last piece that was tried was packed best, and for what: how_for()
    uint64_t stamp          # the clock of the last write or read
    int live                # slots that are held

cdef struct Ram:            # a row of areas
    Pool pool
    int row
    int fd                  # of the area that it stands in front of; -1: it is the area
    uint64_t most           # pages of memory that the pool may take
    uint64_t slots
    uint64_t *held          # by slot: place in the pool << 8 | HELD_USED | which slot of its piece
    Hint *hints
    uint64_t clock          # pieces written or read
    uint64_t passed         # stamp of the stretch that was taken last in this round of writing back
    arch.word refused       # pieces in a row
    arch.word said          # the log has it that what does not pack has nowhere to go
    arch.word stored        # bytes as they came, for who watches
    arch.word packed        # and as they are kept
    arch.word declined      # pages that did not pack, since it was set up
    arch.word backed        # pages that were written back
    # Writing back
    arch.word pressure      # event
    arch.word stop
    arch.word runs          # there is a thread that writes back; `member` is who has it, and changes only when that one has died
    int member
    arch.word over          # event: it runs no more
    arch.word back          # the stretch that is on its way to the file, + 1; changes wake `settled`
    arch.word settled       # event
    uint64_t buffer         # a stretch's bytes, in memory of the process whose thread writes back
    uint64_t place[512]     # and where each slot of them was in the pool; NOWHERE: it is not among them

cdef Ram *rams

cdef void describe(Store *store) noexcept
cdef int ram_setup(int type, uint64_t slots, uint64_t most) noexcept nogil
cdef void ram_teardown(int type, bint poison) noexcept nogil
cdef void ram_stop(int type) noexcept nogil
cdef int ram_read(int type, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot) noexcept nogil
cdef int ram_write(int type, int mm, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot, int element) noexcept nogil
cdef void ram_discard(int type, uint64_t slot) noexcept nogil
cdef void ram_disown(int type, int mm) noexcept nogil
cdef bint write_one(int type, int mm, uint64_t address, uint64_t pages, uint64_t slot, int element) noexcept nogil
cdef bint write_piece(int type, int mm, uint64_t address, uint64_t slots, uint64_t slot, int element) noexcept nogil
cdef bint keep(Ram *ram, int mm, int codec, uint64_t slots, uint64_t slot, uint64_t stored, uint64_t how) noexcept nogil
cdef bint room_for(Ram *ram, int mm) noexcept nogil
cdef bint ram_near(Ram *ram, uint64_t part) noexcept nogil
cdef void rams_wake() noexcept nogil
cdef int read_piece(int type, int codec, uint64_t address, uint64_t pages, uint64_t slot) noexcept nogil
cdef bint unpack_pinned(Ram *ram, int codec, uint64_t place, uint64_t meta, uint64_t part, uint64_t take, uint64_t address) noexcept nogil
cdef uint64_t pin(Ram *ram, uint64_t place) noexcept nogil
cdef void unpin(Ram *ram, uint64_t place) noexcept nogil
cdef uint64_t reader() noexcept nogil
cdef void drop_slot(Ram *ram, uint64_t slot) noexcept nogil
cdef void free_unused(Ram *ram, uint64_t place, uint64_t meta) noexcept nogil
cdef void moved(int type, uint64_t slot, uint64_t old, uint64_t place) noexcept nogil
cdef uint64_t meta_make(uint64_t mm, uint64_t slots, uint64_t how, uint64_t stored) noexcept nogil
cdef int ram_coldest(int type) noexcept nogil
cdef bint ram_spared(Ram *ram, uint64_t slot, uint64_t slots) noexcept nogil
