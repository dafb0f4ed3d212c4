/* Locks that sleep, threads and the clock. None of them needs the interpreter.
 *
 * Bit locks live in bits 0 (LOCKED) and 1 (WAITERS) of a word whose other bits are the value they guard; the value
 * changes only with the unlock, so a reader without the lock sees either the old or the new one. Their waiters sleep
 * on the word's low half. Bit locks are unfair; the wait is bounded by the holder's one transfer.
 */
#ifndef HOTSWAP_SYNC_H
#define HOTSWAP_SYNC_H

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "atomics.h"

enum { ARCH_LOCKED = 1, ARCH_WAITERS = 2 };

static inline uint64_t arch_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static inline void arch_nap_us(uint64_t us)
{
    struct timespec t = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
    nanosleep(&t, NULL);
}
static inline void arch_yield(void) { sched_yield(); }

static inline void arch_futex_wait(arch_word *w, uint32_t seen, int64_t timeout_us)
{
    struct timespec t = { .tv_sec = timeout_us / 1000000, .tv_nsec = (timeout_us % 1000000) * 1000 };
    syscall(SYS_futex, (uint32_t *)&w->v, FUTEX_WAIT, seen, timeout_us < 0 ? NULL : &t, NULL, 0);
}
static inline void arch_futex_wake(arch_word *w, int n)
{
    syscall(SYS_futex, (uint32_t *)&w->v, FUTEX_WAKE, n, NULL, NULL, 0);
}

/* Bit lock. lock and trylock are acquires, unlock is a release and publishes the new value. */
static inline int arch_bit_trylock(arch_word *w)
{
    uint64_t v = arch_load(w);
    return !(v & ARCH_LOCKED) && arch_cas(w, v, v | ARCH_LOCKED);
}
static inline void arch_bit_lock(arch_word *w)
{
    for (;;) {
        uint64_t v = arch_load(w);
        if (!(v & ARCH_LOCKED)) {
            if (arch_cas(w, v, v | ARCH_LOCKED))
                return;
        } else if ((v & ARCH_WAITERS) || arch_cas(w, v, v | ARCH_WAITERS)) {
            arch_futex_wait(w, (uint32_t)(v | ARCH_WAITERS), -1);
        }
    }
}
static inline void arch_bit_unlock(arch_word *w, uint64_t value)
{
    uint64_t old = __atomic_exchange_n(&w->v, value & ~(uint64_t)(ARCH_LOCKED | ARCH_WAITERS), __ATOMIC_RELEASE);
    if (old & ARCH_WAITERS)
        arch_futex_wake(w, INT_MAX);
}

/* Event: a count of wake-ups. Read it, look at the condition, wait for the count to move on. Bit 0 says that somebody
 * sleeps, so that a wake-up nobody waits for costs no system call. timeout_us < 0: none. */
static inline uint64_t arch_event_read(arch_word *w) { return arch_load_acquire(w) & ~(uint64_t)1; }
static __attribute__((noinline, unused)) void arch_event_wake(arch_word *w)  /* rare where time counts: kept out of there */
{
    uint64_t v;
    do
        v = arch_load(w);
    while (!arch_cas(w, v, (v & ~(uint64_t)1) + 2));
    if (v & 1)
        arch_futex_wake(w, INT_MAX);
}
static inline void arch_event_wait(arch_word *w, uint64_t seen, int64_t timeout_us)
{
    uint64_t v = arch_load(w);
    if ((v & ~(uint64_t)1) == seen && ((v & 1) || arch_cas(w, v, v | 1)))
        arch_futex_wait(w, (uint32_t)(seen | 1), timeout_us);
}

/* A mutex and a lock for readers, which processes that share memory may share. When the holder of a mutex dies the next one has it
 * all the same, and is told so by `cut`: what the mutex guards may be half done. */
typedef struct { pthread_mutex_t lock; uint64_t cut; } arch_mutex;
static inline void arch_mutex_init(arch_mutex *m)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&m->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    m->cut = 0;
}
static __attribute__((noinline, cold, unused)) void arch_mutex_cut(arch_mutex *m)
{
    m->cut++;
    pthread_mutex_consistent(&m->lock);
}
static inline void arch_mutex_lock(arch_mutex *m)
{
    if (__builtin_expect(pthread_mutex_lock(&m->lock) == EOWNERDEAD, 0))
        arch_mutex_cut(m);
}
static inline void arch_mutex_unlock(arch_mutex *m) { pthread_mutex_unlock(&m->lock); }
/* Under the mutex: did a holder die in here since this was asked last? */
static inline int arch_mutex_was_cut(arch_mutex *m)
{
    uint64_t cut = m->cut;
    m->cut = 0;
    return cut != 0;
}

typedef pthread_rwlock_t arch_rwlock;
static inline void arch_rwlock_init(arch_rwlock *l)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    /* Readers come all the time (faults): a writer that had to wait for a pause of theirs would wait for ever. */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_rwlock_init(l, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}
static inline void arch_read_lock(arch_rwlock *l) { pthread_rwlock_rdlock(l); }
static inline void arch_read_unlock(arch_rwlock *l) { pthread_rwlock_unlock(l); }
static inline void arch_write_lock(arch_rwlock *l) { pthread_rwlock_wrlock(l); }
static inline void arch_write_unlock(arch_rwlock *l) { pthread_rwlock_unlock(l); }

/* Threads of the engine block every signal: a signal handler written in Python must not run on them. */
typedef void (*arch_thread_main)(int argument);
struct arch_start { arch_thread_main main; int argument; char name[16]; };
static inline void *arch_thread_trampoline(void *p)
{
    struct arch_start start = *(struct arch_start *)p;
    free(p);
    pthread_setname_np(pthread_self(), start.name);
    start.main(start.argument);
    return NULL;
}
/* A handle, or 0 when the system has no room for a thread. */
static inline uint64_t arch_thread_start(arch_thread_main main, int argument, const char *name)
{
    struct arch_start *start = malloc(sizeof *start);
    pthread_t thread;
    sigset_t all, old;
    if (!start)
        return 0;
    start->main = main;
    start->argument = argument;
    snprintf(start->name, sizeof start->name, "%s", name);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&thread, NULL, arch_thread_trampoline, start);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        free(start);
        return 0;
    }
    return (uint64_t)thread;
}
static inline void arch_thread_join(uint64_t handle) { pthread_join((pthread_t)handle, NULL); }

/* A small number for the calling thread, handed back when the thread ends; -1 when all are taken.
 * Static on purpose: each module that asks has numbers of its own. In the first block of thread-local storage (initial-exec):
 * one load instead of a call into the dynamic linker, which might allocate, and that not in a signal handler. The C library keeps some room there for modules that come later. */
enum { ARCH_THREADS = 1024 };
static __thread __attribute__((tls_model("initial-exec"))) int arch_slot_mine = -1;
static unsigned char arch_slot_used[ARCH_THREADS];
static pthread_key_t arch_slot_key;
static pthread_once_t arch_slot_once = PTHREAD_ONCE_INIT;
static void arch_slot_release(void *p) { __atomic_store_n(&arch_slot_used[(intptr_t)p - 1], 0, __ATOMIC_RELEASE); }
static void arch_slot_setup(void) { pthread_key_create(&arch_slot_key, arch_slot_release); }
static __attribute__((noinline, unused)) int arch_slot_take(void)
{
    pthread_once(&arch_slot_once, arch_slot_setup);
    for (int i = 0; i < ARCH_THREADS; i++) {
        unsigned char none = 0;
        if (__atomic_compare_exchange_n(&arch_slot_used[i], &none, 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            pthread_setspecific(arch_slot_key, (void *)(intptr_t)(i + 1));
            return arch_slot_mine = i;
        }
    }
    return -1;
}
static inline int arch_thread_slot(void) { return arch_slot_mine >= 0 ? arch_slot_mine : arch_slot_take(); }
/* The same for who would rather go another way the first time: -1 while the thread has none. */
static inline int arch_thread_slot_mine(void) { return arch_slot_mine; }
/* Whether, of what seldom is: the compiler puts the rest of that way somewhere else. */
static inline int arch_rarely(int condition) { return __builtin_expect(condition != 0, 0); }

/* One line to standard error, in one write, so that lines of several threads do not mix. */
static inline void arch_log(const char *format, uint64_t a, uint64_t b, uint64_t c)
{
    char line[256];
    int n = snprintf(line, sizeof line - 1, format, (unsigned long long)a, (unsigned long long)b, (unsigned long long)c);
    if (n > (int)sizeof line - 2)
        n = sizeof line - 2;
    line[n++] = '\n';
    if (write(2, line, (size_t)n) < 0) { /* nobody listens: nothing better to do */ }
}
/* The same about an area: %s in the format is its name, an address of a string, or 0. */
static inline void arch_log_area(const char *format, uint64_t name, uint64_t a, uint64_t b)
{
    char line[512];
    int n = snprintf(line, sizeof line - 1, format, name ? (const char *)(uintptr_t)name : "?", (unsigned long long)a, (unsigned long long)b);
    if (n > (int)sizeof line - 2)
        n = sizeof line - 2;
    line[n++] = '\n';
    if (write(2, line, (size_t)n) < 0) { /* nobody listens: nothing better to do */ }
}

/* An invariant of the engine. A broken one ends the process at once: going on would hand out wrong bytes. */
static __attribute__((noinline, cold, noreturn, unused)) void arch_broken(const char *invariant)
{
    arch_log("hotswap: an invariant does not hold, stopping before data is lost:", 0, 0, 0);
    arch_log(invariant, 0, 0, 0);
    abort();
}
static inline void arch_check(int holds, const char *invariant)
{
    if (__builtin_expect(!holds, 0))
        arch_broken(invariant);
}
#endif
