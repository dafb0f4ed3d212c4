"""In a child of fork: there is no engine, and nothing that was swappable. Arenas are not inherited, so that nobody reads zeros
there; a touch stops the child with a sentence that says why (arch/child.h).

Threads of the engine are not copied either and may have held any of its locks, so nothing here takes one.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import MMS, mm_at


def child_watch():
    """From now on. Once is enough; 0, or a negative errno."""
    if arch.swap(cython.address(forked.known), 1):
        return 0
    return arch.child_setup(child_begins)


def child_is():
    return arch.load(cython.address(forked.child)) != 0


def child_begins():
    arch.store(cython.address(forked.child), 1)
    for index in range(MMS):
        if mm_at(index).arena:
            arch.child_bar(mm_at(index).arena, mm_at(index).arena_pages << 12)
    arch.child_tell(child_touches)


def child_touches(address):
    """Is that memory of the parent's? Rows that are free have no arena."""
    for index in range(MMS):
        mm = mm_at(index)
        if mm.arena and address - mm.arena < mm.arena_pages << 12:
            return 1
    return 0
