/* What a fork asks of the system: calls around it, which memory a child inherits, and a pipe on which the child tells its parent that it
 * is ready, or by its end that there is no child. And what becomes of a child that could not be made a member of the family: whoever
 * touches swappable memory there is told why, and stopped. The kernel raises SIGSEGV (the ranges are barred); this says what it means.
 */
#ifndef HOTSWAP_CHILD_H
#define HOTSWAP_CHILD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include "sync.h"

typedef void (*arch_child_call)(void);
typedef int (*arch_touch_call)(uint64_t address);

static arch_touch_call arch_child_ours;
static struct sigaction arch_child_before;

static void arch_child_handler(int number, siginfo_t *info, void *context)
{
    if (info->si_code > 0 && arch_child_ours((uint64_t)(uintptr_t)info->si_addr)) {
        arch_log("hotswap: process %llu came about by fork() and touched memory that only its parent has (0x%llx, swappable): it is "
                 "stopped. It could not be set up (memory, descriptors or threads); start it with the spawn or forkserver method.", (uint64_t)getpid(),
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
    mmap((void *)(uintptr_t)address, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}
/* In the child: from now on touches of what is ours are told. */
static inline void arch_child_tell(arch_touch_call ours)
{
    struct sigaction tell = { .sa_sigaction = arch_child_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    arch_child_ours = ours;
    sigaction(SIGSEGV, NULL, &arch_child_before);
    sigaction(SIGSEGV, &tell, NULL);
}
/* Calls around each fork: before it, after it in the parent (also when it failed), and in the child before anything else that was
 * registered later. 0, or a negative errno. */
static inline int arch_child_setup(arch_child_call before, arch_child_call after, arch_child_call begins)
{
    return -pthread_atfork(before, after, begins);
}
/* The ends for hearing and telling. 0, or a negative errno. */
static inline int arch_pipe_open(int *ends) { return pipe2(ends, O_CLOEXEC) ? -errno : 0; }
static inline void arch_pipe_tell(int end, int what)
{
    char byte = (char)what;
    while (write(end, &byte, 1) < 0 && errno == EINTR) { /* again; nobody there is nothing to us */ }
}
/* May block. What was told; -1 when nobody is left who could. */
static inline int arch_pipe_hear(int end)
{
    char byte;
    ssize_t got;
    do
        got = read(end, &byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 1 ? byte : -1;
}
static inline void arch_inherit(uint64_t address, uint64_t bytes, int inherited)
{
    syscall(SYS_madvise, address, bytes, inherited ? MADV_DOFORK : MADV_DONTFORK);
}
/* Empty memory of the process's own, where there was none or something else. 0, or a negative errno. */
static inline int arch_blank(uint64_t address, uint64_t bytes)
{
    void *p = mmap((void *)(uintptr_t)address, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return p == MAP_FAILED ? -errno : 0;
}
#endif
