from libc.stdint cimport uint64_t
from hotswap cimport arch

cdef enum:
    CODECS = 16             # threads that pack or unpack at one time
    WAYS = 16               # of packing: what ways_for() finds at most
    SAMPLE = 4096           # bytes: two of these a way is chosen by
    ASK_ANEW = 32           # pieces for which it is kept

cdef uint64_t scratches     # memory to pack in, for each of the CODECS
cdef arch.word codecs[16]   # which of them are somebody's

cdef int codec_take() noexcept nogil
cdef void codec_give(int codec) noexcept nogil
cdef void packing_forked() noexcept nogil
cdef uint64_t scratch_of(int codec) noexcept nogil
cdef uint64_t packed_at(int codec) noexcept nogil
cdef uint64_t pack_piece(int codec, arch.word *hint, uint64_t address, int bytes, int element) noexcept nogil
cdef bint unpack_part(int codec, uint64_t source, int stored, int how, int bytes, uint64_t skip, uint64_t take, uint64_t to) noexcept nogil
cdef int how_for(int codec, arch.word *hint, uint64_t address, int bytes, int element) noexcept nogil
cdef int best_way(int codec, uint64_t address, int bytes, int element) noexcept nogil
cdef int sample_size(int codec, uint64_t address, int bytes, int how, int room) noexcept nogil
cdef int ways_for(int element, int *ways) noexcept nogil
