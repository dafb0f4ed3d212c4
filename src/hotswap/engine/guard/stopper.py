"""Stopping the machine: until go(), no thread of the engine is inside a section and none begins one.

The kernel runs a thread of the highest priority on every processor, and can, since a section there is code with preemption
off. A process cannot take its threads off the processors. So they stop themselves: at the start of a section, which is the only
place from where they could do harm. Who computes outside, or sleeps in a system call, counts as stopped; who is inside is
waited for.

A thread marks itself inside and then looks whether the machine is to stop; the stopper says so and then looks at the marks.
Neither may miss the other's store: the thread has a compiler barrier (``light``), the stopper makes every thread run a full
one (``heavy``). stop() and go() each do, so that what the stopper wrote before stop(), or between the two, is seen in every
section that begins after go(), without a barrier there: such a section begins after that thread's barrier, or it saw
"stopping" and waited. This is the message-passing half of the argument over R08; the other, that what was freed is seen whole
by sections before the stop, is the release in preempt_enable() against the acquire in stop().

A process that shares the machine may die, inside or while it has it stopped: who waits finds out.

Sections nest, the inner one never waits. They may not sleep. Lock order: ``one`` is held from stop() to go(); the caller holds
nothing that somebody inside, or somebody who waits to get in, may want.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.family import family, family_patience, forget_dead

seats = cython.cast(cython.pointer(Seat), arch.table(arch.THREADS, cython.sizeof(Seat)))
machine = cython.address(cython.cast(cython.pointer(Machine), arch.table(1, cython.sizeof(Machine)))[0])
if arch.founder():
    arch.mutex_init(cython.address(machine.one))
arch.barrier_setup()
arch.thread_slots()


def preempt_disable():
    """Begins a section. Waits while the machine is stopped."""
    slot = arch.thread_slot_mine()
    if arch.rarely(slot < 0):
        first_disable()
        return
    inside = arch.load(cython.address(seats[slot].inside))
    arch.store(cython.address(seats[slot].inside), inside + 1)
    arch.light()  # the mark is out before "stopping" is read; pairs with heavy() in stop() and in go()
    if arch.rarely(arch.load(cython.address(machine.stopping)) != 0) and inside == 0:
        step_aside(slot)


def first_disable():
    """preempt_disable() of a thread that has no number yet."""
    arch.check(arch.thread_slot() >= 0, b"no more than 1024 threads use swap areas at one time")
    preempt_disable()


def preempt_enable():
    """Ends a section."""
    slot = arch.thread_slot_mine()
    arch.check(slot >= 0, b"who leaves has entered")
    word = cython.address(seats[slot].inside)
    arch.store_release(word, arch.load(word) - 1)  # pairs with the acquire in stop()
    arch.light()  # the mark is off before "stopping" is read; pairs with heavy() in stop()
    if arch.rarely(arch.load(cython.address(machine.stopping)) != 0):
        arch.event_wake(cython.address(machine.left))


def preempt_disabled():
    """Is this thread inside?"""
    slot = arch.thread_slot_mine()
    return slot >= 0 and arch.load(cython.address(seats[slot].inside)) != 0


def step_aside(slot):
    """May block. The machine is to stop: out, and in again once it goes on."""
    while True:
        seen = arch.event_read(cython.address(machine.going))
        arch.store_release(cython.address(seats[slot].inside), 0)
        arch.light()  # as in preempt_enable()
        arch.event_wake(cython.address(machine.left))
        if arch.load(cython.address(machine.stopping)):
            arch.event_wait(cython.address(machine.going), seen, family_patience())
            go_on_for_dead()
        arch.store(cython.address(seats[slot].inside), 1)
        arch.light()  # as in preempt_disable()
        if not arch.load(cython.address(machine.stopping)):
            return


def stop():
    """May block. Returns when nobody is inside; until go() nobody gets in."""
    arch.check(not preempt_disabled(), b"the machine is not stopped inside a section, which would be waited for")
    arch.mutex_lock(cython.address(machine.one))
    arch.store(cython.address(machine.stopping), 1)
    arch.heavy()  # pairs with light() in preempt_disable() and in preempt_enable()
    for slot in range(arch.THREADS):
        while True:
            seen = arch.event_read(cython.address(machine.left))
            if arch.load_acquire(cython.address(seats[slot].inside)) == 0:
                break
            arch.event_wait(cython.address(machine.left), seen, family_patience())
            forget_dead(forget)


def go():
    """The machine goes on."""
    arch.heavy()  # what was done during the stop is seen by who reads "not stopping"; pairs with light() in preempt_disable()
    arch.store(cython.address(machine.stopping), 0)
    arch.event_wake(cython.address(machine.going))
    arch.mutex_unlock(cython.address(machine.one))


def go_on_for_dead():
    """If who stopped the machine has died, it goes on: who cleans up may wait for those who stepped aside."""
    if family.grown and arch.load(cython.address(machine.stopping)) and arch.mutex_try(cython.address(machine.one)):
        go()


def forget(process):
    """The threads of a process that has died are in no section any more."""
    for slot in range(arch.THREADS):
        if arch.thread_slot_owner(slot) == process:
            arch.store(cython.address(seats[slot].inside), 0)
            arch.thread_slot_free(slot)
    arch.event_wake(cython.address(machine.left))
