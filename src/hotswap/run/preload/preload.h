/* The library that `hotswap run` has loaded before all others: it gives large allocations to the engine.
 *
 * heap.c takes the place of malloc and its family, calls.c that of system calls which could not reach swapped-out memory, python.c
 * starts the rest inside the interpreter and keeps its tables in memory, and exec.c takes it along to Python processes that the program starts. In any process but the one it is meant for, and
 * until hotswap_preload_start() is called, everything is handed on.
 */
#ifndef HOTSWAP_PRELOAD_H
#define HOTSWAP_PRELOAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define EXPORTED __attribute__((visibility("default")))
#define RARELY(condition) __builtin_expect(!!(condition), 0)
#define THREAD static __thread __attribute__((tls_model("initial-exec")))

/* What the engine offers (engine/heap.py), filled in by hotswap/run/boot.py. Addresses are integers, 0 is none. */
struct hotswap_heap {
    uint64_t base, bytes;  /* the one range of addresses that all blocks lie in */
    uint64_t least;        /* bytes of the smallest allocation that is swapped */
    uint64_t space;        /* the engine's number of the space */
    uint64_t wrap_calls;   /* does the kernel refuse to serve faults inside system calls? */
    uint64_t (*map)(int space, uint64_t bytes, int zeroed);
    void (*unmap)(uint64_t address);
    uint64_t (*room)(uint64_t address);
    uint64_t (*resize)(uint64_t address, uint64_t bytes);
    int (*pin)(uint64_t address, uint64_t bytes);
    void (*unpin)(uint64_t address, uint64_t bytes);
    int (*alone)(void);  /* is this a child of fork in which there is no engine? */
};

extern struct hotswap_heap hotswap_heap __attribute__((visibility("hidden")));
/* Beginning and length of what is ours; of what system calls have to be helped with. Both 0 until it starts. */
extern uintptr_t hotswap_base __attribute__((visibility("hidden")));
extern size_t hotswap_span __attribute__((visibility("hidden")));
extern size_t hotswap_helped __attribute__((visibility("hidden")));

/* Who asks for memory here, as far as the thread knows: python.c tells. */
enum { SOMEBODY = 0, TABLES = 1, BYTES = 2 };
extern __thread int hotswap_asks __attribute__((tls_model("initial-exec"), visibility("hidden")));
/* Is the memory that this thread asks for that of an array of Python objects? (hotswap/npalloc.py) */
extern int (*hotswap_objects)(void) __attribute__((visibility("hidden")));

static inline int hotswap_ours(const void *p) { return (uintptr_t)p - hotswap_base < hotswap_span; }
/* The next definition of a function: the C library's, or that of another preloaded library. */
void *hotswap_next(const char *name) __attribute__((visibility("hidden")));
/* The executable part of the library or program that something is in: where it begins, and its length; 0 when there is none. */
void hotswap_text(const void *inside, uintptr_t *first, uintptr_t *bytes) __attribute__((visibility("hidden")));
#endif
