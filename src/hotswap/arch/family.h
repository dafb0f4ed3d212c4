/* Memory that a family of processes has in common: all of them have it at the same address, so indexes and pointers into it mean the
 * same to all. The engine's tables come from here.
 *
 * One long reservation of shared memory, made when the first table is asked for and placed where nothing else is put, so that
 * every extension module of the process finds it by its address. Pages appear when they are touched; a table that is freed gives them
 * back. Blocks are powers of two of pages behind a page of their own (the head), of which the free ones of a size are a list.
 *
 *   page 0   arch_family: what all have, with a list of the tables that were made while the engine was loaded
 *   page 1   arch_own: each process's own, private memory that fork copies
 *   then     blocks
 *
 * A child of fork has it all. Another process joins (engine/join.py): HOTSWAP_JOIN in its environment names a member and that one's
 * descriptor of the memory, "process:descriptor:inode:address:build", which /proc gives to the same user. It maps the memory where all have it, and
 * what modules ask for while they are loaded are the tables that are there: the nth of a module is the nth. Code lies elsewhere in
 * such a process, so no table holds an address of code.
 *
 * The lock survives the death of its holder. What is cut short then is at worst a block that is nobody's.
 */
#ifndef HOTSWAP_FAMILY_H
#define HOTSWAP_FAMILY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "descriptors.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#endif

enum { ARCH_FAMILY_HEAD = 4096, ARCH_FAMILY_CLASSES = 40, ARCH_FAMILY_BITS = 40, ARCH_FAMILY_LEAST = 22, ARCH_FAMILY_SHARE = 4 };
enum { ARCH_FAMILY_STANDING = 120 };
#define ARCH_FAMILY_MAGIC 0x68736661666d0002u
#define ARCH_FAMILY_PLACE (1ull << 44)

struct arch_standing { uint64_t module, bytes, offset; };  /* a table that a module made while it was loaded; in order */
struct arch_family {
    uint64_t magic;
    uint64_t bytes;                        /* of the reservation */
    arch_mutex lock;
    uint64_t unused;                       /* under lock: from here on nothing was ever handed out */
    uint64_t free[ARCH_FAMILY_CLASSES];    /* under lock: the first free block of a size, as an offset; 0: none */
    uint64_t standing_count;
    struct arch_standing standing[ARCH_FAMILY_STANDING];
};
struct arch_own {
    uint64_t joined;                       /* tables were there before this process */
    uint64_t loaded;                       /* all modules are: tables come and go from now on */
    int64_t fd;                            /* of the memory, or -1 where it has none */
    uint64_t inode;                        /* and its number, as the program may have closed that */
    arch_mend_call mends[ARCH_MENDS];
};
struct arch_block { uint64_t length, next; int class, free; };  /* the head: bytes asked for, head included; the next free one; is it? */
_Static_assert(sizeof(struct arch_family) <= ARCH_FAMILY_HEAD, "what all have fits into a page");

static struct arch_family *arch_family_mine;

/* Is that address the start of our own reservation? What is not mapped makes the system call fail, and not us. */
static inline int arch_family_at(uint64_t address)
{
    const char *start = (const char *)(uintptr_t)address;
    if (!access(start, F_OK) || errno == EFAULT)
        return 0;
    return ((const struct arch_family *)start)->magic == ARCH_FAMILY_MAGIC;
}
/* Shared memory of that many bytes: its descriptor, which no program that is executed inherits; -1 where there is none to be had. */
static inline int arch_family_memory(uint64_t bytes)
{
    struct rlimit most;
    if (!getrlimit(RLIMIT_FSIZE, &most) && most.rlim_cur < bytes)
        return -1;
    int fd = memfd_create("hotswap-family", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (fd < 0)
        fd = memfd_create("hotswap-family", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    fd = arch_high(fd);
    if (!fchmod(fd, 0600) && !ftruncate(fd, (off_t)bytes))
        return fd;
    close(fd);
    return -1;
}
/* The memory at its place; fd -1: memory that has no descriptor, and that only children of fork have too. */
static inline int arch_family_map(uint64_t address, uint64_t bytes, int fd)
{
    void *place = (void *)(uintptr_t)address;
    int how = MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE | (fd < 0 ? MAP_ANONYMOUS : 0);
    void *p = mmap(place, bytes, PROT_READ | PROT_WRITE, how, fd, 0);
    if (p == MAP_FAILED)
        return 0;
    void *own = (char *)place + ARCH_FAMILY_HEAD;
    if (p != place || mmap(own, ARCH_FAMILY_HEAD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != own) {
        munmap(p, bytes);
        return 0;
    }
    madvise(p, bytes, MADV_DONTDUMP);
    return 1;
}
static inline void arch_family_own(struct arch_family *family, int fd, int joined)
{
    struct arch_own *own = (struct arch_own *)((char *)family + ARCH_FAMILY_HEAD);
    struct stat found;
    own->joined = (uint64_t)joined;
    own->fd = fd;
    own->inode = fd >= 0 && !fstat(fd, &found) ? (uint64_t)found.st_ino : 0;
}
/* The family that the environment names; NULL when it names none, or that one cannot be had (its member has gone, or is another user's). */
static inline struct arch_family *arch_family_join(void)
{
    const char *named = getenv("HOTSWAP_JOIN");
    int process, theirs;
    unsigned long long inode, address;
    char name[64];
    struct stat found;
    if (!named || sscanf(named, "%d:%d:%llu:%llx", &process, &theirs, &inode, &address) != 4 || process <= 0 || theirs < 0)
        return NULL;
    snprintf(name, sizeof name, "/proc/%d/fd/%d", process, theirs);
    int fd = open(name, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    if (!fstat(fd, &found) && S_ISREG(found.st_mode) && found.st_ino == inode && found.st_uid == geteuid()
        && arch_family_map(address, (uint64_t)found.st_size, fd)) {
        struct arch_family *family = (struct arch_family *)(uintptr_t)address;
        fd = arch_high(fd);
        arch_family_own(family, fd, 1);
        if (family->magic == ARCH_FAMILY_MAGIC)
            return family;
        munmap(family, (uint64_t)found.st_size);
    }
    close(fd);
    return NULL;
}
/* Finds it, joins one or makes it. First called while modules are loaded, so by one thread; a process that has not even so many
 * addresses ends. */
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
    if ((arch_family_mine = arch_family_join()))
        return arch_family_mine;
    for (int bits = ARCH_FAMILY_BITS; bits >= ARCH_FAMILY_LEAST; bits--) {
        int fd = 1ull << bits <= room ? arch_family_memory(1ull << bits) : -1;
        for (int turn = 0; turn < 16 && 1ull << bits <= room; turn++) {
            uint64_t address = ARCH_FAMILY_PLACE + ((uint64_t)turn << ARCH_FAMILY_BITS);
            if (!arch_family_map(address, 1ull << bits, fd))
                continue;
            struct arch_family *family = (struct arch_family *)(uintptr_t)address;
            family->bytes = 1ull << bits;
            family->unused = 2 * ARCH_FAMILY_HEAD;
            arch_mutex_init(&family->lock);
            arch_family_own(family, fd, 0);
            family->magic = ARCH_FAMILY_MAGIC;
            return arch_family_mine = family;
        }
        if (fd >= 0)
            close(fd);
    }
    arch_log("hotswap: there are no addresses for its tables (%llu MiB wanted at least); raise the limit on address space (ulimit -v).",
             1ull << (ARCH_FAMILY_LEAST - 20), 0, 0);
    _exit(1);
}
static inline struct arch_family *arch_family(void) { return arch_family_mine ? arch_family_mine : arch_family_find(); }
static inline struct arch_own *arch_own(void) { return (struct arch_own *)((char *)arch_family() + ARCH_FAMILY_HEAD); }
static arch_mend_call *arch_mends(void) { return arch_own()->mends; }
/* Did this process make the tables? Only who made them sets them up. */
static inline int arch_founder(void) { return !arch_own()->joined; }
/* All modules are loaded. */
static inline void arch_loaded(void)
{
    arch_check(arch_family()->standing_count < ARCH_FAMILY_STANDING, "who joins finds all tables");
    arch_own()->loaded = 1;
}
/* What HOTSWAP_JOIN has to say for others to join: descriptor, inode, address. 0, or -EBADF where that cannot be. */
static inline int arch_family_door(uint64_t *said)
{
    struct arch_own *own = arch_own();
    struct stat found;
    if (own->fd < 0 || fstat((int)own->fd, &found) || found.st_ino != own->inode)
        return -EBADF;
    said[0] = (uint64_t)own->fd;
    said[1] = own->inode;
    said[2] = (uint64_t)(uintptr_t)arch_family();
    return 0;
}

/* A block for so many bytes, or NULL. */
static __attribute__((noinline, unused)) void *arch_table_new(uint64_t bytes)
{
    struct arch_family *family = arch_family();
    uint64_t pages = (bytes + ARCH_FAMILY_HEAD - 1) / ARCH_FAMILY_HEAD;
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
    block->free = 0;
    return (char *)block + ARCH_FAMILY_HEAD;
}
/* The next table that this module asks for while it is loaded: made and noted, or in a process that joined the one that is there. */
static __attribute__((noinline, unused)) void *arch_table_standing(uint64_t bytes)
{
    static int asked;
    struct arch_family *family = arch_family();
    uint64_t module = 0xcbf29ce484222325u;
    int nth = asked++;
    for (const char *c = __BASE_FILE__; *c; c++)
        module = (module ^ (unsigned char)*c) * 0x100000001b3u;
    if (!arch_founder()) {
        for (uint64_t i = 0; i < family->standing_count; i++)
            if (family->standing[i].module == module && !nth--) {
                arch_check(family->standing[i].bytes == bytes, "who joins a family is of the same build");
                return (char *)family + family->standing[i].offset;
            }
        arch_broken("who joins a family is of the same build");
    }
    void *table = arch_table_new(bytes);
    arch_check(table != NULL, "there is room for the engine's tables");
    if (family->standing_count < ARCH_FAMILY_STANDING)  /* beyond, where nobody says that all is loaded (a test of single modules) */
        family->standing[family->standing_count++] = (struct arch_standing){ module, bytes, (uint64_t)((char *)table - (char *)family) };
    return table;
}
/* Tables of the engine: zeroed, named by index from elsewhere, and without a reservation, so that only what is used costs
 * memory. NULL when there is no room. */
static inline void *arch_table(uint64_t count, uint64_t each)
{
    return arch_own()->loaded ? arch_table_new(count * each) : arch_table_standing(count * each);
}
/* Poisoned, the range is never used again and whoever still looks is caught in the act. */
static __attribute__((noinline, unused)) void arch_table_free(void *table, int poison)
{
    struct arch_family *family = arch_family();
    if (!table)
        return;
    struct arch_block *block = (struct arch_block *)((char *)table - ARCH_FAMILY_HEAD);
    arch_check(!__atomic_exchange_n(&block->free, 1, __ATOMIC_RELAXED), "a table is freed once");
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
