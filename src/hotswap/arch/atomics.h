/* Shared words with explicit order, and the two halves of an asymmetric barrier.
 *
 * A word is 64 bits wide and opaque to the engine: compiled it is this struct, in the race lab a mutable object.
 * arch_light() orders nothing by itself but the compiler; it pairs with arch_heavy(), which makes every other thread of
 * the process and of its family run a full barrier (membarrier(2), global expedited: all that registered). A thread that stores A, arch_light(), loads B and
 * one that stores B, arch_heavy(), loads A cannot both miss the other's store.
 */
#ifndef HOTSWAP_ATOMICS_H
#define HOTSWAP_ATOMICS_H

#include <stdint.h>
#include <errno.h>
#include <unistd.h>
#include <sys/syscall.h>

#ifdef HOTSWAP_DEBUG
enum { ARCH_DEBUG = 1 };
#else
enum { ARCH_DEBUG = 0 };
#endif

typedef struct { uint64_t v; } arch_word;

static inline uint64_t arch_load(const arch_word *w) { return __atomic_load_n(&w->v, __ATOMIC_RELAXED); }
static inline uint64_t arch_load_acquire(const arch_word *w) { return __atomic_load_n(&w->v, __ATOMIC_ACQUIRE); }
static inline void arch_store(arch_word *w, uint64_t v) { __atomic_store_n(&w->v, v, __ATOMIC_RELAXED); }
static inline void arch_store_release(arch_word *w, uint64_t v) { __atomic_store_n(&w->v, v, __ATOMIC_RELEASE); }
static inline uint64_t arch_add(arch_word *w, int64_t d) { return __atomic_add_fetch(&w->v, d, __ATOMIC_RELAXED); }
static inline uint64_t arch_add_acq_rel(arch_word *w, int64_t d) { return __atomic_add_fetch(&w->v, d, __ATOMIC_ACQ_REL); }
static inline uint64_t arch_swap(arch_word *w, uint64_t v) { return __atomic_exchange_n(&w->v, v, __ATOMIC_ACQ_REL); }
static inline int arch_cas(arch_word *w, uint64_t old, uint64_t new_value)
{
    return __atomic_compare_exchange_n(&w->v, &old, new_value, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}
/* A counter that only its own thread writes: no locked instruction, readers may be a little behind. */
static inline void arch_bump(arch_word *w, int64_t d)
{
    __atomic_store_n(&w->v, __atomic_load_n(&w->v, __ATOMIC_RELAXED) + d, __ATOMIC_RELAXED);
}
static inline void arch_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
/* Inside a loop that polls: spares the other thread of the core. */
static inline void arch_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
static inline void arch_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }

#ifndef SYS_membarrier
#define SYS_membarrier __NR_membarrier
#endif
enum { ARCH_MEMBARRIER_GLOBAL = 1 << 0, ARCH_MEMBARRIER_EXPEDITED = 1 << 1, ARCH_MEMBARRIER_REGISTER = 1 << 2 };

/* Registering is once per process; it comes back 0 or -errno. */
static inline int arch_barrier_setup(void)
{
    return syscall(SYS_membarrier, ARCH_MEMBARRIER_REGISTER, 0, 0) ? -errno : 0;
}
static inline void arch_light(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }
static inline void arch_heavy(void)
{
    arch_fence();
    /* The plain command waits for a grace period of the kernel and needs no registration: slower, always there. */
    if (syscall(SYS_membarrier, ARCH_MEMBARRIER_EXPEDITED, 0, 0) && syscall(SYS_membarrier, ARCH_MEMBARRIER_GLOBAL, 0, 0))
        __builtin_trap();
    arch_fence();
}
#endif
