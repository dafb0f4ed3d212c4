/* The door through which the owner of a process looks at it and steers it from outside: a socket of whole messages.
 *
 * Its name is an abstract one, "@hotswap-<user>-<process>": it is in no file system and goes when its last descriptor does, however
 * the process ends. Anybody can connect to such a name, so each caller is looked at (SO_PEERCRED): the same user and root come
 * in. After a fork the child closes what it inherited, so that nobody takes it for its parent; exec closes it too.
 */
#ifndef HOTSWAP_CHANNEL_H
#define HOTSWAP_CHANNEL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include "sync.h"

enum { ARCH_CHANNELS = 32, ARCH_CHANNEL_NAMES = 8, ARCH_CHANNEL_SECONDS = 10 };

/* Descriptors less one: a zero is a free place. The kernel copies descriptors before memory when a process forks: nobody comes or goes
 * meanwhile, or the child would close others than it should. */
static int arch_channels[ARCH_CHANNELS];
static pthread_mutex_t arch_channels_lock = PTHREAD_MUTEX_INITIALIZER;

static inline void arch_channel_note(int fd)
{
    for (int i = 0; i < ARCH_CHANNELS; i++)
        if (!arch_channels[i]) {
            arch_channels[i] = fd + 1;
            return;
        }
}
static inline void arch_channel_close(int fd)
{
    pthread_mutex_lock(&arch_channels_lock);
    for (int i = 0; i < ARCH_CHANNELS; i++)
        if (arch_channels[i] == fd + 1) {
            arch_channels[i] = 0;
            break;
        }
    close(fd);
    pthread_mutex_unlock(&arch_channels_lock);
}
static void arch_channel_fork(void) { pthread_mutex_lock(&arch_channels_lock); }
static void arch_channel_go_on(void) { pthread_mutex_unlock(&arch_channels_lock); }
static void arch_channel_forked(void)
{
    const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    for (int i = 0; i < ARCH_CHANNELS; i++)
        if (arch_channels[i])
            close(arch_channels[i] - 1);
    memset(arch_channels, 0, sizeof arch_channels);
    arch_channels_lock = fresh;
}
/* A socket that takes calls, or a negative errno. Where somebody else has the name (another user, or a process of the same number
 * in another container) a number is put behind it: whoever looks for us asks the kernel who listens. */
static inline int arch_channel_listen(void)
{
    static int watched; /* forks are, in children too */
    if (!watched && pthread_atfork(arch_channel_fork, arch_channel_go_on, arch_channel_forked))
        return -ENOMEM;
    watched = 1;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), failed = -1;
    if (fd < 0)
        return -errno;
    for (int turn = 0; failed && turn < ARCH_CHANNEL_NAMES; turn++) {
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        int n = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "hotswap-%u-%d", (unsigned)geteuid(), (int)getpid());
        if (turn)
            n += snprintf(name.sun_path + 1 + n, sizeof name.sun_path - 1 - (size_t)n, "-%d", turn);
        failed = bind(fd, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n));
        if (failed && errno != EADDRINUSE)
            break;
    }
    if (!failed && !listen(fd, ARCH_CHANNELS)) {
        pthread_mutex_lock(&arch_channels_lock);
        arch_channel_note(fd);
        pthread_mutex_unlock(&arch_channels_lock);
        return fd;
    }
    int error = errno;
    close(fd);
    return -error;
}
/* May block. The next caller who may come in, or a negative errno. */
static inline int arch_channel_accept(int listener)
{
    for (;;) {
        struct timeval patience = { .tv_sec = ARCH_CHANNEL_SECONDS };
        struct ucred caller;
        socklen_t length = sizeof caller;
        struct pollfd ready = { .fd = listener, .events = POLLIN };
        if (poll(&ready, 1, -1) < 0 && errno != EINTR)
            return -errno;
        pthread_mutex_lock(&arch_channels_lock);
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), error = errno;
        /* A caller who does not read does not hold us up for ever. */
        int welcome = fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &caller, &length) && (caller.uid == geteuid() || caller.uid == 0)
            && !setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (welcome)
            arch_channel_note(fd);
        else if (fd >= 0)
            close(fd);
        pthread_mutex_unlock(&arch_channels_lock);
        if (welcome)
            return fd;
        if (fd < 0 && error != EINTR && error != ECONNABORTED && error != EAGAIN)
            return -error;
    }
}
/* May block. A message of exactly `bytes`: 1; the caller has gone: 0; nothing in time: -EAGAIN; anything else is -EPROTO. A descriptor
 * that came along is in `passed`, which is -1 without one. timeout_us < 0: none. */
static inline int arch_channel_receive(int fd, void *message, uint64_t bytes, int *passed, int64_t timeout_us)
{
    union { struct cmsghdr align; char room[CMSG_SPACE(sizeof(int))]; } control;
    struct iovec piece = { message, bytes };
    struct msghdr header = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room };
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    *passed = -1;
    int n = poll(&ready, 1, timeout_us < 0 ? -1 : (int)(timeout_us / 1000));
    if (n <= 0)
        return n && errno != EINTR ? -EPROTO : -EAGAIN;
    ssize_t got = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    struct cmsghdr *first = got < 0 ? NULL : CMSG_FIRSTHDR(&header);
    int fds[2] = { -1, -1 }; /* the room is that of two, as it is aligned; more the kernel does not hand out */
    if (first && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS)
        memcpy(fds, CMSG_DATA(first), first->cmsg_len - CMSG_LEN(0) < sizeof fds ? first->cmsg_len - CMSG_LEN(0) : sizeof fds);
    if (got == (ssize_t)bytes && fds[1] < 0 && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        *passed = fds[0];
        return 1;
    }
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return got <= 0 ? 0 : -EPROTO;
}
/* May block for some seconds, while a caller does not read. 0, or a negative errno: then it has gone. */
static inline int arch_channel_send(int fd, const void *message, uint64_t bytes)
{
    ssize_t sent;
    do
        sent = send(fd, message, bytes, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)bytes ? 0 : sent < 0 ? -errno : -EIO;
}
/* The address of what is handed on as a number, such as a name for the log. */
static inline uint64_t arch_number(const void *place) { return (uint64_t)(uintptr_t)place; }
static inline int arch_process(void) { return (int)getpid(); }
#endif
