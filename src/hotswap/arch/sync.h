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
/* The same, but it gives up while `stop` is odd, for a lock whose holder may be a process that died: whoever cleans up after it has
 * everybody stop first. 0: not taken. */
static inline int arch_bit_lock_unless(arch_word *w, arch_word *stop)
{
    for (;;) {
        uint64_t v = arch_load(w);
        if (!(v & ARCH_LOCKED)) {
            if (arch_cas(w, v, v | ARCH_LOCKED))
                return 1;
        } else if (arch_load_acquire(stop) & 1) {
            return 0;
        } else if ((v & ARCH_WAITERS) || arch_cas(w, v, v | ARCH_WAITERS)) {
            arch_futex_wait(w, (uint32_t)(v | ARCH_WAITERS), 20000);
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
 * all the same, after what the mutex guards was put right; `cut` counts how often that was. */
typedef void (*arch_mend_call)(int argument);
typedef struct { pthread_mutex_t lock; uint64_t cut; int64_t mend, argument; } arch_mutex;  /* mend: which of the process's, + 1; 0: none */
enum { ARCH_MENDS = 16 };
static void arch_broken(const char *invariant) __attribute__((noreturn));
static arch_mend_call *arch_mends(void);  /* this process's (family.h): code need not be at the same address in all */
static inline void arch_mutex_init(arch_mutex *m)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&m->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    m->cut = 0;
    m->mend = 0;
}
/* The number of a call that puts something right: every process names all of them while it loads the engine, in the same order. */
static __attribute__((unused)) int arch_mend_known(arch_mend_call mend)
{
    arch_mend_call *mends = arch_mends();
    int which = 0;
    while (which < ARCH_MENDS - 1 && mends[which] && mends[which] != mend)
        which++;
    if (mends[which] && mends[which] != mend)
        arch_broken("there is room for all that puts something right");
    mends[which] = mend;
    return which;
}
/* What puts right what the mutex guards, called with it held by the first who has it after a holder died; one that is known. */
static __attribute__((unused)) void arch_mutex_mend(arch_mutex *m, arch_mend_call mend, int argument)
{
    m->argument = argument;
    m->mend = arch_mend_known(mend) + 1;
}
static __attribute__((noinline, cold, unused)) void arch_mutex_cut(arch_mutex *m)
{
    m->cut++;
    pthread_mutex_consistent(&m->lock);
    if (m->mend)
        arch_mends()[m->mend - 1]((int)m->argument);
}
static inline void arch_mutex_lock(arch_mutex *m)
{
    if (__builtin_expect(pthread_mutex_lock(&m->lock) == EOWNERDEAD, 0))
        arch_mutex_cut(m);
}
static inline void arch_mutex_unlock(arch_mutex *m) { pthread_mutex_unlock(&m->lock); }
/* The mutex if nobody has it: 1; -1 when whoever had it died, and it is the caller's now; else 0. */
static inline int arch_mutex_try(arch_mutex *m)
{
    int result = pthread_mutex_trylock(&m->lock);
    if (result == EOWNERDEAD)
        arch_mutex_cut(m);
    return result == EOWNERDEAD ? -1 : result == 0;
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

/* Whoever works in the engine, against who needs all of this process at rest for a moment (a fork, a count of everything). It is the
 * module's that asks. Never entered twice by one thread: who wants rest comes before those who come later. */
static pthread_rwlock_t arch_calm = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static inline void arch_calm_enter(void) { pthread_rwlock_rdlock(&arch_calm); }
static inline void arch_calm_leave(void) { pthread_rwlock_unlock(&arch_calm); }
static inline void arch_calm_stop(void) { pthread_rwlock_wrlock(&arch_calm); }
static inline void arch_calm_go(void) { pthread_rwlock_unlock(&arch_calm); }
/* In a child of fork, where the one who stopped it was the parent's thread. */
static inline void arch_calm_begin(void)
{
    const pthread_rwlock_t fresh = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
    arch_calm = fresh;
}

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
static inline uint64_t arch_thread_create(void *(*main)(void *), void *argument)
{
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&thread, NULL, main, argument);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed ? 0 : (uint64_t)thread;
}
static inline uint64_t arch_thread_start(arch_thread_main main, int argument, const char *name)
{
    struct arch_start *start = malloc(sizeof *start);
    if (!start)
        return 0;
    start->main = main;
    start->argument = argument;
    snprintf(start->name, sizeof start->name, "%s", name);
    uint64_t thread = arch_thread_create(arch_thread_trampoline, start);
    if (!thread)
        free(start);
    return thread;
}
/* The calling thread will not be joined by anybody. */
static inline void arch_thread_unjoined(void) { pthread_detach(pthread_self()); }
static inline void arch_thread_join(uint64_t handle) { pthread_join((pthread_t)handle, NULL); }

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
