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
from cython.cimports.libc.stdint import int64_t, uint64_t

arch.mutex_init(cython.address(account.lock))


def commit_area(type, usable):
    """An area goes on with so many pages, or off with none."""
    arch.mutex_lock(cython.address(account.lock))
    account.usable[type] = usable
    arch.mutex_unlock(cython.address(account.lock))


def commit_drop(space):
    """A space goes, and with it what it was promised."""
    arch.mutex_lock(cython.address(account.lock))
    for order in range(ORDERS):
        count(space, order, account.promised[space * ORDERS + order], False)
    arch.mutex_unlock(cython.address(account.lock))


def commit_promise(space, pages, order, verdict):
    """Counts a range in. False, and why in ``verdict``, when that is more than fits."""
    arch.mutex_lock(cython.address(account.lock))
    count(space, order, pages, True)
    judge(verdict)
    fits: cython.bint = verdict.wanted <= verdict.room
    if not fits:
        count(space, order, pages, False)
    arch.mutex_unlock(cython.address(account.lock))
    return fits


def commit_take_back(space, pages, order):
    arch.mutex_lock(cython.address(account.lock))
    if account.promised[space * ORDERS + order] >= pages:  # not of a space that was dropped
        count(space, order, pages, False)
    arch.mutex_unlock(cython.address(account.lock))


def count(space, order, pages, comes):
    change: int64_t = cython.cast(int64_t, pages) if comes else -cython.cast(int64_t, pages)
    account.promised[space * ORDERS + order] += change
    account.in_order[order] += change


def judge(verdict):
    """Pages that may have to be out at one time, and pages that the areas can hold. Caller: the lock.

    Folios of several slots need them in a row, which the ends of an area may not have. Folios that are smaller than others may
    hold twice the clusters they fill (engine/cluster.py), which then are no use to the larger ones.
    """
    largest: cython.int = 0
    small: uint64_t = 0
    for order in range(ORDERS):
        if account.in_order[order]:
            largest = order
    for order in range(largest):
        small += account.in_order[order]
    out: uint64_t = 0
    for space in range(MMS):
        pages: uint64_t = 0
        for order in range(ORDERS):
            pages += account.promised[space * ORDERS + order]
        budget = arch.load(cython.address(mm_at(space).budget))
        out += pages - budget if pages > budget else 0
    lost: uint64_t = SLACK * ((cython.cast(uint64_t, 1) << largest) - 1)
    lost = lost if lost < SLACK * CLUSTER else SLACK * CLUSTER
    verdict.wanted = out + (small if small < out else out)
    verdict.room = 0
    for type in range(AREAS):
        verdict.room += account.usable[type] - lost if account.usable[type] > lost else 0
