/* System calls on swapped-out memory, where the kernel does not serve the faults they raise (UFFD_USER_MODE_ONLY) and would say
 * EFAULT instead: the part of the buffer that is ours is made resident around the call.
 *
 * A large buffer is done in pieces, since it may be larger than the limit. A file, and whatever is written, is gone on with until
 * the kernel takes or gives less than it was asked for; from a pipe or a socket one piece is read, as more might never come. When
 * not even one piece can be kept in memory, its bytes go by way of the stack.
 *
 * Where the kernel serves such faults `hotswap_helped` is 0, and every call is handed on after one compare.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "preload.h"

#define NEXT(type, name, ...) \
    static type (*next)(__VA_ARGS__); \
    if (RARELY(!next)) \
        next = (type (*)(__VA_ARGS__))hotswap_next(name)

/* Macros of the C library in some builds. */
#undef fread_unlocked
#undef fwrite_unlocked

enum { PIECE = 1 << 20, LEAST = 1 << 16, BY_STACK = 1 << 14, VECTORS = 64 };

static int helped(const void *p) { return (uintptr_t)p - hotswap_base < hotswap_helped; }
static int any_helped(const struct iovec *v, int count)
{
    for (int i = 0; hotswap_helped && i < count && i < IOV_MAX; i++)
        if (helped(v[i].iov_base) && v[i].iov_len)
            return 1;
    return 0;
}

/* A call as the pieces make it: what its arguments are besides the memory, and how far it is. */
struct call {
    ssize_t (*make)(const struct call *, struct iovec *, int, size_t done);
    int fd, flags, writes;
    off64_t offset;  /* -1: the file's own position */
    void *more;
};

static int regular(int fd)
{
    struct stat s;
    return !fstat(fd, &s) && (S_ISREG(s.st_mode) || S_ISBLK(s.st_mode));
}
/* A socket whose messages would fall apart into pieces. */
static int by_message(int fd)
{
    int type;
    socklen_t size = sizeof type;
    return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type != SOCK_STREAM;
}

/* The next at most `most` bytes of the vector from byte `done` on; how many vectors it takes. */
static int part_of(const struct iovec *v, int count, size_t done, size_t most, struct iovec *part)
{
    int parts = 0;
    for (int i = 0; i < count && parts < VECTORS && most; i++) {
        if (done >= v[i].iov_len) {
            done -= v[i].iov_len;
            continue;
        }
        size_t bytes = v[i].iov_len - done;
        part[parts].iov_base = (char *)v[i].iov_base + done;
        part[parts].iov_len = bytes < most ? bytes : most;
        most -= part[parts++].iov_len;
        done = 0;
    }
    return parts;
}
static size_t length(const struct iovec *v, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += v[i].iov_len;
    return bytes;
}
static void let_go(const struct iovec *v, int count)
{
    for (int i = 0; i < count; i++)
        if (helped(v[i].iov_base))
            hotswap_heap.unpin((uintptr_t)v[i].iov_base, v[i].iov_len);
}
/* All of it resident, or nothing: then -errno. */
static int hold(const struct iovec *v, int count)
{
    for (int i = 0; i < count; i++) {
        if (!helped(v[i].iov_base))
            continue;
        int failed = hotswap_heap.pin((uintptr_t)v[i].iov_base, v[i].iov_len);
        if (failed) {
            let_go(v, i);
            return failed;
        }
    }
    return 0;
}
/* One piece by way of the stack; its faults are this thread's own, and are served. */
static __attribute__((noinline)) ssize_t by_stack(const struct call *c, struct iovec *v, size_t done)
{
    char bounce[BY_STACK];
    size_t bytes = v->iov_len < BY_STACK ? v->iov_len : BY_STACK;
    struct iovec one = { bounce, bytes };
    if (c->writes)
        memcpy(bounce, v->iov_base, bytes);
    ssize_t got = c->make(c, &one, 1, done);
    int error = errno;
    if (!c->writes && got > 0)
        memcpy(v->iov_base, bounce, (size_t)got);
    errno = error;
    return got;
}
static ssize_t in_pieces(const struct call *c, const struct iovec *v, int count)
{
    struct iovec part[VECTORS];
    size_t total = length(v, count), done = 0, most = PIECE;
    int whole = -1;  /* to be gone on with? -1: not looked yet */
    for (;;) {
        int parts = part_of(v, count, done, most, part);
        size_t bytes = length(part, parts);
        /* No message is as long as a piece, but a buffer may be. */
        if (done == 0 && c->fd >= 0 && bytes < total && (c->writes || bytes < PIECE) && by_message(c->fd)) {
            errno = ENOBUFS;
            return -1;
        }
        int failed = hold(part, parts);
        if (failed == -ENOMEM && most > LEAST) {
            most /= 2;
            continue;
        }
        ssize_t got;
        if (!failed) {
            got = c->make(c, part, parts, done);
            int error = errno;
            let_go(part, parts);
            errno = error;
        } else if (failed == -ENOMEM) {
            parts = 1;
            part->iov_len = part->iov_len < BY_STACK ? part->iov_len : BY_STACK;
            got = by_stack(c, part, done);
        } else {
            errno = failed == -EIO ? EIO : EFAULT;
            got = -1;
        }
        if (got < 0)
            return done ? (ssize_t)done : -1;
        done += (size_t)got;
        if ((size_t)got < length(part, parts) || done >= total)
            return (ssize_t)done;
        if (whole < 0)
            whole = c->writes || c->fd < 0 || (c->flags & MSG_WAITALL) || regular(c->fd);
        if (!whole)
            return (ssize_t)done;
    }
}
static ssize_t one(struct call c, const void *p, size_t bytes)
{
    struct iovec v = { (void *)p, bytes < SSIZE_MAX ? bytes : SSIZE_MAX };
    return in_pieces(&c, &v, 1);
}

/* --- files ------------------------------------------------------------------------------------------------------------------ */

EXPORTED ssize_t preadv64v2(int fd, const struct iovec *v, int count, off64_t offset, int flags);
EXPORTED ssize_t pwritev64v2(int fd, const struct iovec *v, int count, off64_t offset, int flags);

static ssize_t next_preadv2(int fd, const struct iovec *v, int count, off64_t offset, int flags)
{
    NEXT(ssize_t, "preadv64v2", int, const struct iovec *, int, off64_t, int);
    return next(fd, v, count, offset, flags);
}
static ssize_t next_pwritev2(int fd, const struct iovec *v, int count, off64_t offset, int flags)
{
    NEXT(ssize_t, "pwritev64v2", int, const struct iovec *, int, off64_t, int);
    return next(fd, v, count, offset, flags);
}
static ssize_t next_readv(int fd, const struct iovec *v, int count)
{
    NEXT(ssize_t, "readv", int, const struct iovec *, int);
    return next(fd, v, count);
}
static ssize_t next_writev(int fd, const struct iovec *v, int count)
{
    NEXT(ssize_t, "writev", int, const struct iovec *, int);
    return next(fd, v, count);
}
static ssize_t make_file(const struct call *c, struct iovec *v, int count, size_t done)
{
    if (c->offset < 0 && !c->flags)
        return c->writes ? next_writev(c->fd, v, count) : next_readv(c->fd, v, count);
    off64_t at = c->offset < 0 ? c->offset : c->offset + (off64_t)done;
    return c->writes ? next_pwritev2(c->fd, v, count, at, c->flags) : next_preadv2(c->fd, v, count, at, c->flags);
}
static ssize_t file(int fd, const void *p, size_t bytes, int writes, off64_t offset)
{
    return one((struct call){ .make = make_file, .fd = fd, .writes = writes, .offset = offset }, p, bytes);
}
static ssize_t files(int fd, const struct iovec *v, int count, int writes, off64_t offset, int flags)
{
    struct call c = { .make = make_file, .fd = fd, .writes = writes, .offset = offset, .flags = flags };
    return in_pieces(&c, v, count);
}

EXPORTED ssize_t read(int fd, void *p, size_t bytes)
{
    NEXT(ssize_t, "read", int, void *, size_t);
    return RARELY(helped(p)) ? file(fd, p, bytes, 0, -1) : next(fd, p, bytes);
}
EXPORTED ssize_t write(int fd, const void *p, size_t bytes)
{
    NEXT(ssize_t, "write", int, const void *, size_t);
    return RARELY(helped(p)) ? file(fd, p, bytes, 1, -1) : next(fd, p, bytes);
}
EXPORTED ssize_t pread64(int fd, void *p, size_t bytes, off64_t offset)
{
    NEXT(ssize_t, "pread64", int, void *, size_t, off64_t);
    return RARELY(helped(p)) && offset >= 0 ? file(fd, p, bytes, 0, offset) : next(fd, p, bytes, offset);
}
EXPORTED ssize_t pwrite64(int fd, const void *p, size_t bytes, off64_t offset)
{
    NEXT(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return RARELY(helped(p)) && offset >= 0 ? file(fd, p, bytes, 1, offset) : next(fd, p, bytes, offset);
}
EXPORTED ssize_t readv(int fd, const struct iovec *v, int count)
{
    return RARELY(any_helped(v, count)) ? files(fd, v, count, 0, -1, 0) : next_readv(fd, v, count);
}
EXPORTED ssize_t writev(int fd, const struct iovec *v, int count)
{
    return RARELY(any_helped(v, count)) ? files(fd, v, count, 1, -1, 0) : next_writev(fd, v, count);
}
EXPORTED ssize_t preadv64v2(int fd, const struct iovec *v, int count, off64_t offset, int flags)
{
    return RARELY(any_helped(v, count)) ? files(fd, v, count, 0, offset, flags) : next_preadv2(fd, v, count, offset, flags);
}
EXPORTED ssize_t pwritev64v2(int fd, const struct iovec *v, int count, off64_t offset, int flags)
{
    return RARELY(any_helped(v, count)) ? files(fd, v, count, 1, offset, flags) : next_pwritev2(fd, v, count, offset, flags);
}
EXPORTED ssize_t preadv64(int fd, const struct iovec *v, int count, off64_t offset)
{
    NEXT(ssize_t, "preadv64", int, const struct iovec *, int, off64_t);
    return RARELY(any_helped(v, count)) && offset >= 0 ? files(fd, v, count, 0, offset, 0) : next(fd, v, count, offset);
}
EXPORTED ssize_t pwritev64(int fd, const struct iovec *v, int count, off64_t offset)
{
    NEXT(ssize_t, "pwritev64", int, const struct iovec *, int, off64_t);
    return RARELY(any_helped(v, count)) && offset >= 0 ? files(fd, v, count, 1, offset, 0) : next(fd, v, count, offset);
}
/* Where offsets have 64 bits, these are other names of the same. */
_Static_assert(sizeof(off_t) == sizeof(off64_t), "hotswap is for 64-bit systems");
EXPORTED ssize_t pread(int fd, void *p, size_t bytes, off_t offset) { return pread64(fd, p, bytes, offset); }
EXPORTED ssize_t pwrite(int fd, const void *p, size_t bytes, off_t offset) { return pwrite64(fd, p, bytes, offset); }
EXPORTED ssize_t preadv(int fd, const struct iovec *v, int count, off_t offset) { return preadv64(fd, v, count, offset); }
EXPORTED ssize_t pwritev(int fd, const struct iovec *v, int count, off_t offset) { return pwritev64(fd, v, count, offset); }
EXPORTED ssize_t preadv2(int fd, const struct iovec *v, int count, off_t offset, int flags)
{
    return preadv64v2(fd, v, count, offset, flags);
}
EXPORTED ssize_t pwritev2(int fd, const struct iovec *v, int count, off_t offset, int flags)
{
    return pwritev64v2(fd, v, count, offset, flags);
}

/* --- sockets ---------------------------------------------------------------------------------------------------------------- */

static ssize_t next_recvmsg(int fd, struct msghdr *m, int flags)
{
    NEXT(ssize_t, "recvmsg", int, struct msghdr *, int);
    return next(fd, m, flags);
}
static ssize_t next_sendmsg(int fd, const struct msghdr *m, int flags)
{
    NEXT(ssize_t, "sendmsg", int, const struct msghdr *, int);
    return next(fd, m, flags);
}
/* `more` is the message but for its vector. Control data go with the first piece. */
static ssize_t make_socket(const struct call *c, struct iovec *v, int count, size_t done)
{
    struct msghdr *m = c->more;
    m->msg_iov = v;
    m->msg_iovlen = (size_t)count;
    if (done)
        m->msg_control = NULL, m->msg_controllen = 0;
    return c->writes ? next_sendmsg(c->fd, m, c->flags) : next_recvmsg(c->fd, m, c->flags);
}
static ssize_t message(int fd, struct msghdr *m, int flags, int writes)
{
    struct iovec *v = m->msg_iov;
    size_t count = m->msg_iovlen;
    struct call c = { .make = make_socket, .fd = fd, .flags = flags, .writes = writes, .offset = -1, .more = m };
    ssize_t got = in_pieces(&c, v, (int)count);
    m->msg_iov = v;
    m->msg_iovlen = count;
    return got;
}
EXPORTED ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    return RARELY(any_helped(m->msg_iov, (int)m->msg_iovlen)) ? message(fd, m, flags, 0) : next_recvmsg(fd, m, flags);
}
EXPORTED ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    if (!RARELY(any_helped(m->msg_iov, (int)m->msg_iovlen)))
        return next_sendmsg(fd, m, flags);
    struct msghdr copy = *m;
    return message(fd, &copy, flags, 1);
}
EXPORTED ssize_t recvfrom(int fd, void *restrict p, size_t bytes, int flags, struct sockaddr *restrict from, socklen_t *restrict size)
{
    NEXT(ssize_t, "recvfrom", int, void *, size_t, int, struct sockaddr *, socklen_t *);
    if (!RARELY(helped(p)))
        return next(fd, p, bytes, flags, from, size);
    struct iovec v = { p, bytes };
    struct msghdr m = { .msg_name = from, .msg_namelen = size ? *size : 0, .msg_iov = &v, .msg_iovlen = 1 };
    ssize_t got = message(fd, &m, flags, 0);
    if (size && got >= 0)
        *size = m.msg_namelen;
    return got;
}
EXPORTED ssize_t sendto(int fd, const void *p, size_t bytes, int flags, const struct sockaddr *to, socklen_t size)
{
    NEXT(ssize_t, "sendto", int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    if (!RARELY(helped(p)))
        return next(fd, p, bytes, flags, to, size);
    struct iovec v = { (void *)p, bytes };
    struct msghdr m = { .msg_name = (void *)to, .msg_namelen = size, .msg_iov = &v, .msg_iovlen = 1 };
    return message(fd, &m, flags, 1);
}
EXPORTED ssize_t recv(int fd, void *p, size_t bytes, int flags)
{
    NEXT(ssize_t, "recv", int, void *, size_t, int);
    return RARELY(helped(p)) ? recvfrom(fd, p, bytes, flags, NULL, NULL) : next(fd, p, bytes, flags);
}
EXPORTED ssize_t send(int fd, const void *p, size_t bytes, int flags)
{
    NEXT(ssize_t, "send", int, const void *, size_t, int);
    return RARELY(helped(p)) ? sendto(fd, p, bytes, flags, NULL, 0) : next(fd, p, bytes, flags);
}

/* --- streams of the C library, whose own calls cannot be wrapped ---------------------------------------------------------------- */

static size_t next_fread(void *p, size_t each, size_t count, FILE *f)
{
    NEXT(size_t, "fread", void *, size_t, size_t, FILE *);
    return next(p, each, count, f);
}
static size_t next_fwrite(const void *p, size_t each, size_t count, FILE *f)
{
    NEXT(size_t, "fwrite", const void *, size_t, size_t, FILE *);
    return next(p, each, count, f);
}
static ssize_t make_stream(const struct call *c, struct iovec *v, int count, size_t done)
{
    (void)done;
    (void)count;  /* of one vector there is one part */
    FILE *f = c->more;
    return (ssize_t)(c->writes ? next_fwrite(v->iov_base, 1, v->iov_len, f) : next_fread(v->iov_base, 1, v->iov_len, f));
}
static size_t stream(const void *p, size_t each, size_t count, FILE *f, int writes)
{
    size_t bytes;
    if (!each || !count || __builtin_mul_overflow(each, count, &bytes))
        return 0;
    struct call c = { .make = make_stream, .fd = -1, .writes = writes, .offset = -1, .more = f };
    flockfile(f);  /* the pieces of one call stay together */
    ssize_t got = one(c, p, bytes);
    funlockfile(f);
    return got < 0 ? 0 : (size_t)got / each;
}
EXPORTED size_t fread(void *restrict p, size_t each, size_t count, FILE *restrict f)
{
    return RARELY(helped(p)) ? stream(p, each, count, f, 0) : next_fread(p, each, count, f);
}
EXPORTED size_t fwrite(const void *restrict p, size_t each, size_t count, FILE *restrict f)
{
    return RARELY(helped(p)) ? stream(p, each, count, f, 1) : next_fwrite(p, each, count, f);
}
EXPORTED size_t fread_unlocked(void *restrict p, size_t each, size_t count, FILE *restrict f)
{
    NEXT(size_t, "fread_unlocked", void *, size_t, size_t, FILE *);
    return RARELY(helped(p)) ? stream(p, each, count, f, 0) : next(p, each, count, f);
}
EXPORTED size_t fwrite_unlocked(const void *restrict p, size_t each, size_t count, FILE *restrict f)
{
    NEXT(size_t, "fwrite_unlocked", const void *, size_t, size_t, FILE *);
    return RARELY(helped(p)) ? stream(p, each, count, f, 1) : next(p, each, count, f);
}

/* --- others ------------------------------------------------------------------------------------------------------------------ */

static ssize_t make_random(const struct call *c, struct iovec *v, int count, size_t done)
{
    NEXT(ssize_t, "getrandom", void *, size_t, unsigned);
    (void)count;
    (void)done;
    return next(v->iov_base, v->iov_len, *(unsigned *)c->more);
}
EXPORTED ssize_t getrandom(void *p, size_t bytes, unsigned flags)
{
    NEXT(ssize_t, "getrandom", void *, size_t, unsigned);
    if (!RARELY(helped(p)))
        return next(p, bytes, flags);
    return one((struct call){ .make = make_random, .fd = -1, .offset = -1, .more = &flags }, p, bytes);
}

/* Advice about our range would cut the kernel's record of it in two, and a folio must not lie across a cut. NumPy gives such advice
 * (huge pages) for every large array. What would change the contents is refused. */
EXPORTED int madvise(void *p, size_t bytes, int advice)
{
    NEXT(int, "madvise", void *, size_t, int);
    if (!RARELY(hotswap_ours(p)))
        return next(p, bytes, advice);
    if (advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}
/* What has to stay in memory for good is not for a pager; as the kernel says it beyond RLIMIT_MEMLOCK. */
EXPORTED int mlock(const void *p, size_t bytes)
{
    NEXT(int, "mlock", const void *, size_t);
    if (!RARELY(hotswap_ours(p)))
        return next(p, bytes);
    errno = ENOMEM;
    return -1;
}
EXPORTED int mprotect(void *p, size_t bytes, int protection)
{
    NEXT(int, "mprotect", void *, size_t, int);
    if (!RARELY(hotswap_ours(p)))
        return next(p, bytes, protection);
    errno = EINVAL;
    return -1;
}
