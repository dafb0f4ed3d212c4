/* What becomes of a child of fork, which has neither the engine's threads nor its memory: whoever touches that memory there is told
 * why, and stopped. The kernel raises SIGSEGV (the ranges are not inherited); this says what it means.
 */
#ifndef HOTSWAP_CHILD_H
#define HOTSWAP_CHILD_H

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include "sync.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

typedef void (*arch_child_call)(void);
typedef int (*arch_touch_call)(uint64_t address);

static arch_touch_call arch_child_ours;
static struct sigaction arch_child_before;

static void arch_child_handler(int number, siginfo_t *info, void *context)
{
    if (info->si_code > 0 && arch_child_ours((uint64_t)(uintptr_t)info->si_addr)) {
        arch_log("hotswap: process %llu came about by fork() and touched memory that only its parent has (0x%llx, swappable): it is "
                 "stopped. Start processes with the spawn or forkserver method.", (uint64_t)getpid(),
                 (uint64_t)(uintptr_t)info->si_addr, 0);
        signal(number, SIG_DFL);  /* the access is made again */
    } else if (arch_child_before.sa_flags & SA_SIGINFO) {
        arch_child_before.sa_sigaction(number, info, context);
    } else if (arch_child_before.sa_handler != SIG_DFL && arch_child_before.sa_handler != SIG_IGN) {
        arch_child_before.sa_handler(number);
    } else {
        signal(number, SIG_DFL);
        if (info->si_code <= 0)
            raise(number);
    }
}
/* In the child: nothing else may come to lie where the parent's memory is, or it would be taken for that. */
static inline void arch_child_bar(uint64_t address, uint64_t bytes)
{
    mmap((void *)(uintptr_t)address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}
/* In the child: from now on touches of what is ours are told. */
static inline void arch_child_tell(arch_touch_call ours)
{
    struct sigaction tell = { .sa_sigaction = arch_child_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    arch_child_ours = ours;
    sigaction(SIGSEGV, NULL, &arch_child_before);
    sigaction(SIGSEGV, &tell, NULL);
}
/* Calls in each child of fork, before anything else runs there. 0, or a negative errno. */
static inline int arch_child_setup(arch_child_call begins) { return -pthread_atfork(NULL, NULL, begins); }
#endif
