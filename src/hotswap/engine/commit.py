"""What may be promised: memory is refused when limits and areas together could not hold it.

A fault that finds no room can only wait, so room is looked at when a range is made, while its maker can still be refused. Pages
count in full, touched or not, as the kernel does with ``vm.overcommit_memory=2``. Switching an area off afterwards, or
lowering a limit, can make promises exceed the room; a swapoff itself only asks whether what was written fits.

One lock, a leaf: nothing is called under it. All of it may be called without the interpreter's lock, since an allocator has not
got that.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.mm import MMS, mm_at
from cython.cimports.libc.stdint import uint64_t

account = cython.address(cython.cast(cython.pointer(Account), arch.table(1, cython.sizeof(Account)))[0])
if arch.founder():
    arch.mutex_init(cython.address(account.lock))


def commit_area(type, usable):
    """An area goes on with so many pages, or off with none."""
    arch.mutex_lock(cython.address(account.lock))
    account.usable[type] = usable
    arch.mutex_unlock(cython.address(account.lock))


def commit_drop(space):
    """A space goes, and with it what it was promised."""
    arch.mutex_lock(cython.address(account.lock))
    account.promised[space] = 0
    arch.mutex_unlock(cython.address(account.lock))


def commit_promise(space, pages, verdict):
    """Counts a range in. False, and why in ``verdict``, when that is more than fits."""
    arch.mutex_lock(cython.address(account.lock))
    account.promised[space] += pages
    judge(verdict)
    fits: cython.bint = verdict.wanted <= verdict.room
    if not fits:
        account.promised[space] -= pages
    arch.mutex_unlock(cython.address(account.lock))
    return fits


def commit_take_back(space, pages):
    arch.mutex_lock(cython.address(account.lock))
    if account.promised[space] >= pages:  # not of a space that was dropped
        account.promised[space] -= pages
    arch.mutex_unlock(cython.address(account.lock))


def judge(verdict):
    """Pages that may have to be out at one time, and pages that the areas can hold. Every slot counts, as a large folio that finds no
    slots in a row is written page by page. Caller: the lock."""
    verdict.wanted = 0
    verdict.room = 0
    for space in range(MMS):
        pages: uint64_t = account.promised[space]
        budget = arch.load(cython.address(mm_at(space).budget))
        verdict.wanted += pages - budget if pages > budget else 0
    for type in range(AREAS):
        verdict.room += account.usable[type]
