/* malloc and its family. What is below `least` bytes, and all before the start, is the C library's: one compare.
 *
 * A block of the engine's is told by its address, so free() and realloc() need no table. Everything here may be called from any
 * thread, with or without the interpreter's lock; the engine allocates nothing while it makes or frees a block. A child of fork goes
 * on like its parent, with the same blocks. Where there is no engine in it (it could not be made a member of the family), new memory is the
 * C library's again, and old blocks are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "preload.h"

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

struct hotswap_heap hotswap_heap;
uintptr_t hotswap_base;
size_t hotswap_span, hotswap_helped;
__thread int hotswap_asks __attribute__((tls_model("initial-exec")));
int (*hotswap_objects)(void);

static size_t least = SIZE_MAX;           /* SIZE_MAX: nothing is ours */
static uintptr_t libc_first, libc_bytes;  /* the C library's own text */

void *hotswap_next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        fprintf(stderr, "hotswap: the C library has no %s; hotswap run needs glibc.\n", name);
        abort();
    }
    return found;
}

/* The C library's own buffers go to system calls that nobody can wrap, Python's tables are walked by its collector. */
static int stays(const void *caller)
{
    return (uintptr_t)caller - libc_first < libc_bytes || hotswap_asks == TABLES || (hotswap_objects && hotswap_objects());
}
static void *map(size_t bytes, int zeroed)
{
    void *p = (void *)(uintptr_t)hotswap_heap.map((int)hotswap_heap.space, bytes, zeroed);
    if (!p)
        errno = ENOMEM;
    return p;
}

EXPORTED void *malloc(size_t bytes)
{
    if (RARELY(bytes >= least) && !stays(__builtin_return_address(0)))
        return map(bytes, 0);
    return __libc_malloc(bytes);
}
EXPORTED void *calloc(size_t count, size_t each)
{
    size_t bytes;
    if (RARELY(__builtin_mul_overflow(count, each, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    if (RARELY(bytes >= least) && !stays(__builtin_return_address(0)))
        return map(bytes, 1);
    return __libc_calloc(count, each);
}
EXPORTED void free(void *p)
{
    if (RARELY(hotswap_ours(p))) {
        if (least != SIZE_MAX) {
            int error = errno;
            hotswap_heap.unmap((uintptr_t)p);
            errno = error;
        }
        return;
    }
    __libc_free(p);
}
static size_t room(void *p)
{
    static size_t (*next)(void *);
    if (hotswap_ours(p))
        return hotswap_heap.room((uintptr_t)p);
    if (!next)
        next = (size_t (*)(void *))hotswap_next("malloc_usable_size");
    return next(p);
}
EXPORTED size_t malloc_usable_size(void *p) { return p ? room(p) : 0; }

/* By way of a copy: from the C library's memory to ours, or back. */
static void *moved(void *p, size_t bytes, int to_ours)
{
    size_t old = room(p);
    void *q = to_ours ? map(bytes, 0) : __libc_malloc(bytes);
    if (q) {
        memcpy(q, p, old < bytes ? old : bytes);
        free(p);
    }
    return q;
}
static void *resized(void *p, size_t bytes, const void *caller)
{
    if (!p)
        return bytes >= least && !stays(caller) ? map(bytes, 0) : __libc_malloc(bytes);
    if (RARELY(hotswap_ours(p))) {
        if (!bytes) {
            free(p);
            return NULL;
        }
        if (bytes < least)  /* in a child without an engine: touches memory that is not there, and says so */
            return moved(p, bytes, 0);
        p = (void *)(uintptr_t)hotswap_heap.resize((uintptr_t)p, bytes);
        if (!p)
            errno = ENOMEM;
        return p;
    }
    if (RARELY(bytes >= least) && !stays(caller) && room(p) < bytes)
        return moved(p, bytes, 1);
    return __libc_realloc(p, bytes);
}
EXPORTED void *realloc(void *p, size_t bytes) { return resized(p, bytes, __builtin_return_address(0)); }
EXPORTED void *reallocarray(void *p, size_t count, size_t each)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, each, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return resized(p, bytes, __builtin_return_address(0));
}

/* Our blocks begin at pages; what has to be aligned to more than that is left to the C library. */
static void *aligned(size_t alignment, size_t bytes, const void *caller)
{
    if (RARELY(bytes >= least) && alignment <= 4096 && !stays(caller))
        return map(bytes, 0);
    return __libc_memalign(alignment, bytes);
}
EXPORTED void *memalign(size_t alignment, size_t bytes) { return aligned(alignment, bytes, __builtin_return_address(0)); }
EXPORTED void *aligned_alloc(size_t alignment, size_t bytes) { return aligned(alignment, bytes, __builtin_return_address(0)); }
EXPORTED void *valloc(size_t bytes) { return aligned(4096, bytes, __builtin_return_address(0)); }
EXPORTED void *pvalloc(size_t bytes) { return aligned(4096, (bytes + 4095) & ~(size_t)4095, __builtin_return_address(0)); }
EXPORTED int posix_memalign(void **to, size_t alignment, size_t bytes)
{
    int error = errno;
    if (alignment % sizeof(void *) || !alignment || (alignment & (alignment - 1)))
        return EINVAL;
    void *p = aligned(alignment, bytes, __builtin_return_address(0));
    errno = error;
    if (!p)
        return ENOMEM;
    *to = p;
    return 0;
}

struct text { const void *inside; uintptr_t first, bytes; };
static int find_text(struct dl_phdr_info *info, size_t size, void *wanted)
{
    struct text *text = wanted;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t first = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (uintptr_t)text->inside - first < info->dlpi_phdr[i].p_memsz) {
            text->first = first;
            text->bytes = info->dlpi_phdr[i].p_memsz;
            return 1;
        }
    }
    return 0;
}
void hotswap_text(const void *inside, uintptr_t *first, uintptr_t *bytes)
{
    struct text text = { .inside = inside };
    dl_iterate_phdr(find_text, &text);
    *first = text.first;
    *bytes = text.bytes;
}
/* Registered after the engine's own handler, so called after it. */
static void in_child(void)
{
    if (hotswap_heap.alone()) {
        least = SIZE_MAX;
        hotswap_helped = 0;
    }
}

/* From now on large allocations are the engine's. Once in a process; 0, or an errno. */
EXPORTED int hotswap_preload_start(const struct hotswap_heap *heap)
{
    if (hotswap_span)
        return EBUSY;
    hotswap_heap = *heap;
    hotswap_text((const void *)(uintptr_t)fclose, &libc_first, &libc_bytes);
    int failed = pthread_atfork(NULL, NULL, in_child);
    if (failed)
        return failed;
    hotswap_base = heap->base;
    hotswap_span = heap->bytes;
    hotswap_helped = heap->wrap_calls ? heap->bytes : 0;
    __atomic_store_n(&least, heap->least, __ATOMIC_SEQ_CST);
    return 0;
}
/* Whose answer decides whether an array holds Python objects. */
EXPORTED void hotswap_preload_objects(int (*objects)(void)) { hotswap_objects = objects; }
/* For tests and status: is a block at that address ours? */
EXPORTED int hotswap_preload_ours(const void *p) { return hotswap_ours(p); }
