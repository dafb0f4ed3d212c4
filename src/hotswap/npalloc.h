/* The array that a thread made last, to be looked at by that thread without the interpreter's lock (NumPy lets go of it around
 * calloc), while other threads may free it: an array stands in a table from when it is made until it is freed or another takes its
 * place, and who looks at it borrows its place there (lowest bit), which whoever frees it waits for.
 */
#ifndef HOTSWAP_NPALLOC_H
#define HOTSWAP_NPALLOC_H

#include <sched.h>
#include <stdint.h>

enum { NEWEST_PLACES = 256 };
static uintptr_t newest_table[NEWEST_PLACES];
static __thread uintptr_t newest_mine;

static inline uintptr_t *newest_place(uintptr_t array) { return &newest_table[(array >> 4 ^ array >> 12) % NEWEST_PLACES]; }
static inline void newest_made(void *made)
{
    uintptr_t array = (uintptr_t)made, *place = newest_place(array), there = __atomic_load_n(place, __ATOMIC_RELAXED);
    newest_mine = array && !(there & 1)
        && __atomic_compare_exchange_n(place, &there, array, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) ? array : 0;
}
/* Before it is freed. */
static inline void newest_freed(void *freed)
{
    uintptr_t array = (uintptr_t)freed, *place = newest_place(array), there = __atomic_load_n(place, __ATOMIC_RELAXED);
    while ((there & ~(uintptr_t)1) == array) {
        uintptr_t mine = array;
        if (__atomic_compare_exchange_n(place, &mine, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return;
        sched_yield();
        there = __atomic_load_n(place, __ATOMIC_RELAXED);
    }
}
/* This thread's, to be given back at once; NULL when there is none, or it was freed. */
static inline void *newest_borrow(void)
{
    uintptr_t mine = newest_mine, expected = mine;
    return mine && __atomic_compare_exchange_n(newest_place(mine), &expected, mine | 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)
        ? (void *)mine : NULL;
}
static inline void newest_back(void *array) { __atomic_store_n(newest_place((uintptr_t)array), (uintptr_t)array, __ATOMIC_RELEASE); }
#endif
