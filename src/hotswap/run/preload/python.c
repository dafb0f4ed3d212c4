/* Inside a Python interpreter: starts hotswap before the program's first line, and keeps the interpreter's own tables in memory.
 *
 * The interpreter raises an audit event when it is complete and about to run a script, a module, a command or standard input. A
 * hook for it can be set before the interpreter is there (PEP 578), whatever options it is given (-I, -E, -S) and whichever
 * environment it belongs to. It is found by name, so that this library can be loaded into any process.
 *
 * Tables: what walks pointers (the collector, a child of fork) would bring them back in again and again. Who may have swappable
 * memory of Python's allocators depends on the domain, and on the caller, by its return address:
 *
 *   object  dicts and tuples share it with bytes and str. Callers that allocate dicts and tuples are learned from samples at the start
 *           (hotswap/run/inside.py), and theirs stay in memory. Should one of them turn out to allocate bytes too, nothing is told apart.
 *   mem     lists, sets and much else, which stay in memory. Since Python 3.13 bytearrays too, whose callers are learned.
 *   raw     the interpreter's state stays in memory; what extension modules ask for does not: NumPy, since 2.5, its arrays' data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "preload.h"

/* PyMemAllocatorEx, part of Python's stable API. */
struct allocator {
    void *ctx;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
};
enum { RAW = 0, MEM = 1, OBJECT = 2, DOMAINS = 3 };
enum { CALLERS = 64, LEARN_FROM = 2048 };

static struct allocator was[DOMAINS];
static size_t watched = SIZE_MAX;  /* bytes from which on it matters who asks */
struct callers {
    const void *at[CALLERS];
    int count;
};
static struct callers tables;                /* of the object domain: they allocate dicts and tuples */
static struct callers lists, growing;        /* of the mem domain: lists and sets; bytearrays */
static int learning, mixed;
static uintptr_t python_first, python_bytes; /* the interpreter's own text */

static int among(const struct callers *some, const void *caller)
{
    for (int i = 0; i < some->count; i++)
        if (some->at[i] == caller)
            return 1;
    return 0;
}
static void note(struct callers *some, const void *caller)
{
    if (!among(some, caller) && some->count < CALLERS)
        some->at[some->count++] = caller;
}
static void learn(int domain, const void *caller)
{
    if (domain == OBJECT && learning == TABLES)
        note(&tables, caller);
    if (domain == OBJECT && learning == BYTES && among(&tables, caller))
        mixed = 1;
    if (domain == MEM && learning == TABLES)
        note(&lists, caller);
    if (domain == MEM && learning == BYTES && lists.count < CALLERS && !among(&lists, caller))
        note(&growing, caller);
}
/* Who asks for what is larger than `watched`. The raw domain also gets what the others could not serve. */
static int asks(int domain, const void *caller)
{
    if (RARELY(learning))
        learn(domain, caller);
    if (domain == OBJECT)
        return among(&tables, caller) ? TABLES : BYTES;
    if (domain == MEM)
        return among(&growing, caller) ? BYTES : TABLES;
    return hotswap_asks == BYTES || (uintptr_t)caller - python_first >= python_bytes ? BYTES : TABLES;
}
#define DOMAIN(name, which) \
    static void *name##_malloc(void *ctx, size_t bytes) \
    { \
        if (!RARELY(bytes >= watched)) \
            return was[which].malloc(ctx, bytes); \
        int before = hotswap_asks; \
        hotswap_asks = asks(which, __builtin_return_address(0)); \
        void *p = was[which].malloc(ctx, bytes); \
        hotswap_asks = before; \
        return p; \
    } \
    static void *name##_calloc(void *ctx, size_t count, size_t each) \
    { \
        if (!RARELY(each && count >= watched / each)) \
            return was[which].calloc(ctx, count, each); \
        int before = hotswap_asks; \
        hotswap_asks = asks(which, __builtin_return_address(0)); \
        void *p = was[which].calloc(ctx, count, each); \
        hotswap_asks = before; \
        return p; \
    } \
    static void *name##_realloc(void *ctx, void *old, size_t bytes) \
    { \
        if (!RARELY(bytes >= watched)) \
            return was[which].realloc(ctx, old, bytes); \
        int before = hotswap_asks; \
        hotswap_asks = asks(which, __builtin_return_address(0)); \
        void *p = was[which].realloc(ctx, old, bytes); \
        hotswap_asks = before; \
        return p; \
    }
DOMAIN(raw, RAW)
DOMAIN(mem, MEM)
DOMAIN(object, OBJECT)

/* Takes its place in Python's allocators. Caller: the interpreter's lock. 0, or -1 when this is no Python. */
EXPORTED int hotswap_preload_python(size_t least)
{
    void (*get)(int, struct allocator *) = (void (*)(int, struct allocator *))dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
    void (*set)(int, struct allocator *) = (void (*)(int, struct allocator *))dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    struct allocator ours[DOMAINS] = {
        { .malloc = raw_malloc, .calloc = raw_calloc, .realloc = raw_realloc },
        { .malloc = mem_malloc, .calloc = mem_calloc, .realloc = mem_realloc },
        { .malloc = object_malloc, .calloc = object_calloc, .realloc = object_realloc },
    };
    if (!get || !set)
        return -1;
    hotswap_text((const void *)(uintptr_t)get, &python_first, &python_bytes);
    watched = least;
    for (int domain = RAW; domain < DOMAINS; domain++) {
        get(domain, &was[domain]);
        ours[domain].ctx = was[domain].ctx;
        ours[domain].free = was[domain].free;
        set(domain, &ours[domain]);
    }
    return 0;
}
/* What is allocated from now on are tables (1), bytes (2), or nothing to learn from (0). Then: how many callers allocate tables;
 * 0 when they cannot be told from others. Caller: the interpreter's lock. */
EXPORTED int hotswap_preload_learn(int what, size_t least)
{
    learning = what;
    watched = what ? LEARN_FROM : least;
    if (mixed)
        tables.count = 0;
    return tables.count;
}

/* --- the start -------------------------------------------------------------------------------------------------------------- */

static int (*run)(const char *, void *);
static int started;

static int event(const char *name, void *arguments, void *data)
{
    (void)arguments;
    (void)data;
    if (started || strncmp(name, "cpython.run_", 12))
        return 0;
    started = 1;
    run("exec('import os\\nwith open(os.environ[\"HOTSWAP_RUN_BOOT\"]) as f: exec(compile(f.read(), f.name, \"exec\"))', "
        "{'__name__': 'hotswap.run.boot'})", NULL);
    return 0;
}
/* Is this the process that was meant, and not a child of it? Over exec its number and its start stay the same. What exec.c starts is
 * named by a sign in front: + itself, < its parent. */
static int child;
static int meant(void)
{
    const char *told = getenv("HOTSWAP_RUN_PROCESS");
    if (!told)
        return 0;
    child = *told == '+' || *told == '<';
    return atol(told + child) == (long)(*told == '<' ? getppid() : getpid());
}
static __attribute__((constructor)) void begin(void)
{
    if (!meant())
        return;
    int (*add)(int (*)(const char *, void *, void *), void *) = dlsym(RTLD_DEFAULT, "PySys_AddAuditHook");
    run = dlsym(RTLD_DEFAULT, "PyRun_SimpleStringFlags");
    if (add && run)
        add(event, NULL);
}
/* A program that never came to run Python was not helped, and its user should know. */
static __attribute__((destructor)) void end(void)
{
    if (!started && meant() && !child)
        fprintf(stderr, "hotswap: the program ended without having run Python in this process; nothing of it was swapped.\n");
}
