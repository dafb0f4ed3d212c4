"""A child of fork that could not be made a member of the family (process.py): there is no engine in it, and nothing that was
swappable. Its parent's arenas are barred, so that nobody reads zeros there; a touch stops the child with a sentence that says why
(arch/child.h).

Threads of the engine are not copied and may have held any of its locks, so nothing here takes one, nor looks at the family's tables.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import MMS


def child_is():
    return arch.load(cython.address(forked.child)) != 0


def child_note(row, first, bytes):
    """Before a fork: where an arena is; 0 for a row without one."""
    forked.first[row] = first
    forked.bytes[row] = bytes


def child_alone():
    arch.store(cython.address(forked.child), 1)
    for row in range(MMS):
        if forked.first[row]:
            arch.child_bar(forked.first[row], forked.bytes[row])
    arch.child_tell(child_touches)


def child_touches(address):
    """Was that swappable memory?"""
    for row in range(MMS):
        if forked.first[row] and address - forked.first[row] < forked.bytes[row]:
            return 1
    return 0
