"""The table of areas, the list of those that take new slots, and their transfers.

A row is named by its index, the type of an entry. Rows are never freed, only switched off (their tables are), so that a
stale entry can always be looked up and then be told that its area has gone.

Lock order: ``active.lock``, then an area's ``lock``, then a frame lock (cache.py). Transfers are made with neither.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.libc.stdint import uint64_t

areas = cython.cast(cython.pointer(Area), arch.table(AREAS, cython.sizeof(Area)))

arch.mutex_init(cython.address(active.lock))
active.count = 0
for _row in range(AREAS):
    arch.mutex_init(cython.address(areas[_row].lock))


def area_at(type):
    arch.check(0 <= type and type < AREAS, b"an area's type is below 32")
    return cython.address(areas[type])


def area_take_row():
    """A row for a new area, marked used; -1 when all 32 are taken."""
    for type in range(AREAS):
        if arch.cas(cython.address(areas[type].flags), 0, SWP_USED):
            return type
    return -1


def area_activate(type):
    """Puts an area among those that take new slots, behind others of its priority. Takes both locks."""
    arch.mutex_lock(cython.address(active.lock))
    place = active.count
    while place > 0 and areas[active.type[place - 1]].priority < areas[type].priority:
        active.type[place] = active.type[place - 1]
        place -= 1
    active.type[place] = type
    active.count += 1
    area = cython.address(areas[type])
    arch.mutex_lock(cython.address(area.lock))
    arch.store(cython.address(area.flags), SWP_USED | SWP_WRITEOK)
    arch.mutex_unlock(cython.address(area.lock))
    arch.mutex_unlock(cython.address(active.lock))


def area_deactivate(type):
    """Clears WRITEOK under the area's lock: whoever wants slots after this gets none. False: it is not active. Takes both locks."""
    arch.mutex_lock(cython.address(active.lock))
    left: cython.int = 0
    for place in range(active.count):
        if active.type[place] != type:
            active.type[left] = active.type[place]
            left += 1
    found: cython.bint = left < active.count
    active.count = left
    if found:
        area = cython.address(areas[type])
        arch.mutex_lock(cython.address(area.lock))
        arch.store(cython.address(area.flags), SWP_USED | SWP_EMPTYING)
        arch.mutex_unlock(cython.address(area.lock))
    arch.mutex_unlock(cython.address(active.lock))
    return found


def areas_by_priority(types):
    """The areas that take new slots, best first, into ``types`` (room for 32); how many. They may change their order or go
    while the caller tries one after the other: whoever looked at the list anew each time could miss one."""
    arch.mutex_lock(cython.address(active.lock))
    count = active.count
    for place in range(count):
        types[place] = active.type[place]
    arch.mutex_unlock(cython.address(active.lock))
    return count


def area_rotate(type, pages):
    """Counts what an area took; after a cluster's worth (less for a small area) its equals come first. A turn is that long so
    that transfers stay large and in a row, and counted in pages so that equals share evenly whatever they are asked for."""
    arch.mutex_lock(cython.address(active.lock))
    areas[type].turn += pages
    if areas[type].turn >= CLUSTER_SLOTS or cython.cast(uint64_t, areas[type].turn) * 16 >= areas[type].usable:
        areas[type].turn = 0
        place = 0
        while place < active.count and active.type[place] != type:
            place += 1
        while place + 1 < active.count and areas[active.type[place + 1]].priority == areas[type].priority:
            active.type[place] = active.type[place + 1]
            active.type[place + 1] = type
            place += 1
    arch.mutex_unlock(cython.address(active.lock))


def area_read(area, addresses, count, pages, slot):
    """May block. Reads ``count`` pieces of ``pages`` pages each from consecutive slots; 0 or an errno. Inside the guard."""
    failed = arch.disk_transfer(area.fd, False, addresses, count, pages << 12, slot << 12)
    if failed:
        arch.add(cython.address(area.errors), 1)
    else:
        arch.add(cython.address(area.pages_in), count * pages)
    return -failed


def area_write(area, addresses, count, pages, slot):
    """May block. Writes ``count`` pieces of ``pages`` pages each to consecutive slots; 0 or an errno. Inside the guard."""
    failed = arch.disk_transfer(area.fd, True, addresses, count, pages << 12, slot << 12)
    if failed:
        arch.add(cython.address(area.errors), 1)
    else:
        arch.add(cython.address(area.pages_out), count * pages)
    return -failed
