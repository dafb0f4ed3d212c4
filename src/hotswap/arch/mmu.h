/* The memory-management unit as an unprivileged process has it: userfaultfd over private anonymous ranges.
 *
 * Addresses are plain integers. Calls return 0 or a negative errno, and are all or nothing unless said otherwise: what a
 * kernel did in part is finished here or undone here. None allocates.
 */
#ifndef HOTSWAP_MMU_H
#define HOTSWAP_MMU_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "descriptors.h"

/* The build machine's headers may be older than the kernel that runs: what they lack is stated here (uapi values). */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
struct arch_uffd_move { uint64_t dst, src, len, mode; int64_t moved; };
struct arch_uffd_poison { uint64_t start, len, mode; int64_t updated; };
#define ARCH_UFFDIO_MOVE _IOWR(0xAA, 0x05, struct arch_uffd_move)
#define ARCH_UFFDIO_POISON _IOWR(0xAA, 0x08, struct arch_uffd_poison)
struct arch_uffd_protect { uint64_t start, len, mode; };
#define ARCH_UFFDIO_WRITEPROTECT _IOWR(0xAA, 0x06, struct arch_uffd_protect)
struct arch_uffd_continue { uint64_t start, len, mode; int64_t mapped; };
#define ARCH_UFFDIO_CONTINUE _IOWR(0xAA, 0x07, struct arch_uffd_continue)
#define ARCH_UFFDIO_REGISTER_MODE_MINOR 4
#define ARCH_USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)

enum {  /* what was found, as bits */
    ARCH_MMU_WP = 1, ARCH_MMU_MOVE = 2, ARCH_MMU_POISON = 4,
    ARCH_MMU_KERNEL_FAULTS = 8,  /* faults inside system calls are served too */
    ARCH_MMU_SIGBUS = 16,        /* faults are signals to the thread that faulted (only where that was asked for) */
    ARCH_MMU_SHARED = 32,        /* shared memory: pages that are there and not mapped are faults, UFFDIO_CONTINUE maps them */
    ARCH_MMU_SHARED_WP = 64      /* and they can be mapped write-protected */
};
enum { ARCH_FAULT_WRITE = 1, ARCH_FAULT_PROTECTED = 2 };
struct arch_fault { uint64_t address; int flags; };

/* A descriptor for all faults, those inside system calls included: by system call or through the device; or -1. HOTSWAP_MMU=user
 * in the environment refuses it, for tests of what most users get. */
static inline int arch_mmu_open_all(void)
{
    const char *told = getenv("HOTSWAP_MMU");
    if (told && strstr(told, "user"))
        return -1;
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
        if (device >= 0) {
            fd = ioctl(device, ARCH_USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
            close(device);
        }
    }
    return fd;
}
/* A descriptor, or a negative errno: for all faults where policy allows it, else for faults from user mode only. */
static inline int arch_mmu_open(void)
{
    int fd = arch_mmu_open_all();
    if (fd < 0)
        fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    return fd < 0 ? -errno : arch_high(fd);
}
/* Does this process get faults raised inside system calls served? */
static inline int arch_mmu_kernel_faults(void)
{
    int fd = arch_mmu_open_all();
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}
/* Shakes hands on a fresh descriptor; the feature bits above, or a negative errno. `refuse` masks features out, `signal` asks for
 * faults as signals. */
static inline int arch_mmu_handshake(int fd, int refuse, int signal)
{
    struct uffdio_api api = { .api = UFFD_API, .features = 0 };
    int probe = arch_mmu_open();  /* features can be asked for once per descriptor: ask another one what there is */
    if (probe < 0)
        return probe;
    int failed = ioctl(probe, UFFDIO_API, &api) ? -errno : 0;
    close(probe);
    if (failed)
        return failed;
    const uint64_t wp = 1, sigbus = 1 << 7, poison = 1 << 14, move = 1 << 16;
    const uint64_t missing_shmem = 1 << 5, minor_shmem = 1 << 10, wp_shmem = 1 << 12;
    uint64_t want = api.features & (wp | poison | move | missing_shmem | minor_shmem | wp_shmem | (signal ? sigbus : 0));
    /* That CONTINUE can protect what it maps (Linux 6.4) has no bit of its own; poison is the next that came (6.6). */
    int protects = (api.features & (wp_shmem | poison)) == (wp_shmem | poison) && !(refuse & ARCH_MMU_SHARED_WP);
    if (refuse & ARCH_MMU_MOVE)
        want &= ~move;
    if (refuse & ARCH_MMU_POISON)
        want &= ~poison;
    struct uffdio_api chosen = { .api = UFFD_API, .features = want };
    if (ioctl(fd, UFFDIO_API, &chosen))
        return -errno;
    return (want & wp ? ARCH_MMU_WP : 0) | (want & move ? ARCH_MMU_MOVE : 0) | (want & poison ? ARCH_MMU_POISON : 0)
         | (want & sigbus ? ARCH_MMU_SIGBUS : 0)
         | (want & missing_shmem && want & minor_shmem ? ARCH_MMU_SHARED | (protects ? ARCH_MMU_SHARED_WP : 0) : 0);
}

/* Address space without memory: the address, or 0. Never inherited over fork (a child would read zeros), never dumped. */
static inline uint64_t arch_reserve(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return 0;
    madvise(p, bytes, MADV_DONTFORK);
    madvise(p, bytes, MADV_DONTDUMP);
    return (uint64_t)(uintptr_t)p;
}
/* Whoever touches it first gets huge pages, where the kernel has any. */
static inline void arch_huge(uint64_t address, uint64_t bytes) { madvise((void *)(uintptr_t)address, bytes, MADV_HUGEPAGE); }
static inline void arch_release(uint64_t address, uint64_t bytes) { munmap((void *)(uintptr_t)address, bytes); }
static inline int arch_mmu_register(int fd, uint64_t address, uint64_t bytes, int missing)
{
    struct uffdio_register r = { .range = { address, bytes }, .mode = UFFDIO_REGISTER_MODE_WP };
    if (missing)
        r.mode |= UFFDIO_REGISTER_MODE_MISSING;
    return ioctl(fd, UFFDIO_REGISTER, &r) ? -errno : 0;
}
/* 1 and the fault, 0 when none waits, or a negative errno. */
static inline int arch_mmu_next(int fd, struct arch_fault *fault)
{
    struct uffd_msg m;
    for (;;) {
        ssize_t n = read(fd, &m, sizeof m);
        if (n < 0)
            return errno == EAGAIN ? 0 : errno == EINTR ? 0 : -errno;
        if (n != sizeof m || m.event != UFFD_EVENT_PAGEFAULT)
            continue;
        fault->address = m.arg.pagefault.address;
        fault->flags = (m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE ? ARCH_FAULT_WRITE : 0)
                     | (m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP ? ARCH_FAULT_PROTECTED | ARCH_FAULT_WRITE : 0);
        return 1;
    }
}
/* What all handlers of one userfaultfd sleep on: a descriptor that is ready when a fault waits or the stopper was set. A fault
 * wakes one of them and is not told to others until that one has taken it and arms the descriptor again, which wakes another if
 * there is one more. A negative errno when there are no descriptors left. */
static inline int arch_mmu_waiter(int fd, int stopper)
{
    int waiter = arch_high(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event fault = { .events = EPOLLIN | EPOLLONESHOT };
    struct epoll_event stop = { .events = EPOLLIN };
    if (waiter < 0)
        return -errno;
    if (epoll_ctl(waiter, EPOLL_CTL_ADD, fd, &fault) || epoll_ctl(waiter, EPOLL_CTL_ADD, stopper, &stop)) {
        int error = errno;
        close(waiter);
        return -error;
    }
    return waiter;
}
static inline void arch_mmu_arm(int waiter, int fd, uint32_t events)
{
    struct epoll_event fault = { .events = events | EPOLLONESHOT };
    epoll_ctl(waiter, EPOLL_CTL_MOD, fd, &fault);
}
/* Sleeps until a fault may wait or the stopper was set. As arch_mmu_next(). */
static inline int arch_mmu_wait(int waiter, int fd, struct arch_fault *fault)
{
    struct epoll_event e;
    if (epoll_wait(waiter, &e, 1, -1) < 0 && errno != EINTR)
        return -errno;
    int got = arch_mmu_next(fd, fault);
    arch_mmu_arm(waiter, fd, EPOLLIN);
    return got;
}
/* The same, awake, for `ns` at most; no other handler is woken meanwhile. Ends sooner where somebody else wants the processor. */
static inline int arch_mmu_watch(int waiter, int fd, struct arch_fault *fault, uint64_t ns)
{
    const uint64_t away = 20000;  /* between two looks: we did not have the processor */
    uint64_t now = arch_now_ns(), until = now + ns, before;
    int got;
    arch_mmu_arm(waiter, fd, 0);
    do {
        got = arch_mmu_next(fd, fault);
        sched_yield();
        before = now;
        now = arch_now_ns();
    } while (got == 0 && now < until && now - before < away);
    arch_mmu_arm(waiter, fd, EPOLLIN);
    return got;
}
/* The plainest wait there is, without any of that. */
static inline void arch_mmu_poll(int fd, int stopper)
{
    struct pollfd either[] = { { .fd = fd, .events = POLLIN }, { .fd = stopper, .events = POLLIN } };
    poll(either, 2, -1);
}
static inline void arch_close(int fd) { close(fd); }

/* A call on the userfaultfd of a space that lives. */
static inline int arch_uffd_call(int fd, unsigned long request, void *argument)
{
    int failed = ioctl(fd, request, argument);
    if (__builtin_expect(failed, 0))
        arch_closed(errno);
    return failed;
}
static inline int arch_mmu_wake(int fd, uint64_t address, uint64_t bytes)
{
    struct uffdio_range r = { address, bytes };
    return arch_uffd_call(fd, UFFDIO_WAKE, &r) ? -errno : 0;
}
/* Zero pages over an empty range, and wake. Pages that are there already stay. */
static inline int arch_mmu_zero(int fd, uint64_t address, uint64_t bytes)
{
    uint64_t done = 0;
    while (done < bytes) {
        struct uffdio_zeropage z = { .range = { address + done, bytes - done } };
        if (!arch_uffd_call(fd, UFFDIO_ZEROPAGE, &z))
            return 0;
        if (z.zeropage > 0)
            done += (uint64_t)z.zeropage;
        else if (errno == EEXIST)
            done += 4096;
        else if (errno == EAGAIN)
            sched_yield();
        else
            return -errno;
    }
    return arch_mmu_wake(fd, address, bytes);
}
/* Copies over an empty range, write-protected when `protect`, and wakes. */
static inline int arch_mmu_copy(int fd, uint64_t to, uint64_t from, uint64_t bytes, int protect)
{
    uint64_t done = 0;
    while (done < bytes) {
        struct uffdio_copy c = { .dst = to + done, .src = from + done, .len = bytes - done,
                                 .mode = protect ? UFFDIO_COPY_MODE_WP : 0 };
        if (!arch_uffd_call(fd, UFFDIO_COPY, &c))
            return 0;
        if (c.copy > 0)
            done += (uint64_t)c.copy;
        else if (errno == EAGAIN)
            sched_yield();
        else
            return -errno;
    }
    return 0;
}
/* Moves pages to an empty range and wakes waiters there; holes stay holes. On failure every page is where it was. */
static inline int arch_mmu_move(int fd, uint64_t to, uint64_t from, uint64_t bytes)
{
    const uint64_t allow_holes = 2;
    uint64_t done = 0;
    int tries = 0, error = 0;
    while (done < bytes) {
        struct arch_uffd_move m = { .dst = to + done, .src = from + done, .len = bytes - done, .mode = allow_holes };
        if (!ioctl(fd, ARCH_UFFDIO_MOVE, &m))
            return 0;
        error = errno;
        if (error == EBADF && !done)
            return -error;  /* the program closed it: nothing is in hand */
        arch_closed(error);
        if (m.moved > 0) {
            done += (uint64_t)m.moved;
            tries = 0;
        } else if ((error == EAGAIN && tries < 1000) || (error == EBUSY && tries < 16)) {
            tries++;  /* a passing state: a direct transfer has just let go of the page, or the kernel holds it */
            sched_yield();
        } else {
            break;
        }
    }
    if (done == bytes)
        return 0;
    /* Back, page by page: the kernel may have moved more than it reported. A page that never left is in the way (EEXIST). */
    for (uint64_t undone = 0; undone < bytes; undone += 4096) {
        struct arch_uffd_move m = { .dst = from + undone, .src = to + undone, .len = 4096, .mode = allow_holes };
        while (arch_uffd_call(fd, ARCH_UFFDIO_MOVE, &m) && errno != EEXIST)
            if (errno != EAGAIN && errno != EBUSY)
                __builtin_trap();  /* pages moved a moment ago and untouched since: nothing else can be */
    }
    return -error;
}
/* Sets or lifts write protection; lifting wakes. */
static inline int arch_mmu_protect(int fd, uint64_t address, uint64_t bytes, int protect)
{
    struct arch_uffd_protect w = { address, bytes, protect ? 1 : 0 };
    while (arch_uffd_call(fd, ARCH_UFFDIO_WRITEPROTECT, &w))
        if (errno != EAGAIN)
            return -errno;
    return 0;
}
/* By number: under `hotswap run` the names are those of a library that keeps the program from doing this to our ranges. */
static inline int arch_madvise(uint64_t address, uint64_t bytes, int advice) { return (int)syscall(SYS_madvise, address, bytes, advice); }
static inline int arch_mprotect(uint64_t address, uint64_t bytes, int how) { return (int)syscall(SYS_mprotect, address, bytes, how); }
static inline int arch_mmu_drop(uint64_t address, uint64_t bytes)
{
    return arch_madvise(address, bytes, MADV_DONTNEED) ? -errno : 0;
}
/* Makes each page of a range the process's own again: a page shared with a child, or pinned a moment ago, is copied. */
static inline int arch_mmu_populate(uint64_t address, uint64_t bytes)
{
    return arch_madvise(address, bytes, MADV_POPULATE_WRITE) ? -errno : 0;
}

/* Shared memory: an object is an unnamed file in memory. Each process that uses it has a mapping of its own for the engine, on which
 * nothing is a fault; address spaces attach it over a part of their range, where whatever they do not have mapped is one.
 *
 * Pages leave it for all processes at once: a pipe takes hold of them (no copy), a hole is punched, which takes them out of every
 * mapping anywhere, and then the pipe has the bytes, those included that were written up to the punch. A hole in a larger page of the
 * kernel's would be filled with zeros where the pipe still looks, so pages are only made through mappings that have none. */

/* The object's descriptor, or a negative errno. */
static inline int arch_shm_open(uint64_t bytes)
{
    int fd = (int)syscall(SYS_memfd_create, "hotswap", 1 /* MFD_CLOEXEC */);
    if (fd < 0)
        return -errno;
    fd = arch_high(fd);
    if (ftruncate(fd, (off_t)bytes)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}
static inline void *arch_shm_place(void *where, uint64_t bytes, int flags, int fd)
{
    void *p = mmap(where, bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
    if (p != MAP_FAILED) {
        madvise(p, bytes, MADV_DONTFORK);
        madvise(p, bytes, MADV_DONTDUMP);
        madvise(p, bytes, MADV_NOHUGEPAGE);
    }
    return p;
}
/* The engine's own mapping: its address, or 0. arch_release() takes it away. */
static inline uint64_t arch_shm_map(int object, uint64_t bytes)
{
    void *p = arch_shm_place(NULL, bytes, MAP_SHARED, object);
    return p == MAP_FAILED ? 0 : (uint64_t)(uintptr_t)p;
}
/* Takes the object's place away again: empty private memory, registered as the range around it. */
static inline int arch_shm_detach(int fd, uint64_t address, uint64_t bytes)
{
    void *p = arch_shm_place((void *)(uintptr_t)address, bytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
    return p == MAP_FAILED ? -errno : arch_mmu_register(fd, address, bytes, 1);
}
/* Maps the object over a part of a range that is registered with `fd`. */
static inline int arch_shm_attach(int fd, int object, uint64_t address, uint64_t bytes, int protects)
{
    struct uffdio_register r = { .range = { address, bytes }, .mode = UFFDIO_REGISTER_MODE_MISSING | ARCH_UFFDIO_REGISTER_MODE_MINOR };
    if (protects)
        r.mode |= UFFDIO_REGISTER_MODE_WP;
    if (arch_shm_place((void *)(uintptr_t)address, bytes, MAP_SHARED | MAP_FIXED, object) == MAP_FAILED)
        return -errno;
    if (ioctl(fd, UFFDIO_REGISTER, &r)) {
        int error = errno;
        arch_shm_detach(fd, address, bytes);
        return -error;
    }
    return 0;
}
/* A pipe to hold pages in, its ends for reading and writing: how many bytes it can hold, or a negative errno. */
static inline int arch_shm_pipe(int *ends)
{
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return -errno;
    ends[0] = arch_high(ends[0]);
    ends[1] = arch_high(ends[1]);
    int bytes = fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    return bytes > 0 ? bytes : fcntl(ends[1], F_GETPIPE_SZ);
}
/* Takes hold of pages: how many bytes of them, or a negative errno. */
static inline int64_t arch_shm_hold(int object, int end, uint64_t offset, uint64_t bytes)
{
    loff_t at = (loff_t)offset;
    uint64_t held = 0;
    while (held < bytes) {
        ssize_t got = splice(object, &at, end, NULL, bytes - held, SPLICE_F_NONBLOCK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            arch_closed(errno);
        if (got <= 0)
            return held ? (int64_t)held : got ? -errno : -EIO;
        held += (uint64_t)got;
    }
    return (int64_t)held;
}
/* The bytes of pages that are held; they are let go. 0, or a negative errno. */
static inline int arch_shm_held(int end, uint64_t to, uint64_t bytes)
{
    while (bytes) {
        ssize_t got = read(end, (void *)(uintptr_t)to, bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            arch_closed(errno);
        if (got <= 0)
            return got ? -errno : -EIO;
        to += (uint64_t)got;
        bytes -= (uint64_t)got;
    }
    return 0;
}
/* How many bytes are held. */
static inline uint64_t arch_shm_holds(int end)
{
    int bytes = 0;
    return ioctl(end, FIONREAD, &bytes) ? 0 : (uint64_t)bytes;
}
/* Has the object a page there? */
static inline int arch_shm_has(int object, uint64_t offset)
{
    off_t found = lseek(object, (off_t)offset, SEEK_DATA);
    if (found < 0)
        arch_closed(errno);
    return found == (off_t)offset;
}
/* Gives pages of the object back to the system, and takes them out of every mapping. */
static inline int arch_shm_punch(int object, uint64_t offset, uint64_t bytes)
{
    if (!fallocate(object, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes))
        return 0;
    arch_closed(errno);
    return -errno;
}
/* Maps the pages of a range that the object has, write-protected when `protect`, and wakes; those that are mapped stay as they are. */
static inline int arch_mmu_continue(int fd, uint64_t address, uint64_t bytes, int protect)
{
    uint64_t done = 0;
    while (done < bytes) {
        struct arch_uffd_continue c = { .start = address + done, .len = bytes - done, .mode = protect ? 2 : 0 };
        if (!arch_uffd_call(fd, ARCH_UFFDIO_CONTINUE, &c))
            return 0;
        if (c.mapped > 0)
            done += (uint64_t)c.mapped;
        else if (errno == EEXIST)
            done += 4096;
        else if (errno == EAGAIN)
            sched_yield();
        else
            return -errno;
    }
    return arch_mmu_wake(fd, address, bytes);
}
/* From now on an access raises SIGBUS; -ENOSYS where the kernel cannot mark pages so. */
static inline int arch_mmu_poison(int fd, uint64_t address, uint64_t bytes)
{
    struct arch_uffd_poison p = { .start = address, .len = bytes };
    return arch_uffd_call(fd, ARCH_UFFDIO_POISON, &p) ? -errno : 0;
}
/* The same without the kernel's help: no access, so that SIGSEGV is raised; arch_mmu_allow() takes it back. */
static inline int arch_mmu_forbid(uint64_t address, uint64_t bytes)
{
    return arch_mprotect(address, bytes, PROT_NONE) ? -errno : 0;
}
static inline int arch_mmu_allow(uint64_t address, uint64_t bytes)
{
    return arch_mprotect(address, bytes, PROT_READ | PROT_WRITE) ? -errno : 0;
}

/* Do all 64-bit words of the range hold one value? Then 1, and the value comes from arch_first_word(). */
static inline int arch_same_filled(uint64_t address, uint64_t bytes)
{
    const uint64_t *p = (const uint64_t *)(uintptr_t)address;
    uint64_t n = bytes / 8, value = p[0];
    if (p[n - 1] != value || p[n / 2] != value)
        return 0;
    for (uint64_t i = 0; i < n; i += 8) {
        uint64_t d = 0;
        for (int k = 0; k < 8; k++)
            d |= p[i + k] ^ value;
        if (d)
            return 0;
    }
    return 1;
}
static inline uint64_t arch_first_word(uint64_t address) { return *(const uint64_t *)(uintptr_t)address; }
static inline void arch_fill(uint64_t address, uint64_t bytes, uint64_t value)
{
    uint64_t *p = (uint64_t *)(uintptr_t)address;
    for (uint64_t i = 0; i < bytes / 8; i++)
        p[i] = value;
}
static inline void arch_copy(uint64_t to, uint64_t from, uint64_t bytes)
{
    memcpy((void *)(uintptr_t)to, (const void *)(uintptr_t)from, bytes);
}
/* Reads a byte of each page, so that what is swapped out comes in. */
static inline void arch_touch(uint64_t address, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes; done += 4096)
        (void)*(volatile const char *)(uintptr_t)(address + done);
}
#endif
