/* Compression of one piece of memory, for compressed RAM: filters (C-Blosc2) that take the difference of each element from the one
 * before and sort bytes or bits of elements by their weight, then LZ4, the copy that the same library carries. No call allocates, locks or blocks: whoever calls brings the scratch memory. */
#ifndef HOTSWAP_CODEC_H
#define HOTSWAP_CODEC_H

#include <stdint.h>
#include <string.h>

extern int32_t blosc2_shuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int32_t blosc2_unshuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int32_t blosc2_bitshuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int32_t blosc2_bitunshuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern void delta_encoder(const uint8_t *reference, int32_t offset, int32_t bytes, int32_t element, const uint8_t *from, uint8_t *to);
extern void delta_decoder(const uint8_t *reference, int32_t offset, int32_t bytes, int32_t element, uint8_t *to);
extern int LZ4_compress_fast_extState(void *state, const char *from, char *to, int bytes, int room, int acceleration);
extern int LZ4_decompress_safe(const char *from, char *to, int stored, int bytes);

/* `how`: filters, and with one the size of an element. Before DELTA, which is for elements of 1, 2, 4 and 8 bytes, comes nothing. */
enum { ARCH_PACK_PLAIN = 0, ARCH_PACK_BYTES = 32, ARCH_PACK_BITS = 64, ARCH_PACK_DELTA = 128, ARCH_PACK_ELEMENT = 31 };
/* Scratch memory: LZ4's state, then what the filter made, then what was packed. */
enum { ARCH_PACK_MOST = 65536, ARCH_PACK_STATE = 32768, ARCH_PACK_SCRATCH = 163840 };

static inline uint64_t arch_packed(uint64_t scratch) { return scratch + ARCH_PACK_STATE + ARCH_PACK_MOST; }

/* Packs `bytes` (64 KiB at most), to be found at arch_packed(scratch); how many they are then, 0 when more than `room`. */
static inline int arch_pack(uint64_t scratch, uint64_t from, int bytes, int how, int room)
{
    const void *source = (const void *)(uintptr_t)from;
    void *filtered = (void *)(uintptr_t)(scratch + ARCH_PACK_STATE);
    if (how & ARCH_PACK_DELTA) {  /* to where the packed bytes will be: nothing is there yet */
        delta_encoder(source, 0, bytes, how & ARCH_PACK_ELEMENT, source, (uint8_t *)(uintptr_t)arch_packed(scratch));
        source = (const void *)(uintptr_t)arch_packed(scratch);
    }
    if (how & ARCH_PACK_BYTES)
        blosc2_shuffle(how & ARCH_PACK_ELEMENT, bytes, source, filtered);
    else if (how & ARCH_PACK_BITS)
        blosc2_bitshuffle(how & ARCH_PACK_ELEMENT, bytes, source, filtered);
    else
        filtered = (void *)source;
    return LZ4_compress_fast_extState((void *)(uintptr_t)scratch, filtered, (char *)(uintptr_t)arch_packed(scratch), bytes, room, 1);
}

/* The opposite; -1 when what is stored does not give exactly `bytes`. */
static inline int arch_unpack(uint64_t scratch, uint64_t from, int stored, uint64_t to, int bytes, int how)
{
    void *target = (void *)(uintptr_t)to;
    void *filtered = how ? (void *)(uintptr_t)(scratch + ARCH_PACK_STATE) : target;
    if (LZ4_decompress_safe((const char *)(uintptr_t)from, filtered, stored, bytes) != bytes)
        return -1;
    if (how & ARCH_PACK_BYTES)
        blosc2_unshuffle(how & ARCH_PACK_ELEMENT, bytes, filtered, target);
    else if (how & ARCH_PACK_BITS)
        blosc2_bitunshuffle(how & ARCH_PACK_ELEMENT, bytes, filtered, target);
    if (how & ARCH_PACK_DELTA)
        delta_decoder(target, 0, bytes, how & ARCH_PACK_ELEMENT, target);
    return 0;
}
#endif
