"""The way of a swapon: take a row, make the tables, mark bad slots (swap_map_mark_bad), publish.

Everything is set up before anybody can enter the guard, and the guard's publish orders it (R05). Only then may slots be
taken. Whoever waits for room is told.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import (
    BUCKETS,
    area_activate,
    area_at,
    area_detach,
    area_make,
    area_release_row,
    area_take_row,
    area_unmake,
    parked,
)
from cython.cimports.hotswap.engine.calm import calm_enter, calm_leave
from cython.cimports.hotswap.engine.cluster import clusters_setup
from cython.cimports.hotswap.engine.guard.contract import guard_publish
from cython.cimports.hotswap.engine.mm import mmlist_tell
from cython.cimports.hotswap.engine.store.contract import STORE_FILE, STORE_FRONT, STORE_RAM
from cython.cimports.hotswap.engine.store.file import file_off, file_on
from cython.cimports.hotswap.engine.store.front import front_setup
from cython.cimports.hotswap.engine.store.ram import IN_RAM, ram_setup, ram_teardown
from cython.cimports.hotswap.engine.swap_map import area_mend, map_free, map_setup
from cython.cimports.libc.errno import ENOMEM, EPERM
from cython.cimports.libc.stdint import uint32_t

freeing.poison = arch.DEBUG


def poison_freed(always):
    """For tests, which want it in every build."""
    freeing.poison = always or arch.DEBUG


def area_label(type, name):
    """The address of the area's name for the log; whoever gives it keeps it there until the area is off."""
    area_at(type).label = name


def area_setup(fd, slots, priority):
    """A row for an area of ``slots`` slots (the header's included) in the open file ``fd``, or in compressed memory
    (IN_RAM); its type, not yet published.

    -EPERM when 32 areas are on (as the kernel's swapon says), -ENOMEM when its tables do not fit in memory.
    """
    type = area_take_row()
    if type < 0:
        return -EPERM
    area = area_make(type)
    if not area:
        area_release_row(type)
        return -ENOMEM
    arch.mutex_mend(cython.address(area.lock), area_mend, type)  # also where the object is a new one
    if fd == IN_RAM:
        area.store = STORE_RAM
        area.handle = type
    else:
        area.store = STORE_FILE
        area.handle = type
        file_on(type, fd, False)
    area.slots = slots
    area.priority = priority
    area.label = 0
    area.turn = 0
    area.generation += 1
    area.buckets = cython.cast(cython.pointer(uint32_t), arch.table(BUCKETS, cython.sizeof(uint32_t)))
    if map_setup(area) or not area.buckets or (fd == IN_RAM and ram_setup(type, slots, 0)):
        file_off(type)
        area_teardown(type)
        return -ENOMEM
    arch.store(cython.address(area.pages_in), 0)
    arch.store(cython.address(area.pages_out), 0)
    arch.store(cython.address(area.errors), 0)
    return type


def area_front(type, most):
    """Compressed RAM, of ``most`` pages of memory at most, in front of an area in a file that is set up and not yet published; -ENOMEM."""
    area = area_at(type)
    failed = front_setup(type, area.handle, area.slots, most)
    if not failed:
        area.store = STORE_FRONT
        area.handle = type
    return failed


def area_publish(type):
    """From here on it is used."""
    calm_enter()
    clusters_setup(area_at(type))
    calm_leave()
    guard_publish(type, area_activate)
    mmlist_tell()


def area_teardown(type):
    """A swapon given up before publish, or an area that nobody can enter any more: frees tables and row. Its thread has ended (ram_stop())."""
    if area_at(type).cluster_count:
        area_detach(type)
    area_free_tables(type)
    area_release_row(type)


def area_free_tables(type):
    """The end of an area that was detached. The row stays, so that a swapoff's outcome can be asked for."""
    map_free(cython.address(parked[type]), freeing.poison)
    buckets = parked[type].buckets
    parked[type].buckets = cython.NULL
    arch.table_free(buckets, freeing.poison)
    if area_at(type).store != STORE_FILE:
        ram_teardown(type, freeing.poison)
    area_unmake(type)
