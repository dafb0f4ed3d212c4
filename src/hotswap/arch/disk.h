/* The disk: whole transfers between a file and page-aligned pieces of memory. May block; takes no lock. */
#ifndef HOTSWAP_DISK_H
#define HOTSWAP_DISK_H

#include <sys/uio.h>
#include "sync.h"

enum { ARCH_DISK_PIECES = 512 };

/* Moves `count` pieces of `each` bytes, at `addresses`, from or to consecutive bytes of the file. 0 or a negative errno;
 * a file that ends early is -EIO. Pieces that touch in memory go as one. Partial transfers are continued, and a transfer
 * that a signal broke off is taken up again. */
static inline int arch_disk_transfer(int fd, int write, const uint64_t *addresses, int count, uint64_t each, uint64_t offset)
{
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
#endif
