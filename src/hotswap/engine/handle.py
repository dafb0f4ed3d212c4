"""The numbers by which a program knows its address spaces: they stay what they are in a child of fork, where each stands for another
row of the table (its own copy's).

A process's own and not shared. Whoever makes and destroys spaces at one time holds the interpreter's lock (api.py).
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import MM_NIL, MMS, mm_at


def handle_new(row):
    """A number for a row: the row's own where that is free."""
    handle: cython.int = row
    if handles[handle]:
        handle = 0
        while handles[handle]:
            handle += 1
            arch.check(handle < MMS, b"there are as many numbers as rows")
    handles[handle] = row + 1
    return handle


def handle_row(handle):
    """The row that a number stands for. One that was never given out is a row's own: who calls from inside has those."""
    if handle < 0 or handle >= MMS or not handles[handle]:
        return handle
    return handles[handle] - 1


def handle_drop(handle):
    handles[handle] = 0


def handles_forked(rows):
    """In a child of fork: ``rows[i]`` is the copy of row i, MM_NIL when there is none. Shared objects are the same ones."""
    for handle in range(MMS):
        if handles[handle] and not mm_at(handles[handle] - 1).shared:
            row: cython.int = rows[handles[handle] - 1]
            handles[handle] = row + 1 if row != MM_NIL else 0
