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
    arch.mutex_init(cython.address(family.counting))
    own.member = 0
    for _row in range(MEMBERS):
        arch.mutex_init(cython.address(members[_row].alive))
    arch.store(cython.address(members[0].state), MEMBER_LIVE)
    arch.store(cython.address(members[0].process), arch.process())


def family_take():
    """A row for a process that is about to come, or NO_MEMBER. Its mutex is never made anew: who looked after the member before may hold it
    still."""
    for member in range(MEMBERS):
        if arch.cas(cython.address(members[member].state), MEMBER_FREE, MEMBER_COMING):
            family.grown = True
            coming = arch.add(cython.address(family.comings), 1) & (NOT_BEGUN - 1)
            arch.store(cython.address(members[member].process), NOT_BEGUN | coming)
            arch.store(cython.address(members[member].parent), own.member + 1)
            return member
    return NO_MEMBER


def family_give(member):
    """The row of a process that has gone, with nothing left of it."""
    arch.store(cython.address(members[member].parent), 0)
    arch.store(cython.address(members[member].process), 0)
    arch.store_release(cython.address(members[member].state), MEMBER_FREE)


def family_live(member):
    return arch.load_acquire(cython.address(members[member].state)) == MEMBER_LIVE


def family_dead(member):
    """Has a member ended, and not been cleaned up after? True: its mutex is the caller's now, who lets go of it."""
    row = cython.address(members[member])
    if (
        member == own.member
        or arch.load_acquire(cython.address(row.state)) < MEMBER_LIVE
        or not arch.mutex_try(cython.address(row.alive))
    ):
        return False
    if arch.load_acquire(cython.address(row.state)) >= MEMBER_LIVE:
        return True
    arch.mutex_unlock(cython.address(row.alive))  # somebody else has cleaned up just now
    return False


def family_enter():
    """May block. The family's lock, for who is about to change who is in it; not after one who died while he counted, until that is done."""
    arch.mutex_lock(cython.address(family.lock))
    while arch.load(cython.address(family.half)):
        arch.mutex_unlock(cython.address(family.lock))
        arch.nap_us(1000)
        arch.mutex_lock(cython.address(family.lock))


def family_patience():
    """How long one waits for others before one looks whether they live, in microseconds; -1, for ever, for who is alone."""
    return PATIENCE_US if family.grown else -1


def forget_dead(forget):
    """May block. ``forget(process)`` for each member that has died. For who waits until others have left their sections: who cleans up after
    one who died in his may have to wait for the caller (stopper.py), or be the caller (death.py)."""
    if family.grown:
        for member in range(MEMBERS):
            if family_dead(member):
                arch.nap_us(ENDS_US)
                forget(arch.load(cython.address(members[member].process)))
                arch.mutex_unlock(cython.address(members[member].alive))


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
