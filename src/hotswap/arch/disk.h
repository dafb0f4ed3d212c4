/* The disk: whole transfers between a file and page-aligned pieces of memory. May block; takes no lock. */
#ifndef HOTSWAP_DISK_H
#define HOTSWAP_DISK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include "family.h"

/* Contexts of asynchronous reads, each one thread's until it gives it back; nothing is under way in one that nobody has. */
enum { ARCH_AIO_CONTEXTS = 16, ARCH_AIO_READS = 16 };
static struct { int busy; aio_context_t context; } arch_aios[ARCH_AIO_CONTEXTS];

static inline void arch_aio_give(int place) { __atomic_store_n(&arch_aios[place].busy, 0, __ATOMIC_RELEASE); }
/* Its number, or -1. */
static inline int arch_aio_take(void)
{
    for (int i = 0; i < ARCH_AIO_CONTEXTS; i++) {
        int none = 0;
        if (!__atomic_compare_exchange_n(&arch_aios[i].busy, &none, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            continue;
        if (arch_aios[i].context || !syscall(SYS_io_setup, ARCH_AIO_READS, &arch_aios[i].context))
            return i;
        arch_aios[i].context = 0;
        arch_aio_give(i);
        break;
    }
    return -1;
}

/* A small read that a fault waits for is polled: the wait is shorter than a sleep with its wake-up is worth. Not one into memory that others
 * have too: the thread could be killed, and who cleans up after it would not see that the disk still writes there. It is submitted
 * (io_submit), and completion is seen in the ring that the kernel shares with us; a read that takes long is slept for after all.
 * No more threads poll at one time than half the processors; others, and whoever finds no context, read as usual. */
enum { ARCH_POLL_BYTES = 16384, ARCH_POLL_NS = 100000, ARCH_POLL_MAGIC = 0xa10a10a1 };
struct arch_poll_ring { uint32_t id, count, head, tail, magic, compatible, incompatible, header; struct io_event events[]; };
static int arch_polling, arch_poll_most = -1;

static __attribute__((noinline, unused)) int arch_poll_setup(void)
{
    unsigned long set[128];  /* which processors we may run on: a plain system call, as this may run in a signal handler */
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof set, set);
    int processors = 0;
    for (long i = 0; i < bytes / (long)sizeof *set; i++)
        processors += __builtin_popcountl(set[i]);
    __atomic_store_n(&arch_poll_most, processors / 2, __ATOMIC_RELAXED);
    return processors / 2;
}
/* 1: read in full. 0: not, and whoever wants to know why reads as usual. */
static int arch_poll_once(aio_context_t context, int fd, uint64_t address, uint64_t bytes, uint64_t offset)
{
    struct iocb read = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)fd, .aio_buf = address,
                         .aio_nbytes = bytes, .aio_offset = (int64_t)offset };
    struct iocb *list[1] = { &read };
    struct arch_poll_ring *ring = (struct arch_poll_ring *)(uintptr_t)context;
    if (syscall(SYS_io_submit, context, 1, list) != 1)
        return 0;
    struct io_event event = { .res = -1 };
    if (ring->magic == ARCH_POLL_MAGIC && !ring->incompatible) {
        for (uint64_t until = arch_now_ns() + ARCH_POLL_NS; arch_now_ns() < until;) {
            uint32_t head = ring->head;
            if (__atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) != head) {
                event = ring->events[head];
                __atomic_store_n(&ring->head, (head + 1) % ring->count, __ATOMIC_RELEASE);
                return event.res == (int64_t)bytes;
            }
            arch_relax();
        }
    }
    while (syscall(SYS_io_getevents, context, 1, 1, &event, NULL) != 1) { /* a signal: the transfer is still under way */ }
    return event.res == (int64_t)bytes;
}
static inline int arch_poll_read(int fd, uint64_t address, uint64_t bytes, uint64_t offset)
{
    int most = __atomic_load_n(&arch_poll_most, __ATOMIC_RELAXED), done = 0;
    if (most < 0)
        most = arch_poll_setup();
    if (__atomic_add_fetch(&arch_polling, 1, __ATOMIC_RELAXED) <= most && address - (uint64_t)(uintptr_t)arch_family() >= arch_family()->bytes) {
        int place = arch_aio_take();
        if (place >= 0) {
            done = arch_poll_once(arch_aios[place].context, fd, address, bytes, offset);
            arch_aio_give(place);
        }
    }
    __atomic_sub_fetch(&arch_polling, 1, __ATOMIC_RELAXED);
    return done;
}
/* In a child of fork, which has no contexts: it makes its own. */
static inline void arch_disk_forked(void) { memset(arch_aios, 0, sizeof arch_aios); arch_polling = 0; }

enum { ARCH_DISK_PIECES = 512 };

/* Moves `count` pieces of `each` bytes, at `addresses`, from or to consecutive bytes of the file. 0 or a negative errno;
 * a file that ends early is -EIO. Pieces that touch in memory go as one. Partial transfers are continued, and a transfer
 * that a signal broke off is taken up again. */
static inline int arch_disk_transfer(int fd, int write, const uint64_t *addresses, int count, uint64_t each, uint64_t offset)
{
    if (!write && count == 1 && each <= ARCH_POLL_BYTES && arch_poll_read(fd, addresses[0], each, offset))
        return 0;
    struct iovec v[ARCH_DISK_PIECES];
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (n && (uint64_t)(uintptr_t)v[n - 1].iov_base + v[n - 1].iov_len == addresses[i])
            v[n - 1].iov_len += each;
        else
            v[n++] = (struct iovec){ (void *)(uintptr_t)addresses[i], each };
    }
    struct iovec *next = v;
    while (n) {
        ssize_t got = write ? pwritev(fd, next, n, (off_t)offset) : preadv(fd, next, n, (off_t)offset);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0)
            arch_closed(errno);
        if (got <= 0)
            return got ? -errno : -EIO;
        offset += (uint64_t)got;
        while (n && (size_t)got >= next->iov_len) {
            got -= (ssize_t)next->iov_len;
            next++;
            n--;
        }
        if (n && got) {
            next->iov_base = (char *)next->iov_base + got;
            next->iov_len -= (size_t)got;
        }
    }
    return 0;
}
/* Reads pieces of `each` bytes from anywhere, all under way at one time: 0 or a negative errno for each. An fd below 0 is its result. Where no
 * context is to be had, or the memory is others' too (as above), one after the other. */
enum { ARCH_DISK_EACH = 16 };
static __attribute__((unused)) void arch_disk_read_each(const int *fds, const uint64_t *addresses, const uint64_t *offsets, int count,
                                                        uint64_t each, int *results)
{
    struct iocb reads[ARCH_DISK_EACH], *list[ARCH_DISK_EACH];
    struct io_event events[ARCH_DISK_EACH];
    int n = 0, sent = 0;
    for (int i = 0; i < count; i++) {
        results[i] = fds[i] < 0 ? fds[i] : -EAGAIN;
        if (fds[i] < 0 || addresses[i] - (uint64_t)(uintptr_t)arch_family() < arch_family()->bytes)
            continue;
        reads[n] = (struct iocb){ .aio_data = (uint64_t)i, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)fds[i],
                                  .aio_buf = addresses[i], .aio_nbytes = each, .aio_offset = (int64_t)offsets[i] };
        list[n] = &reads[n];
        n++;
    }
    int place = n > 1 ? arch_aio_take() : -1;
    if (place >= 0) {
        aio_context_t context = arch_aios[place].context;
        while (sent < n) {
            long got = syscall(SYS_io_submit, context, n - sent, list + sent);
            if (got <= 0)
                break;
            sent += (int)got;
        }
        for (int left = sent; left;) {
            long got = syscall(SYS_io_getevents, context, left, left, events, NULL);  /* a signal: they are still under way */
            for (long k = 0; k < got; k++, left--)
                if (events[k].res == (int64_t)each)
                    results[events[k].data] = 0;
        }
        arch_aio_give(place);
    }
    for (int i = 0; i < count; i++)
        if (results[i] == -EAGAIN)  /* not read, or not in full: why is seen by who reads it alone */
            results[i] = arch_disk_transfer(fds[i], 0, &addresses[i], 1, each, offsets[i]);
}
/* The same open file as another process of the same user has it: by the kernel's help where it is allowed, else opened anew through
 * its name there. A descriptor, or a negative errno. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
static __attribute__((noinline, unused)) int arch_disk_reopen(int process, int fd, int direct)
{
    char name[64];
    int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
    if (pidfd >= 0) {
        int got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
        close(pidfd);
        if (got >= 0)
            return arch_high(got);
    }
    snprintf(name, sizeof name, "/proc/%d/fd/%d", process, fd);
    int opened = open(name, O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0));
    return opened < 0 ? -errno : arch_high(opened);
}
/* Which file is it? A number that no two files share, nor a file and a pipe; 0: none. */
static inline uint64_t arch_disk_identity(int fd)
{
    struct stat found;
    return fstat(fd, &found) ? 0 : ((uint64_t)found.st_dev + 1) * 0x9e3779b97f4a7c15u ^ (uint64_t)found.st_ino;
}
/* Takes the lock that keeps a file ours, unless somebody has it. */
static inline void arch_disk_lock(int fd) { flock(fd, LOCK_EX | LOCK_NB); }
/* Lets go of the lock that keeps a file ours. Closing it would too, unless a child between fork and exec has it open as well. */
static inline void arch_disk_unlock(int fd) { flock(fd, LOCK_UN); }
#endif
