"""The table of areas, the list of those that take new slots, and their transfers.

A row is named by its index, the type of an entry. Rows are never freed, only switched off (their tables are), so that a
stale entry can always be looked up and then be told that its area has gone.

Lock order: ``active.lock``, then an area's ``lock``, then a frame lock (cache.py). Transfers are made with neither.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.entry import AREAS

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
    """Clears WRITEOK under the area's lock: whoever takes slots after this looks in vain. Takes both locks."""
    arch.mutex_lock(cython.address(active.lock))
    left = 0
    for place in range(active.count):
        if active.type[place] != type:
            active.type[left] = active.type[place]
            left += 1
    arch.check(left == active.count - 1, b"an area that is emptied was among the active ones")
    active.count = left
    area = cython.address(areas[type])
    arch.mutex_lock(cython.address(area.lock))
    arch.store(cython.address(area.flags), SWP_USED | SWP_EMPTYING)
    arch.mutex_unlock(cython.address(area.lock))
    arch.mutex_unlock(cython.address(active.lock))


def area_pick(turn):
    """The type of the ``turn``-th best area, -1 after the last."""
    arch.mutex_lock(cython.address(active.lock))
    type = active.type[turn] if turn < active.count else NIL
    arch.mutex_unlock(cython.address(active.lock))
    return type


def area_rotate(type):
    """Its equals come first the next time."""
    arch.mutex_lock(cython.address(active.lock))
    place = 0
    while place < active.count and active.type[place] != type:
        place += 1
    while place + 1 < active.count and areas[active.type[place + 1]].priority == areas[type].priority:
        active.type[place] = active.type[place + 1]
        active.type[place + 1] = type
        place += 1
    arch.mutex_unlock(cython.address(active.lock))


def area_read_blocks(area, addresses, count, order, offset):
    """May block. Reads ``count`` folios from consecutive slots; 0 or an errno. The caller is inside the guard."""
    failed = arch.disk_transfer(area.fd, False, addresses, count, 4096 << order, offset << 12)
    if failed:
        arch.add(cython.address(area.errors), 1)
    else:
        arch.add(cython.address(area.pages_in), count << order)
    return -failed


def area_write_blocks(area, addresses, count, order, offset):
    """May block. Writes ``count`` folios to consecutive slots; 0 or an errno. The caller is inside the guard."""
    failed = arch.disk_transfer(area.fd, True, addresses, count, 4096 << order, offset << 12)
    if failed:
        arch.add(cython.address(area.errors), 1)
    else:
        arch.add(cython.address(area.pages_out), count << order)
    return -failed
