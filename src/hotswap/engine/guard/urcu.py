"""Userspace RCU: read-side sections and grace periods (after liburcu's ``memb`` flavour and its 64-bit grace-period counter).

A reader notes in a word of its own thread how deep it is in sections, and in which grace period it entered. A grace period
counts the number up and waits for each thread that is inside since an earlier one. Whoever enters later is not waited for: it
sees what was written before the grace period began. The number never wraps, so one round over the threads is enough; a flavour
with a one-bit phase needs two.

The reader has compiler barriers (``light``) only; a grace period makes every thread run a full one (``heavy``), twice:

- before the number goes up: a reader that reads the new number has run its barrier since, so it sees what the updater wrote;
- before the readers are looked at: either a reader's state is seen here, or that reader enters after its barrier, and sees
  what the updater wrote.

Sections nest. A reader may not sleep: it would hold up every grace period, of whatever area.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.family import family_patience, forget_dead

readers = cython.cast(cython.pointer(Reader), arch.table(arch.THREADS, cython.sizeof(Reader)))
gp = cython.address(cython.cast(cython.pointer(GracePeriod), arch.table(1, cython.sizeof(GracePeriod)))[0])
if arch.founder():
    arch.mutex_init(cython.address(gp.one))
arch.barrier_setup()
arch.thread_slots()


def rcu_read_lock():
    slot = arch.thread_slot_mine()
    if arch.rarely(slot < 0):
        first_lock()
        return
    state = arch.load(cython.address(readers[slot].state))
    if not arch.rarely(state & NESTING):
        state = arch.load(cython.address(gp.number))
    arch.store(cython.address(readers[slot].state), state + 1)
    arch.light()  # the state is out before anything is read inside; pairs with the second heavy() of synchronize_rcu()


def first_lock():
    """rcu_read_lock() of a thread that has no number yet."""
    arch.check(arch.thread_slot() >= 0, b"no more than 1024 threads use swap areas at one time")
    rcu_read_lock()


def rcu_read_unlock():
    slot = arch.thread_slot_mine()
    arch.check(slot >= 0, b"who leaves has entered")
    word = cython.address(readers[slot].state)
    arch.store_release(word, arch.load(word) - 1)  # pairs with the acquire in synchronize_rcu()
    arch.light()  # the state is out before "waiting" is read; pairs with the second heavy() of synchronize_rcu()
    if arch.rarely(arch.load(cython.address(gp.waiting)) != 0):
        arch.event_wake(cython.address(gp.left))


def rcu_read_held():
    """Is this thread inside?"""
    slot = arch.thread_slot_mine()
    return slot >= 0 and arch.load(cython.address(readers[slot].state)) & NESTING != 0


def synchronize_rcu():
    """May block. A grace period: returns when every section that had begun before the call has ended."""
    arch.check(not rcu_read_held(), b"a grace period is not waited for inside a section, which it would wait for")
    arch.mutex_lock(cython.address(gp.one))
    arch.heavy()  # pairs with light() in rcu_read_lock(): who reads the new number sees what the caller wrote
    now = arch.load(cython.address(gp.number)) + ONE_PERIOD
    arch.store(cython.address(gp.number), now)
    arch.store(cython.address(gp.waiting), 1)
    arch.heavy()  # pairs with light() in rcu_read_lock() and in rcu_read_unlock()
    for slot in range(arch.THREADS):
        while True:
            seen = arch.event_read(cython.address(gp.left))
            state = arch.load_acquire(cython.address(readers[slot].state))
            if state & NESTING == 0 or state >= now:
                break
            arch.event_wait(cython.address(gp.left), seen, family_patience())
            forget_dead(forget)
    arch.store(cython.address(gp.waiting), 0)
    arch.mutex_unlock(cython.address(gp.one))


def forget(process):
    """The threads of a process that has died are in no section any more."""
    for slot in range(arch.THREADS):
        if arch.thread_slot_owner(slot) == process:
            arch.store(cython.address(readers[slot].state), 0)
            arch.thread_slot_free(slot)
    arch.event_wake(cython.address(gp.left))
