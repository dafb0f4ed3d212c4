"""Threads whose system calls change what stays when their process has gone: the file of an area, the memory of a shared object.

A process that is killed ends thread by thread, and one that is in a system call ends after that. Others may have cleaned up after it
(death.py) by then, and its write would come down on slots that are another one's, its hole in memory that another one has filled. So a thread
that makes such calls has a mutex of its own for as long as it lives. The kernel lets go of that when the thread has ended, and who cleans up
asks for it first.

Lock order: a thread's own, once; asked for with none held but the dead one's ``alive``.
"""

import cython
from cython.cimports.hotswap import arch

movers = cython.cast(cython.pointer(Mover), arch.table(arch.THREADS, cython.sizeof(Mover)))
arch.thread_slots()
if arch.founder():
    for _slot in range(arch.THREADS):
        arch.mutex_init(cython.address(movers[_slot].alive))


def mover_here():
    """May block. The calling thread is about to make such a call."""
    if arch.rarely(arch.thread_slot_mine() < 0):
        slot = arch.thread_slot()
        arch.check(slot >= 0, b"no more than 1024 threads move data at one time")
        arch.mutex_lock(cython.address(movers[slot].alive))


def movers_gone(process):
    """Has every such call of a process that has died come to its end?"""
    for slot in range(arch.THREADS):
        if arch.thread_slot_owner(slot) == process:
            if not arch.mutex_try(cython.address(movers[slot].alive)):
                return False
            arch.mutex_unlock(cython.address(movers[slot].alive))
            arch.thread_slot_free(slot)
    return True
