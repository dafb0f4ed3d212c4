"""Faults that are served in the thread that faulted: no hand-over to a handler thread and back, two wake-ups less.

The kernel raises SIGBUS there and the signal handler runs what a handler thread would (``serve_once``). What that asks of the
program stands in decision 7: threads must not block SIGBUS, nobody else may take the signal afterwards, a stack has 64 KiB
left, and system calls on memory that is swapped out fail with EFAULT, whatever the privileges.

The handler may interrupt anything that touches an array. It takes the engine's locks and never the program's; the engine
touches no array, so the thread holds none of the engine's. No signal is let in meanwhile; but when no memory can be had the
handler returns with the fault unserved: the access is made and faults again, and in between signals get their turn.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.fault import FAULT_LOST, serve_or_wait
from cython.cimports.hotswap.engine.mm import MMS, mm_at
from cython.cimports.libc.errno import ENOSYS


def sigbus_add(mm):
    """Its faults are signals from now on. -ENOSYS where the kernel or this processor's signals do not tell what a fault needs."""
    if not mm.features & arch.MMU_SIGBUS or not arch.signal_known():
        return -ENOSYS
    arch.store(cython.address(spaces[mm.index].bytes), mm.arena_pages << 12)
    arch.store_release(cython.address(spaces[mm.index].first), mm.arena)  # pairs with the acquire in sigbus_fault()
    return arch.signal_setup(sigbus_fault)


def sigbus_remove(mm):
    """Nobody touches its arena any more."""
    arch.store(cython.address(spaces[mm.index].first), 0)


def sigbus_forked():
    """In a child of fork: none is served yet."""
    for index in range(MMS):
        arch.store(cython.address(spaces[index].first), 0)


def sigbus_fault(address, write):
    """The signal handler. May block. 0: the address is not ours, or there is nothing to be had: the signal stands."""
    for index in range(MMS):
        first = arch.load_acquire(cython.address(spaces[index].first))
        if first and address >= first and address - first < arch.load(cython.address(spaces[index].bytes)):
            return serve_or_wait(mm_at(index), address, arch.FAULT_WRITE if write else 0) != FAULT_LOST
    return 0
