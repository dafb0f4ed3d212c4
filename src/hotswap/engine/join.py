"""A process joins the family of another: one that ``spawn``, ``forkserver`` or ``subprocess`` started, and that shares nothing else with it.

Its modules found the family's tables instead of making some (arch/family.h). What is left is what fork_child() does, without any address
space to copy: a row, a service thread, the files of all areas that are on. Everything after that is as with any other member.

The door: a member that others may join through has a service thread (process.py), or it would be taken for dead.

Lock order: ``family.lock``, as for a fork.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.everyone import everyone_forked
from cython.cimports.hotswap.engine.family import (
    MEMBER_COMING,
    MEMBER_LIVE,
    MEMBERS,
    NO_MEMBER,
    family,
    family_call,
    family_enter,
    family_give,
    family_live,
    family_take,
    members,
    own,
)
from cython.cimports.hotswap.engine.guard.contract import choose_guard, guard_chosen
from cython.cimports.hotswap.engine.guard.mmlist import visit_forked
from cython.cimports.hotswap.engine.process import process_watch, serve_start
from cython.cimports.hotswap.engine.store.file import files_all, files_forked
from cython.cimports.hotswap.engine.swapoff import swapoff_forked
from cython.cimports.libc.errno import EAGAIN, EBADF, EMFILE, ESRCH


def family_begin():
    """May block. Once, when all modules are loaded: this process founds a family, or joins one, and forks are looked after from now on. 0, or
    a negative errno: then the engine cannot be used here. -ESRCH: the family has ended; -EMFILE: it has 64 processes; -EBADF: an
    area's file cannot be opened; -EAGAIN: no thread to be had."""
    arch.loaded()
    failed: cython.int = 0
    if arch.founder():
        family.guard = guard_chosen()
    else:
        failed = join()
    return failed if failed else process_watch()


def join():
    choose_guard(family.guard)
    family_enter()
    failed: cython.int = 0 if somebody_lives() else -ESRCH
    if not failed:
        sweep()
        member: cython.int = family_take()
        failed = -EMFILE if member == NO_MEMBER else begin(member)
    arch.mutex_unlock(cython.address(family.lock))
    if not failed:
        family_call()  # there is somebody to watch over
    if not failed and not files_all():  # if not, it stays a member with nothing, until it ends
        failed = -EBADF
    return failed


def sweep():
    """Rows of those who died in begin(): whoever is there has family.lock. Caller: family.lock."""
    for member in range(MEMBERS):
        row = cython.address(members[member])
        coming: cython.bint = arch.load_acquire(cython.address(row.state)) == MEMBER_COMING
        if coming and arch.load(cython.address(row.parent)) == BY_ITSELF:
            family_give(member)


def begin(member):
    """Caller: family.lock."""
    me = cython.address(members[member])
    own.member = member
    arch.store(cython.address(me.parent), BY_ITSELF)
    arch.store(cython.address(me.process), arch.process())
    arch.store(cython.address(me.rested), arch.load(cython.address(family.rest)))
    files_forked()
    swapoff_forked()
    everyone_forked()
    visit_forked()
    if not serve_start():
        return -EAGAIN
    arch.store_release(cython.address(me.state), MEMBER_LIVE)
    return 0


def somebody_lives():
    """Is there a member that holds its mutex? Caller: family.lock."""
    for member in range(MEMBERS):
        if family_live(member):
            if not arch.mutex_try(cython.address(members[member].alive)):
                return True
            arch.mutex_unlock(cython.address(members[member].alive))
    return False


def family_door(said):
    """May block. From now on others may join through this process; what they have to know is in ``said`` (arch_family_door). 0, or a negative errno."""
    failed = arch.family_door(said)
    if failed:
        return failed
    own.door = True
    return 0 if serve_start() else -EAGAIN
