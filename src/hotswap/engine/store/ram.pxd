from libc.stdint cimport int64_t, uint64_t
from hotswap cimport arch
from hotswap.engine.store.contract cimport Store
from hotswap.engine.store.pool cimport Pool

cdef enum:
    PIECE_SLOTS = 16        # 64 KiB: what is packed as one; larger folios are several pieces
    CODECS = 16             # threads that pack or unpack at one time
    WAYS = 6                # of packing, see ram.py
    SAMPLE = 4096           # bytes that a way is chosen by
    ASK_ANEW = 32           # pieces for which it is kept
    STREAK = 64             # refusals in a row after which only one in 16 pieces is tried
    RAM_SHARE = 4           # of a limit, all but one part in so many may be packed
    META = 8                # bytes before those of a piece
    IN_RAM = -2             # given to area_setup() for a descriptor
    NOBODY = 255            # the owner of what a closed space left to its snapshots

cdef struct Hint:
    arch.word best          # how the last piece that was tried was packed best, + 1 << 8 | for how many more that is kept

cdef struct Ram:            # a row of areas
    Pool pool
    uint64_t slots
    uint64_t *held          # by slot: place in the pool << 8 | which slot of its piece; under the pool's lock
    Hint *hints             # by cluster of slots
    arch.word refused       # pieces in a row
    arch.word stored        # bytes as they came, for who watches

cdef Ram *rams
cdef uint64_t scratches      # memory to pack in, for each of the CODECS
cdef arch.word codecs[16]   # which of them are somebody's
cdef int ways[6]

cdef void describe(Store *store) noexcept
cdef int ram_setup(int type, uint64_t slots) noexcept nogil
cdef void ram_teardown(int type, bint poison) noexcept nogil
cdef int ram_read(int type, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot) noexcept nogil
cdef int ram_write(int type, int mm, const uint64_t *addresses, int count, uint64_t pages, uint64_t slot) noexcept nogil
cdef void ram_discard(int type, uint64_t slot) noexcept nogil
cdef void ram_disown(int type, int mm) noexcept nogil
cdef bint write_one(int type, int mm, int codec, uint64_t address, uint64_t pages, uint64_t slot) noexcept nogil
cdef bint write_piece(int type, int mm, int codec, uint64_t address, uint64_t slots, uint64_t slot) noexcept nogil
cdef int way_for(Ram *ram, int codec, uint64_t address, uint64_t slots, uint64_t slot) noexcept nogil
cdef bint keep(Ram *ram, int mm, int codec, uint64_t slots, uint64_t slot, int stored, int how) noexcept nogil
cdef bint charge_packed(int mm, int grains) noexcept nogil
cdef void uncharge_packed(int mm, int grains) noexcept nogil
cdef int64_t pages_of(uint64_t grains) noexcept nogil
cdef uint64_t read_piece(Ram *ram, int codec, uint64_t address, uint64_t pages, uint64_t slot) noexcept nogil
cdef void moved(int type, uint64_t slot, uint64_t old, uint64_t place) noexcept nogil
cdef uint64_t meta_make(uint64_t mm, uint64_t slots, uint64_t how, uint64_t stored) noexcept nogil
cdef int codec_take() noexcept nogil
cdef void codec_give(int codec) noexcept nogil
cdef uint64_t scratch_of(int codec) noexcept nogil
