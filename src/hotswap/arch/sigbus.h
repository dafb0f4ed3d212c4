/* Faults as a signal: a userfaultfd with UFFD_FEATURE_SIGBUS makes the kernel raise SIGBUS in the thread that faulted, which can
 * then serve the fault itself, and goes on with the access when the handler returns.
 *
 * While the handler runs every signal is blocked: a fault of the kernel's own is not interrupted by them either, and what runs
 * here must not be entered twice. The signals of elsewhere go to whoever had the signal before us.
 */
#ifndef HOTSWAP_SIGBUS_H
#define HOTSWAP_SIGBUS_H

#include <signal.h>
#include <ucontext.h>
#include "mmu.h"

/* Serves a fault; 0 when the address is not of a range that is served so. */
typedef int (*arch_fault_call)(uint64_t address, int write);

static arch_fault_call arch_signal_call;
static struct sigaction arch_signal_before;
static int arch_signal_passed;  /* once a signal of elsewhere has come back to us, nobody else wanted it */

/* Did the access write? Told by the processor; -1 where this build does not know how. */
static inline int arch_signal_write(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (context->uc_mcontext.gregs[REG_ERR] & 2) != 0;  /* the page-fault error code: bit 1 is a write */
#else
    (void)context;
    return -1;
#endif
}
static inline int arch_signal_known(void)
{
#if defined(__x86_64__)
    return 1;
#else
    return 0;
#endif
}
static void arch_signal_pass(int number, siginfo_t *info, void *context)
{
    struct sigaction *before = &arch_signal_before;
    if (__atomic_exchange_n(&arch_signal_passed, 1, __ATOMIC_ACQ_REL) || before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN) {
        /* The access is made again, or the signal raised again, and does what it does without us. */
        signal(number, SIG_DFL);
        if (info->si_code <= 0)
            raise(number);
    } else if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, info, context);
    } else {
        before->sa_handler(number);
    }
}
static void arch_signal_handler(int number, siginfo_t *info, void *context)
{
    int error = errno;
    if (info->si_code != BUS_ADRERR
        || !arch_signal_call((uint64_t)(uintptr_t)info->si_addr, arch_signal_write((const ucontext_t *)context)))
        arch_signal_pass(number, info, context);
    errno = error;
}
/* From now on faults go to `call`, in every thread. Also puts the handler back in place where somebody has taken its. */
static inline int arch_signal_setup(arch_fault_call call)
{
    struct sigaction now, ours = { .sa_sigaction = arch_signal_handler, .sa_flags = SA_SIGINFO };
    sigfillset(&ours.sa_mask);
    arch_signal_call = call;
    if (sigaction(SIGBUS, NULL, &now))
        return -errno;
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == arch_signal_handler)
        return 0;
    arch_signal_before = now;
    arch_signal_passed = 0;
    return sigaction(SIGBUS, &ours, NULL) ? -errno : 0;
}
#endif
