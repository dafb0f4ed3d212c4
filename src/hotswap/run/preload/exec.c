/* Python processes that the program starts by executing its own interpreter: workers of multiprocessing (spawn, forkserver), of loky, what
 * subprocess runs. They get what `hotswap run` would give them, and the way to the areas of the one that starts them
 * (hotswap/joining.py); their environment is as it would be before their first line. Any other program starts as if hotswap were not there.
 *
 * Between vfork and exec the memory is the parent's: nothing here allocates or changes anything. A process that becomes another
 * program itself, without a fork before, takes nothing along.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "preload.h"

extern char **environ;

typedef int (*execve_call)(const char *, char *const[], char *const[]);
typedef int (*execv_call)(const char *, char *const[]);
typedef int (*spawn_call)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[], char *const[]);

static execve_call next_execve;
static execv_call next_execv;
static spawn_call next_spawn;

static const char *library, *boot, *plan, *join;  /* set last, once: `library`; NULL: children go without */
static struct stat interpreter;
static pid_t member;  /* the process that has an engine; in its vfork child another one has this memory */
static int forked;    /* it is a child of fork itself */

static void resolve(void)
{
    if (next_spawn)
        return;
    next_execve = (execve_call)hotswap_next("execve");
    next_execv = (execv_call)hotswap_next("execv");
    next_spawn = (spawn_call)hotswap_next("posix_spawn");
}
static void in_child(void)
{
    member = getpid();
    forked = 1;
    if (hotswap_heap.alone())
        library = NULL;
}
static int same(const char *path)
{
    struct stat found;
    return library && path && !stat(path, &found) && found.st_ino == interpreter.st_ino && found.st_dev == interpreter.st_dev;
}

/* What is done with the new environment. */
struct start {
    const char *path;
    char *const *words;
    int spawns;
    pid_t *to;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes;
};
static int go(const struct start *s, char *const *environment)
{
    return s->spawns ? next_spawn(s->to, s->path, s->actions, s->attributes, s->words, environment)
                     : next_execve(s->path, s->words, environment);
}
static int named(const char *variable, const char *name)
{
    size_t length = strlen(name);
    return !strncmp(variable, name, length) && variable[length] == '=';
}
static int with_help(const struct start *s, char *const *before, pid_t through)
{
    enum { ADDED = 5 };
    static char *const none[] = { NULL };
    const char *preloaded = "";
    int count = 0, kept = 0;
    if (!before)
        before = none;
    while (before[count])
        if (named(before[count++], "LD_PRELOAD"))
            preloaded = strchr(before[count - 1], '=');
    char preload[sizeof "LD_PRELOAD=" + strlen(library) + strlen(preloaded)];
    char process[48], door[sizeof "HOTSWAP_JOIN=" + 24 + strlen(join)];
    char *all[count + ADDED + 1];
    for (int i = 0; i < count; i++)
        if (!named(before[i], "LD_PRELOAD") && !named(before[i], "HOTSWAP_JOIN") && strncmp(before[i], "HOTSWAP_RUN_", 12))
            all[kept++] = before[i];
    sprintf(preload, "LD_PRELOAD=%s%s%s", library, *preloaded ? ":" : "", *preloaded ? preloaded + 1 : "");
    sprintf(process, "HOTSWAP_RUN_PROCESS=%c%d", s->spawns ? '<' : '+', (int)getpid());  /* python.c reads it */
    sprintf(door, "HOTSWAP_JOIN=%d:%s", (int)through, join);
    all[kept++] = preload;
    all[kept++] = process;
    all[kept++] = door;
    all[kept++] = (char *)boot;
    all[kept++] = (char *)plan;
    all[kept] = NULL;
    return go(s, all);
}
/* The member that a new process joins through; 0: this is no child. */
static pid_t through(void)
{
    if (getpid() != member)
        return member;  /* vfork */
    return forked ? getppid() : 0;
}

EXPORTED int execve(const char *path, char *const words[], char *const environment[])
{
    resolve();
    struct start s = { .path = path, .words = words };
    pid_t door = same(path) ? through() : 0;
    return door ? with_help(&s, environment, door) : next_execve(path, words, environment);
}
EXPORTED int execv(const char *path, char *const words[])
{
    resolve();
    struct start s = { .path = path, .words = words };
    pid_t door = same(path) ? through() : 0;
    return door ? with_help(&s, environ, door) : next_execv(path, words);
}
EXPORTED int posix_spawn(pid_t *restrict to, const char *restrict path, const posix_spawn_file_actions_t *restrict actions,
                         const posix_spawnattr_t *restrict attributes, char *const words[restrict], char *const environment[restrict])
{
    resolve();
    struct start s = { path, words, 1, to, actions, attributes };
    return same(path) ? with_help(&s, environment, getpid()) : next_spawn(to, path, actions, attributes, words, environment);
}

/* From now on children that are this interpreter are helped, with these; once in a process. `join` is what HOTSWAP_JOIN says behind the
 * number of a process, the others are variables of the environment. 0, or an errno. */
EXPORTED int hotswap_preload_children(const char *with, const char *boot_file, const char *child_plan, const char *door)
{
    char *copies[] = { strdup(with), strdup(boot_file), strdup(child_plan), strdup(door) };
    resolve();
    member = getpid();
    if (stat("/proc/self/exe", &interpreter) || !copies[0] || !copies[1] || !copies[2] || !copies[3])
        return ENOENT;
    int failed = pthread_atfork(NULL, NULL, in_child);
    if (failed)
        return failed;
    boot = copies[1];
    plan = copies[2];
    join = copies[3];
    __atomic_store_n(&library, copies[0], __ATOMIC_RELEASE);
    return 0;
}
