/* Memory that a family of processes has in common: what a process forks has it at the same address, so indexes and pointers into it
 * mean the same to all. The engine's tables come from here.
 *
 * One long reservation of shared memory without a file, made when the first table is asked for and placed where nothing else is put, so that
 * every extension module of the process finds it by its address. Pages appear when they are touched; a table that is freed gives them
 * back. Blocks are powers of two of pages behind a page of their own (the head), of which the free ones of a size are a list.
 *
 * The lock survives the death of its holder. What is cut short then is at worst a block that is nobody's.
 */
#ifndef HOTSWAP_FAMILY_H
#define HOTSWAP_FAMILY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sync.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { ARCH_FAMILY_HEAD = 4096, ARCH_FAMILY_CLASSES = 40, ARCH_FAMILY_BITS = 40, ARCH_FAMILY_LEAST = 22, ARCH_FAMILY_SHARE = 4 };
#define ARCH_FAMILY_MAGIC 0x68736661666d0001u
#define ARCH_FAMILY_PLACE (1ull << 44)

struct arch_family {
    uint64_t magic;
    uint64_t bytes;                        /* of the reservation */
    arch_mutex lock;
    uint64_t unused;                       /* under lock: from here on nothing was ever handed out */
    uint64_t free[ARCH_FAMILY_CLASSES];    /* under lock: the first free block of a size, as an offset; 0: none */
};
struct arch_block { uint64_t length, next; int class; };  /* the head: bytes asked for, head included; the next free one */

static struct arch_family *arch_family_mine;

/* Is that address the start of our own reservation? What is not mapped makes the system call fail, and not us. */
static inline int arch_family_at(uint64_t address)
{
    const char *start = (const char *)(uintptr_t)address;
    if (!access(start, F_OK) || errno == EFAULT)
        return 0;
    return ((const struct arch_family *)start)->magic == ARCH_FAMILY_MAGIC;
}
/* Finds it or makes it. First called while modules are loaded, so by one thread; a process that has not even so many addresses ends. */
static __attribute__((noinline, unused)) struct arch_family *arch_family_find(void)
{
    struct rlimit most;
    uint64_t room = UINT64_MAX;
    if (!getrlimit(RLIMIT_AS, &most) && most.rlim_cur != RLIM_INFINITY)
        room = most.rlim_cur / ARCH_FAMILY_SHARE;
    for (int turn = 0; turn < 16; turn++) {
        uint64_t address = ARCH_FAMILY_PLACE + ((uint64_t)turn << ARCH_FAMILY_BITS);
        if (arch_family_at(address))
            return arch_family_mine = (struct arch_family *)(uintptr_t)address;
    }
    for (int bits = ARCH_FAMILY_BITS; bits >= ARCH_FAMILY_LEAST; bits--) {
        for (int turn = 0; turn < 16 && 1ull << bits <= room; turn++) {
            void *place = (void *)(uintptr_t)(ARCH_FAMILY_PLACE + ((uint64_t)turn << ARCH_FAMILY_BITS));
            void *p = mmap(place, 1ull << bits, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
            if (p == MAP_FAILED)
                continue;
            if (p != place) {
                munmap(p, 1ull << bits);
                continue;
            }
            struct arch_family *family = p;
            madvise(p, 1ull << bits, MADV_DONTDUMP);
            family->bytes = 1ull << bits;
            family->unused = (sizeof *family + ARCH_FAMILY_HEAD - 1) & ~(uint64_t)(ARCH_FAMILY_HEAD - 1);
            arch_mutex_init(&family->lock);
            family->magic = ARCH_FAMILY_MAGIC;
            return arch_family_mine = family;
        }
    }
    arch_log("hotswap: there are no addresses for its tables (%llu MiB wanted at least); raise the limit on address space (ulimit -v).",
             1ull << (ARCH_FAMILY_LEAST - 20), 0, 0);
    _exit(1);
}
static inline struct arch_family *arch_family(void) { return arch_family_mine ? arch_family_mine : arch_family_find(); }

/* Tables of the engine: zeroed, named by index from elsewhere, and without a reservation, so that only what is used costs
 * memory. NULL when there is no room. */
static __attribute__((noinline, unused)) void *arch_table(uint64_t count, uint64_t each)
{
    struct arch_family *family = arch_family();
    uint64_t pages = (count * each + ARCH_FAMILY_HEAD - 1) / ARCH_FAMILY_HEAD;
    int class = pages > 1 ? 64 - __builtin_clzll(pages - 1) : 0;
    if (class >= ARCH_FAMILY_CLASSES)
        return NULL;
    uint64_t length = ARCH_FAMILY_HEAD + ((uint64_t)ARCH_FAMILY_HEAD << class);
    arch_mutex_lock(&family->lock);
    uint64_t offset = family->free[class];
    if (offset) {
        family->free[class] = ((struct arch_block *)((char *)family + offset))->next;
    } else if (family->unused + length <= family->bytes) {
        offset = family->unused;
        family->unused += length;
    }
    arch_mutex_unlock(&family->lock);
    if (!offset)
        return NULL;
    struct arch_block *block = (struct arch_block *)((char *)family + offset);
    block->length = length;
    block->class = class;
    return (char *)block + ARCH_FAMILY_HEAD;
}
/* Poisoned, the range is never used again and whoever still looks is caught in the act. */
static __attribute__((noinline, unused)) void arch_table_free(void *table, int poison)
{
    struct arch_family *family = arch_family();
    if (!table)
        return;
    struct arch_block *block = (struct arch_block *)((char *)table - ARCH_FAMILY_HEAD);
    uint64_t payload = block->length - ARCH_FAMILY_HEAD;  /* by number: `hotswap run` has these calls looked at */
    syscall(SYS_madvise, table, payload, MADV_REMOVE);
    if (poison) {
        syscall(SYS_mprotect, table, payload, PROT_NONE);
        return;
    }
    arch_mutex_lock(&family->lock);
    block->next = family->free[block->class];
    family->free[block->class] = (uint64_t)((char *)block - (char *)family);
    arch_mutex_unlock(&family->lock);
}
/* The same for bytes, by address: 0 when there is no room. */
static inline uint64_t arch_table_room(uint64_t bytes) { return (uint64_t)(uintptr_t)arch_table(bytes, 1); }
static inline void arch_table_room_free(uint64_t address, uint64_t bytes)
{
    (void)bytes;
    arch_table_free((void *)(uintptr_t)address, 0);
}
/* Gives memory of a part of it back; it reads as zeros from then on. */
static inline void arch_table_punch(uint64_t address, uint64_t bytes) { syscall(SYS_madvise, address, bytes, MADV_REMOVE); }
/* A small number for the calling thread, its own among all threads of the family, handed back when the thread ends; -1 when all are
 * taken. Static on purpose: each module that asks has numbers of its own. In the first block of thread-local storage (initial-exec):
 * one load instead of a call into the dynamic linker, which might allocate, and that not in a signal handler. The C library keeps some room there for modules that come later. */
enum { ARCH_THREADS = 1024 };
static __thread __attribute__((tls_model("initial-exec"))) int arch_slot_mine = -1;
static uint64_t *arch_slot_owner;  /* by number: the process whose thread has it, 0: nobody's */
static pthread_key_t arch_slot_key;
static void arch_slot_release(void *p) { __atomic_store_n(&arch_slot_owner[(intptr_t)p - 1], 0, __ATOMIC_RELEASE); }
/* In a child of fork: the number is the parent's thread's. */
static void arch_slot_forked(void)
{
    arch_slot_mine = -1;
    pthread_setspecific(arch_slot_key, NULL);
}
/* Once, while the module is loaded. */
static __attribute__((unused)) void arch_thread_slots(void)
{
    arch_slot_owner = arch_table(ARCH_THREADS, sizeof *arch_slot_owner);
    if (!arch_slot_owner || pthread_key_create(&arch_slot_key, arch_slot_release) || pthread_atfork(NULL, NULL, arch_slot_forked))
        arch_broken("a module has room for the numbers of threads");
}
static __attribute__((noinline, unused)) int arch_slot_take(void)
{
    uint64_t me = (uint64_t)getpid();
    for (int i = 0; i < ARCH_THREADS; i++) {
        uint64_t none = 0;
        if (__atomic_compare_exchange_n(&arch_slot_owner[i], &none, me, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            pthread_setspecific(arch_slot_key, (void *)(intptr_t)(i + 1));
            return arch_slot_mine = i;
        }
    }
    return -1;
}
static inline int arch_thread_slot(void) { return arch_slot_mine >= 0 ? arch_slot_mine : arch_slot_take(); }
/* The same for who would rather go another way the first time: -1 while the thread has none. */
static inline int arch_thread_slot_mine(void) { return arch_slot_mine; }
/* Whose is it? 0: nobody's. Of a process that died, for who has cleaned up after it: it is free. */
static inline uint64_t arch_thread_slot_owner(int slot) { return __atomic_load_n(&arch_slot_owner[slot], __ATOMIC_ACQUIRE); }
static inline void arch_thread_slot_free(int slot) { __atomic_store_n(&arch_slot_owner[slot], 0, __ATOMIC_RELEASE); }
#endif
