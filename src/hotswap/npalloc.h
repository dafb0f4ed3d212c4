/* The array that a thread made last, to be looked at by that thread without the interpreter's lock (NumPy lets go of it around
 * calloc), while other threads may free it. Such an array stands in a table until it is freed or its thread makes another, and who
 * looks at it borrows its place there (lowest bit), which whoever frees it waits for. Making and freeing have the interpreter's lock.
 *
 * An array may stand in any of the places of its row, so that arrays of other threads do not push it out between the moment it is
 * made and the moment its memory is asked for. Threads that ended may leave full rows: then one that nobody borrows has to go.
 */
#ifndef HOTSWAP_NPALLOC_H
#define HOTSWAP_NPALLOC_H

#include <sched.h>
#include <stdint.h>

enum { NEWEST_ROWS = 256, NEWEST_PLACES = 8 };
struct newest {
    uintptr_t array;  /* lowest bit: it is borrowed */
    void *thread;     /* that made it; changes while the place is empty */
};
static struct newest newest_table[NEWEST_ROWS][NEWEST_PLACES];
static __thread struct {
    uintptr_t array;      /* that this thread made last; it may be freed */
    struct newest *place; /* where it stood, and stands unless it was freed or pushed out */
} newest_mine;

static inline struct newest *newest_row(uintptr_t array) { return newest_table[(array >> 4 ^ array >> 12) % NEWEST_ROWS]; }
static inline int newest_change(struct newest *place, uintptr_t from, uintptr_t to)
{
    return __atomic_compare_exchange_n(&place->array, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
static inline uintptr_t newest_at(const struct newest *place) { return __atomic_load_n(&place->array, __ATOMIC_RELAXED); }
/* Takes this thread's array out of its place. Nobody else can have borrowed it, so a store does. */
static inline int newest_leave(uintptr_t array)
{
    struct newest *place = newest_mine.place;
    if (!place || newest_at(place) != array || place->thread != &newest_mine)
        return 0;
    __atomic_store_n(&place->array, 0, __ATOMIC_RELEASE);
    newest_mine.place = NULL;
    return 1;
}
/* Before it is freed. */
static inline void newest_freed(void *freed)
{
    uintptr_t array = (uintptr_t)freed;
    if (newest_leave(array))
        return;
    for (struct newest *place = newest_row(array), *end = place + NEWEST_PLACES; place < end; place++)
        while ((newest_at(place) & ~(uintptr_t)1) == array) {
            if (newest_change(place, array, 0))
                return;
            sched_yield();
        }
}
static inline int newest_stand(uintptr_t array)
{
    struct newest *row = newest_row(array), *place = row, *end = row + NEWEST_PLACES;
    while (place < end && newest_at(place))
        place++;
    if (place == end) {
        uintptr_t there;
        for (place = row; place < end; place++)
            if (!((there = newest_at(place)) & 1) && newest_change(place, there, 0))
                break;
        if (place == end)
            return 0;
    }
    place->thread = &newest_mine;
    newest_mine.place = place;
    __atomic_store_n(&place->array, array, __ATOMIC_RELEASE);
    return 1;
}
static inline void newest_made(void *made)
{
    uintptr_t array = (uintptr_t)made;
    newest_leave(newest_mine.array);
    newest_mine.array = array && newest_stand(array) ? array : 0;
}
/* Where this thread's stands, to be given back at once; NULL when there is none, or it was freed. */
static inline struct newest *newest_borrow(void)
{
    uintptr_t mine = newest_mine.array;
    struct newest *place = newest_mine.place;
    if (!mine || !place || !newest_change(place, mine, mine | 1))
        return NULL;
    if (place->thread == &newest_mine)
        return place;
    __atomic_store_n(&place->array, mine, __ATOMIC_RELEASE);  /* another thread's, at the same address */
    return NULL;
}
static inline void *newest_array(const struct newest *place) { return (void *)(place->array & ~(uintptr_t)1); }
static inline void newest_back(struct newest *place) { __atomic_store_n(&place->array, place->array & ~(uintptr_t)1, __ATOMIC_RELEASE); }
#endif
