"""The processes that share the engine's tables: one that loaded it, those it forked, those that joined (join.py), and theirs.

Each is a row, the *member*. Tables and locks are in memory that all of them have at the same place (arch/family.h); what is a
process's own are its threads, its descriptors, its memory and its address spaces (``Mm.member`` says whose one is).

A member is alive as long as the mutex ``alive`` is held by a thread of it that never ends before (process.py): the kernel lets go of it
when the process ends, however it does, and also when it becomes another program.

Lock order: ``family.lock`` before a process is brought to rest (calm.py).
"""

import cython
from cython.cimports.hotswap import arch

members = cython.cast(cython.pointer(Member), arch.table(MEMBERS, cython.sizeof(Member)))
family = cython.address(cython.cast(cython.pointer(Family), arch.table(1, cython.sizeof(Family)))[0])
if arch.founder():
    arch.mutex_init(cython.address(family.lock))
    own.member = 0
    for _row in range(MEMBERS):
        arch.mutex_init(cython.address(members[_row].alive))
    arch.store(cython.address(members[0].state), MEMBER_LIVE)
    arch.store(cython.address(members[0].process), arch.process())


def family_take():
    """A row for a process that is about to come, or NO_MEMBER."""
    for member in range(MEMBERS):
        if arch.cas(cython.address(members[member].state), MEMBER_FREE, MEMBER_COMING):
            arch.mutex_init(cython.address(members[member].alive))
            arch.store(cython.address(members[member].process), 0)
            arch.store(cython.address(members[member].parent), own.member + 1)
            return member
    return NO_MEMBER


def family_give(member):
    """The row of a process that has gone, with nothing left of it."""
    arch.store(cython.address(members[member].parent), 0)
    arch.store_release(cython.address(members[member].state), MEMBER_FREE)


def family_live(member):
    return arch.load_acquire(cython.address(members[member].state)) == MEMBER_LIVE


def family_size():
    """Members, those that are just coming included."""
    size: cython.int = 0
    for member in range(MEMBERS):
        if arch.load(cython.address(members[member].state)) != MEMBER_FREE:
            size += 1
    return size


def family_call():
    """The others' service threads look at what there is for them to do."""
    for member in range(MEMBERS):
        if member != own.member and family_live(member):
            arch.event_wake(cython.address(members[member].call))
