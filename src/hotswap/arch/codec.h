/* Compression of one piece of memory, for compressed RAM: filters that take the difference of each element from the one before (as
 * whole numbers, which is no loss and right for floats too: neighbours have near patterns) and sort bytes or bits of elements by
 * their weight (C-Blosc2), then LZ4, the copy that the same library carries. No call allocates, locks or blocks: whoever calls brings the scratch memory. */
#ifndef HOTSWAP_CODEC_H
#define HOTSWAP_CODEC_H

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

extern int32_t blosc2_shuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int32_t blosc2_unshuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int32_t blosc2_bitshuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int32_t blosc2_bitunshuffle(int32_t element, int32_t bytes, const void *from, void *to);
extern int LZ4_compress_fast_extState(void *state, const char *from, char *to, int bytes, int room, int acceleration);
extern int LZ4_decompress_safe(const char *from, char *to, int stored, int bytes);
extern int LZ4_decompress_safe_partial(const char *from, char *to, int stored, int wanted, int bytes);

/* `how`: filters, and with one the size of an element. Before DELTA, which is for elements of 1, 2, 4 and 8 bytes, comes nothing; after it BYTES or BITS. */
enum { ARCH_PACK_PLAIN = 0, ARCH_PACK_BYTES = 32, ARCH_PACK_BITS = 64, ARCH_PACK_DELTA = 128, ARCH_PACK_ELEMENT = 31 };
/* Scratch memory: LZ4's state, then what the filter made, then what was packed. */
enum { ARCH_PACK_PAGE = 4096, ARCH_PACK_MOST = 65536, ARCH_PACK_STATE = 32768, ARCH_PACK_SCRATCH = 163840 };

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
ARCH_DIFFERENCES(uint64_t)

/* Four at a time, for float32 and int32: element by element a sum takes half as long as LZ4, a difference a third. */
static inline void arch_differ_four(const uint32_t *from, uint32_t *to, int count)
{
    int i = 1;
    to[0] = from[0];
#ifdef __SSE2__
    for (; i + 4 <= count; i += 4)
        _mm_storeu_si128((__m128i *)(to + i), _mm_sub_epi32(_mm_loadu_si128((const __m128i *)(from + i)),
                                                             _mm_loadu_si128((const __m128i *)(from + i - 1))));
#endif
    for (; i < count; i++)
        to[i] = from[i] - from[i - 1];
}
static inline void arch_sum_four(uint32_t *at, int count)
{
    uint32_t last = 0;
    int i = 0;
#ifdef __SSE2__
    __m128i sum = _mm_setzero_si128();
    for (; i + 4 <= count; i += 4) {
        __m128i x = _mm_loadu_si128((const __m128i *)(at + i));
        x = _mm_add_epi32(x, _mm_slli_si128(x, 4));
        x = _mm_add_epi32(x, _mm_slli_si128(x, 8));
        x = _mm_add_epi32(x, sum);
        _mm_storeu_si128((__m128i *)(at + i), x);
        sum = _mm_shuffle_epi32(x, 0xFF);
    }
    last = (uint32_t)_mm_cvtsi128_si32(sum);
#endif
    for (; i < count; i++)
        at[i] = last += at[i];
}

static inline void arch_differ(const void *from, void *to, int bytes, int element)
{
    switch (element) {
    case 1: arch_differ_uint8_t(from, to, bytes); break;
    case 2: arch_differ_uint16_t(from, to, bytes / 2); break;
    case 4: arch_differ_four(from, to, bytes / 4); break;
    default: arch_differ_uint64_t(from, to, bytes / 8);
    }
}
static inline void arch_sum(void *at, int bytes, int element)
{
    switch (element) {
    case 1: arch_sum_uint8_t(at, bytes); break;
    case 2: arch_sum_uint16_t(at, bytes / 2); break;
    case 4: arch_sum_four(at, bytes / 4); break;
    default: arch_sum_uint64_t(at, bytes / 8);
    }
}

/* Packs `bytes` (64 KiB at most), to be found at arch_packed(scratch); how many they are then, 0 when more than `room`. Each page
 * goes through the filters by itself, and LZ4 has all of them at once: it finds what neighbours have in common, and one page can still be
 * had without undoing the filters of the others. */
static inline int arch_pack(uint64_t scratch, uint64_t from, int bytes, int how, int room)
{
    const char *source = (const char *)(uintptr_t)from;
    char *filtered = (char *)(uintptr_t)(scratch + ARCH_PACK_STATE);
    char *packed = (char *)(uintptr_t)arch_packed(scratch);
    int element = how & ARCH_PACK_ELEMENT;
    for (int at = 0; how && at < bytes; at += ARCH_PACK_PAGE) {
        const char *page = source + at;
        int size = bytes - at < ARCH_PACK_PAGE ? bytes - at : ARCH_PACK_PAGE;
        if (how & ARCH_PACK_DELTA) {  /* to where the packed bytes will be: nothing is there yet */
            arch_differ(page, packed, size, element);
            page = packed;
        }
        if (how & ARCH_PACK_BYTES)
            blosc2_shuffle(element, size, page, filtered + at);
        else
            blosc2_bitshuffle(element, size, page, filtered + at);
    }
    return LZ4_compress_fast_extState((void *)(uintptr_t)scratch, how ? filtered : source, packed, bytes, room, 1);
}

/* The opposite, of whole pages: `take` bytes from `skip` on. -1 when what is stored does not give exactly `bytes`, as far as it is
 * looked at: not behind what is taken. */
static inline int arch_unpack(uint64_t scratch, uint64_t from, int stored, uint64_t to, int bytes, int how, int skip, int take)
{
    char *target = (char *)(uintptr_t)to;
    int element = how & ARCH_PACK_ELEMENT, end = skip + take;
    int straight = !how && take == bytes;
    char *filtered = straight ? target : (char *)(uintptr_t)(scratch + ARCH_PACK_STATE);
    int got = end == bytes ? LZ4_decompress_safe((const char *)(uintptr_t)from, filtered, stored, bytes)
                           : LZ4_decompress_safe_partial((const char *)(uintptr_t)from, filtered, stored, end, bytes);
    if (got != end)
        return -1;
    if (!how && !straight)
        memcpy(target, filtered + skip, (size_t)take);
    for (int at = skip; how && at < end; at += ARCH_PACK_PAGE) {
        char *page = target + (at - skip);
        int size = end - at < ARCH_PACK_PAGE ? end - at : ARCH_PACK_PAGE;
        if (how & ARCH_PACK_BYTES)
            blosc2_unshuffle(element, size, filtered + at, page);
        else
            blosc2_bitunshuffle(element, size, filtered + at, page);
        if (how & ARCH_PACK_DELTA)
            arch_sum(page, size, element);
    }
    return 0;
}
#endif
