"""The process at rest: nobody works in its address spaces without holding their mmap locks, until calm_go().

Reclaim in the background, readahead, the emptying of an area and a new limit enter while they work (guard_use_mm() does it for
them); so do those who make and destroy address spaces. Faults and whoever maps and unmaps hold an mmap lock, which whoever wants rest
takes as well (process.py). Then no entry is locked, no slot is in anybody's hands and no frame is being filled: page tables, counts
and frames say all there is.

Lock order: before every mmap lock. A thread enters once.
"""

from cython.cimports.hotswap import arch


def calm_enter():
    """May block, while the process is at rest."""
    arch.calm_enter()


def calm_leave():
    arch.calm_leave()


def calm_stop():
    """May block: until everybody has left."""
    arch.calm_stop()


def calm_go():
    arch.calm_go()


def calm_begin():
    """In a child of fork, whose parent was at rest."""
    arch.calm_begin()
