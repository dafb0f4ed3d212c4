/* Compression of one piece of memory, for compressed RAM: filters that take the difference of each element from the one before (as
 * whole numbers, which is no loss and right for floats too: neighbours have near patterns) and sort bytes or bits of elements by
 * their weight (C-Blosc2), then LZ4, the copy that the same library carries. No call allocates, locks or blocks: whoever calls brings the scratch memory. */
#ifndef HOTSWAP_CODEC_H
#define HOTSWAP_CODEC_H

#include <stdint.h>
#include <string.h>

extern int32_t blosc2_shuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int32_t blosc2_unshuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int32_t blosc2_bitshuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int32_t blosc2_bitunshuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int LZ4_compress_fast_extState(void *state, const char *from, char *to, int bytes, int room, int acceleration);
extern int LZ4_decompress_safe(const char *from, char *to, int stored, int bytes);

/* `how`: filters, and with one the size of an element. Before DELTA, which is for elements of 1, 2, 4 and 8 bytes, comes nothing; after it BYTES or BITS. */
enum { ARCH_PACK_PLAIN = 0, ARCH_PACK_BYTES = 32, ARCH_PACK_BITS = 64, ARCH_PACK_DELTA = 128, ARCH_PACK_ELEMENT = 31 };
/* Scratch memory: LZ4's state, then what the filter made, then what was packed. */
enum { ARCH_PACK_MOST = 65536, ARCH_PACK_STATE = 32768, ARCH_PACK_SCRATCH = 163840 };

static inline uint64_t arch_packed(uint64_t scratch) { return scratch + ARCH_PACK_STATE + ARCH_PACK_MOST; }

/* C-Blosc2 has a difference by exclusive or; on smooth floats a subtraction makes a third of what that leaves. */
#define ARCH_DIFFERENCES(type)                                          \
    static inline void arch_differ_##type(const type *from, type *to, int count) \
    {                                                                   \
        to[0] = from[0];                                                \
        for (int i = 1; i < count; i++)                                 \
            to[i] = (type)(from[i] - from[i - 1]);                      \
    }                                                                   \
    static inline void arch_sum_##type(type *at, int count)             \
    {                                                                   \
        type sum = 0;                                                   \
        for (int i = 0; i < count; i++)                                 \
            at[i] = sum = (type)(sum + at[i]);                          \
    }
ARCH_DIFFERENCES(uint8_t)
ARCH_DIFFERENCES(uint16_t)
ARCH_DIFFERENCES(uint32_t)
ARCH_DIFFERENCES(uint64_t)

static inline void arch_differ(const void *from, void *to, int bytes, int element)
{
    switch (element) {
    case 1: arch_differ_uint8_t(from, to, bytes); break;
    case 2: arch_differ_uint16_t(from, to, bytes / 2); break;
    case 4: arch_differ_uint32_t(from, to, bytes / 4); break;
    default: arch_differ_uint64_t(from, to, bytes / 8);
    }
}
static inline void arch_sum(void *at, int bytes, int element)
{
    switch (element) {
    case 1: arch_sum_uint8_t(at, bytes); break;
    case 2: arch_sum_uint16_t(at, bytes / 2); break;
    case 4: arch_sum_uint32_t(at, bytes / 4); break;
    default: arch_sum_uint64_t(at, bytes / 8);
    }
}

/* Packs `bytes` (64 KiB at most), to be found at arch_packed(scratch); how many they are then, 0 when more than `room`. */
static inline int arch_pack(uint64_t scratch, uint64_t from, int bytes, int how, int room)
{
    const void *source = (const void *)(uintptr_t)from;
    void *filtered = (void *)(uintptr_t)(scratch + ARCH_PACK_STATE);
    if (how & ARCH_PACK_DELTA) {  /* to where the packed bytes will be: nothing is there yet */
        arch_differ(source, (void *)(uintptr_t)arch_packed(scratch), bytes, how & ARCH_PACK_ELEMENT);
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
        arch_sum(target, bytes, how & ARCH_PACK_ELEMENT);
    return 0;
}
#endif
