"""The way of a swapon: take a row, make the tables, mark bad slots (swap_map_mark_bad), publish.

Everything is set up before anybody can enter the guard, and the guard's publish orders it (R05). Only then may slots be
taken. Whoever waits for room is told.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import BUCKETS, NIL, SWP_USED, area_activate, area_at, area_take_row
from cython.cimports.hotswap.engine.cluster import clusters_setup
from cython.cimports.hotswap.engine.guard.contract import guard_publish
from cython.cimports.hotswap.engine.mm import MM_NIL, mm_at, mmlist_hold_next
from cython.cimports.hotswap.engine.swap_map import map_free, map_setup
from cython.cimports.libc.errno import ENOMEM, EPERM
from cython.cimports.libc.stdint import uint32_t


def area_label(type, name):
    """The address of the area's name for the log; whoever gives it keeps it there until the area is off."""
    area_at(type).label = name


def area_setup(fd, slots, priority):
    """A row for an area of ``slots`` slots (the header's included) in the open file ``fd``; its type, not yet published.

    -EPERM when 32 areas are on (as the kernel's swapon says), -ENOMEM when its tables do not fit in memory.
    """
    type = area_take_row()
    if type < 0:
        return -EPERM
    area = area_at(type)
    area.fd = fd
    area.slots = slots
    area.priority = priority
    area.label = 0
    area.turn = 0
    area.generation += 1
    area.buckets = cython.cast(cython.pointer(uint32_t), arch.table(BUCKETS, cython.sizeof(uint32_t)))
    if not area.buckets or map_setup(area):
        arch.table_free(area.buckets, False)
        area.buckets = cython.NULL
        arch.store_release(cython.address(area.flags), 0)
        return -ENOMEM
    arch.store(cython.address(area.pages_in), 0)
    arch.store(cython.address(area.pages_out), 0)
    arch.store(cython.address(area.errors), 0)
    return type


def area_publish(type):
    """From here on it is used."""
    clusters_setup(area_at(type))
    guard_publish(type)
    area_activate(type)
    index = mmlist_hold_next(MM_NIL)
    while index != NIL:
        mm = mm_at(index)
        arch.store(cython.address(mm.full_said), 0)
        arch.event_wake(cython.address(mm.relief))
        arch.event_wake(cython.address(mm.pressure))
        index = mmlist_hold_next(index)


def area_teardown(type):
    """A swapon given up before publish, or an area that nobody can enter any more: frees tables and row."""
    area_free_tables(type)
    area_release_row(type)


def area_free_tables(type):
    """Swapoff's end: nobody is inside and nobody can come. The row stays, so that its outcome can be asked for."""
    area = area_at(type)
    poison: cython.bint = arch.DEBUG
    map_free(area, poison)
    arch.table_free(area.buckets, poison)
    area.buckets = cython.NULL
    area.fd = -1
    area.slots = 0
    area.usable = 0
    arch.store(cython.address(area.flags), SWP_USED)


def area_release_row(type):
    """The row may be another area's."""
    arch.store_release(cython.address(area_at(type).flags), 0)
