/* The engine's descriptors, in a process whose program may close them: a child of fork closes all that is not its own before it becomes
 * another program, and a daemon does so for good. What is swapped out cannot be brought back after that, and must not read as zeros.
 *
 * - Numbers are high: what the program opens next does not get one of them, and is not taken for it.
 * - A thread with a table of descriptors of its own keeps the userfaultfd open (arch_keep): while one has it the kernel holds a
 *   fault back, else a page that is not there would be zeros. Nobody serves it: that thread hears of it, and the process is stopped.
 * - Whoever else of the engine finds a descriptor closed, with nothing in hand, leaves it at that; else it waits for the program to
 *   become another one, and stops the process when it does not (arch_closed).
 */
#ifndef HOTSWAP_DESCRIPTORS_H
#define HOTSWAP_DESCRIPTORS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sync.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
enum { ARCH_FD_LEAST = 64, ARCH_CLOSE_UNSHARE = 2, ARCH_EXEC_US = 5000000, ARCH_KEEP_LOOK_MS = 100 };

/* The same under a high number; as it is where the process may not have any. */
static inline int arch_high(int fd)
{
    int high = fd < 0 || fd >= ARCH_FD_LEAST ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, ARCH_FD_LEAST);
    if (high < 0)
        return fd;
    close(fd);
    return high;
}

/* Is it still open? */
static inline int arch_is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

static __attribute__((noinline, cold, noreturn, unused)) void arch_closed_stop(uint64_t touched)
{
    if (touched)
        arch_log("hotswap: process %llu closed descriptors of hotswap's and then touched an array (0x%llx):", (uint64_t)getpid(), touched, 0);
    else
        arch_log("hotswap: process %llu closed descriptors of hotswap's, which still needs them:", (uint64_t)getpid(), 0, 0);
    arch_log("hotswap: what it has swapped out cannot be brought back, so it is stopped. Close only what the program has opened.", 0, 0, 0);
    abort();
}
/* May block. Is it for that that a call failed? Then another program is waited for, whose start ends this thread, for 5 seconds. */
static __attribute__((noinline, cold, unused)) void arch_closed(int error)
{
    if (error != EBADF && error != ENOTTY)
        return;
    arch_nap_us(ARCH_EXEC_US);
    arch_closed_stop(0);
}

static inline int arch_stopper(void) { int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); return fd < 0 ? -errno : arch_high(fd); }
static inline void arch_stopper_set(int fd)
{
    uint64_t one = 1;
    if (write(fd, &one, sizeof one) < 0)  /* set already, or gone */
        arch_closed(errno);
}

/* A userfaultfd that is kept open by a thread, and with it what stops its handlers, who may sleep in a descriptor that is closed. */
enum { ARCH_KEEP_NONE, ARCH_KEEP_BEGINS, ARCH_KEEP_HAS, ARCH_KEEP_CLOSED, ARCH_KEEP_TOUCHED, ARCH_KEEP_SAID, ARCH_KEEP_STOPS, ARCH_KEEP_ENDS };
struct arch_keep { uint64_t thread, touched; int fd, stopper; arch_word state, turn; };

/* Moves it on, unless it is somewhere else by now. */
static inline void arch_keep_turn(struct arch_keep *keep, uint64_t from, uint64_t to)
{
    if (arch_cas(&keep->state, from, to))
        arch_event_wake(&keep->turn);
}
/* May block, while it is in that state. */
static inline void arch_keep_while(struct arch_keep *keep, uint64_t state)
{
    for (;;) {
        uint64_t seen = arch_event_read(&keep->turn);
        if (arch_load_acquire(&keep->state) != state)
            return;
        arch_event_wait(&keep->turn, seen, -1);
    }
}
/* Does somebody wait for a page that nobody can bring? */
static inline void arch_keep_look(struct arch_keep *keep)
{
    struct pollfd fault = { .fd = keep->fd, .events = POLLIN };
    struct uffd_msg m;
    poll(&fault, 1, ARCH_KEEP_LOOK_MS);
    if (read(keep->fd, &m, sizeof m) == sizeof m && m.event == UFFD_EVENT_PAGEFAULT) {
        keep->touched = m.arg.pagefault.address;
        arch_keep_turn(keep, ARCH_KEEP_CLOSED, ARCH_KEEP_TOUCHED);
    }
}
static void *arch_keep_main(void *p)
{
    struct arch_keep *keep = p;
    pthread_setname_np(pthread_self(), "hotswap-keep");
    int low = keep->fd < keep->stopper ? keep->fd : keep->stopper, high = keep->fd + keep->stopper - low;
    /* Has it a table of its own? Then it lets go of all that is the program's, whose pipes and locks end when the program says so. */
    int alone = !syscall(SYS_close_range, high + 1, ~0u, ARCH_CLOSE_UNSHARE);
    if (alone && high > low + 1)
        syscall(SYS_close_range, low + 1, high - 1, 0);
    if (alone && low)
        syscall(SYS_close_range, 0, low - 1, 0);
    arch_keep_turn(keep, ARCH_KEEP_BEGINS, alone ? ARCH_KEEP_HAS : ARCH_KEEP_NONE);
    for (int told = 0;;) {
        uint64_t state = arch_load_acquire(&keep->state);
        if (state == ARCH_KEEP_ENDS || state == ARCH_KEEP_NONE)
            return NULL;
        if (state == ARCH_KEEP_CLOSED)
            arch_keep_look(keep);
        else if (state == ARCH_KEEP_STOPS && !told)
            told = (arch_stopper_set(keep->stopper), 1);
        else
            arch_keep_while(keep, state);
    }
}
/* May block. From here on it is kept, where the kernel lets a thread have a table of its own; -EAGAIN when there is no thread to be had. */
static inline int arch_keep_begin(struct arch_keep *keep, int fd, int stopper)
{
    keep->fd = fd;
    keep->stopper = stopper;
    arch_store(&keep->state, ARCH_KEEP_BEGINS);
    keep->thread = arch_thread_create(arch_keep_main, keep);
    if (!keep->thread)
        return -EAGAIN;
    arch_keep_while(keep, ARCH_KEEP_BEGINS);
    return 0;
}
/* The handlers end. Once they have, arch_keep_end() follows: what wakes them is open as long. */
static inline void arch_keep_stop(struct arch_keep *keep)
{
    if (!keep->thread)
        return;
    if (arch_load_acquire(&keep->state) == ARCH_KEEP_NONE)
        arch_stopper_set(keep->stopper);
    arch_store_release(&keep->state, ARCH_KEEP_STOPS);
    arch_event_wake(&keep->turn);
}
/* May block. */
static inline void arch_keep_end(struct arch_keep *keep)
{
    if (!keep->thread)
        return;
    arch_store_release(&keep->state, ARCH_KEEP_ENDS);
    arch_event_wake(&keep->turn);
    arch_thread_join(keep->thread);
    keep->thread = 0;
}
/* In a child of fork: the thread is the parent's. */
static inline void arch_keep_forked(struct arch_keep *keep) { memset(keep, 0, sizeof *keep); }
/* May block: for a handler that finds its descriptor closed, until somebody touches an array, or the space goes. */
static __attribute__((noinline, cold, unused)) void arch_keep_closed(struct arch_keep *keep)
{
    arch_keep_turn(keep, ARCH_KEEP_HAS, ARCH_KEEP_CLOSED);
    arch_keep_while(keep, ARCH_KEEP_CLOSED);
    if (arch_cas(&keep->state, ARCH_KEEP_TOUCHED, ARCH_KEEP_SAID))
        arch_closed_stop(keep->touched);
    arch_keep_while(keep, ARCH_KEEP_SAID);  /* another one is stopping us */
    if (arch_load_acquire(&keep->state) == ARCH_KEEP_NONE)  /* what is not there reads as zeros now */
        arch_closed(EBADF);
}
#endif
