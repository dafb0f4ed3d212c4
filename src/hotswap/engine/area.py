"""The table of areas, the list of those that take new slots, and their transfers.

A row is named by its index, the type of an entry. Rows are never freed, only switched off (their tables are), so that a
stale entry can always be looked up and then be told that its area has gone. One guard (``rcu_pointer``) wants an object of
its own for each swapon instead, which is freed.

An area is reached in one of two ways. ``guard_enter()`` gives it to anybody, until ``guard_exit()``. ``area_at()`` gives it to
who keeps it on by other means: the swapon that sets it up, the swapoff that empties it, whoever holds a slot of it (no area
goes off with a slot in use), whoever holds ``active.lock`` and found it on the list.

Lock order: ``active.lock``, then an area's ``lock``, then a frame lock (frames.py). Transfers are made with neither.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.entry import AREAS, entry_offset, entry_type
from cython.cimports.hotswap.engine.guard.contract import (
    NO_MM,
    guard,
    guard_inside,
    guard_new_objects,
    guard_unuse_mm,
    guard_use_mm,
)
from cython.cimports.hotswap.engine.store.contract import STORE_FILE, STORE_RAM, store_at
from cython.cimports.hotswap.engine.store.file import EACH, file_read_each
from cython.cimports.hotswap.engine.store.ram import rams
from cython.cimports.libc.errno import EAGAIN, ENOSPC
from cython.cimports.libc.stdint import uint64_t

areas = cython.cast(cython.pointer(Area), arch.table(AREAS, cython.sizeof(Area)))
taken = cython.cast(cython.pointer(arch.word), arch.table(AREAS, cython.sizeof(arch.word)))

objects = cython.cast(cython.pointer(cython.pointer(Area)), arch.table(AREAS, cython.sizeof(cython.pointer(Area))))
made = cython.cast(cython.pointer(cython.pointer(Area)), arch.table(AREAS, cython.sizeof(cython.pointer(Area))))
parked = cython.cast(cython.pointer(Parked), arch.table(AREAS, cython.sizeof(Parked)))
active = cython.address(cython.cast(cython.pointer(Active), arch.table(1, cython.sizeof(Active)))[0])

if arch.founder():
    arch.mutex_init(cython.address(active.lock))
    active.count = 0
    for _row in range(AREAS):
        arch.mutex_init(cython.address(areas[_row].lock))
        objects[_row] = cython.address(areas[_row])


def area_at(type):
    """For who keeps the area on, see above; all others enter the guard."""
    arch.check(0 <= type and type < AREAS, b"an area's type is below 32")
    return objects[type]


def area_take_row():
    """A row for a new area, marked taken; -1 when all 32 are."""
    for type in range(AREAS):
        if arch.cas(cython.address(taken[type]), 0, 1):
            return type
    return -1


def area_release_row(type):
    """The row may be another area's."""
    arch.store_release(cython.address(taken[type]), 0)


def area_row_taken(type):
    return arch.load(cython.address(taken[type])) != 0


def area_make(type):
    """The object of an area that is about to be set up; NULL when there is no memory for one. The caller took the row."""
    if guard_new_objects():
        made[type] = cython.cast(cython.pointer(Area), arch.table(1, cython.sizeof(Area)))
        if not made[type]:
            return cython.NULL
        arch.mutex_init(cython.address(made[type][0].lock))
        objects[type] = cython.address(made[type][0])
    return objects[type]


def area_unmake(type):
    """The opposite, of an area that nobody can have any more."""
    if made[type]:
        block = made[type]
        objects[type] = cython.address(areas[type])
        made[type] = cython.NULL  # before it is freed, as all tables are (map_free())
        arch.table_free(block, arch.DEBUG)


def area_detach(type):
    """Takes an area's tables out of it; whoever did not enter before sees none. Called when nobody is inside."""
    area = area_at(type)
    parked[type].map = area.map
    parked[type].clusters = area.clusters
    parked[type].cluster_count = area.cluster_count
    parked[type].buckets = area.buckets
    area.map = cython.NULL
    area.clusters = cython.NULL
    area.cluster_count = 0
    area.buckets = cython.NULL
    area.handle = -1
    area.slots = 0
    area.usable = 0
    arch.store(cython.address(area.flags), 0)


def area_activate(type):
    """Puts an area among those that take new slots, behind others of its priority. Takes both locks."""
    arch.mutex_lock(cython.address(active.lock))
    place = active.count
    while place > 0 and area_at(active.type[place - 1]).priority < area_at(type).priority:
        active.type[place] = active.type[place - 1]
        place -= 1
    active.type[place] = type
    active.count += 1
    area = area_at(type)
    arch.mutex_lock(cython.address(area.lock))
    arch.store(cython.address(area.flags), SWP_WRITEOK)
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
        area = area_at(type)
        arch.mutex_lock(cython.address(area.lock))
        arch.store(cython.address(area.flags), SWP_EMPTYING)
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
    that transfers stay large and in a row, and counted in pages so that equals share evenly whatever they are asked for.
    The caller holds slots of it."""
    arch.mutex_lock(cython.address(active.lock))
    area = area_at(type)
    area.turn += pages
    if area.turn >= CLUSTER_SLOTS or cython.cast(uint64_t, area.turn) * 16 >= area.usable:
        area.turn = 0
        place = 0
        while place < active.count and active.type[place] != type:
            place += 1
        while place + 1 < active.count and area_at(active.type[place + 1]).priority == area.priority:
            active.type[place] = active.type[place + 1]
            active.type[place + 1] = type
            place += 1
    arch.mutex_unlock(cython.address(active.lock))


def area_figures(type, figures):
    """An area's figures, into ``figures``. False, and nothing in there, when it is off. Guard: its own, as every other reader of an area,
    though it looks at no table: where each swapon makes a new object, the object itself goes (R11)."""
    used: cython.bint = guard_use_mm(NO_MM)
    area: cython.pointer(Area) = guard.enter(type)
    if area:
        figures.usable = area.usable
        figures.used = arch.load(cython.address(area.inuse))
        figures.pages_in = arch.load(cython.address(area.pages_in))
        figures.pages_out = arch.load(cython.address(area.pages_out))
        figures.errors = arch.load(cython.address(area.errors))
        figures.flags = arch.load(cython.address(area.flags))
        packs: cython.bint = area.store != STORE_FILE
        figures.most = rams[type].most if packs else 0
        figures.held = arch.load(cython.address(rams[type].pool.pages)) if packs else 0
        figures.stored = arch.load(cython.address(rams[type].stored)) if packs else 0
        figures.packed = arch.load(cython.address(rams[type].packed)) if packs else 0
        figures.backed = arch.load(cython.address(rams[type].backed)) if packs else 0
        figures.declined = arch.load(cython.address(rams[type].declined)) if packs else 0
        guard.exit(type)
    guard_unuse_mm(NO_MM, used)
    return area != cython.NULL


def area_read(area, addresses, count, pages, slot):
    """May block. Reads ``count`` pieces of ``pages`` pages each from consecutive slots; 0 or an errno. The caller holds the slots."""
    arch.check(not guard_inside(), b"no transfer is made inside a section that may not sleep")
    failed = store_at(area.store).read(area.handle, addresses, count, pages, slot)
    if failed:
        arch.add(cython.address(area.errors), 1)
    else:
        arch.add(cython.address(area.pages_in), count * pages)
    return -failed


def area_read_each(entries, addresses, count, pages, failed):
    """May block. Reads up to EACH folios of ``pages`` pages, each from its own slots in whatever area: those in files at one go, in ``failed`` 0
    or an errno for each. The caller holds the slots."""
    handles = cython.declare(cython.int[EACH])
    pieces = cython.declare(uint64_t[EACH])
    slots = cython.declare(uint64_t[EACH])
    results = cython.declare(cython.int[EACH])
    together: cython.int = 0
    for number in range(count):
        area = area_at(entry_type(entries[number]))
        failed[number] = 0
        if area.store != STORE_FILE:
            failed[number] = area_read(area, cython.address(addresses[number]), 1, pages, entry_offset(entries[number]))
            continue
        handles[together] = area.handle
        pieces[together] = addresses[number]
        slots[together] = entry_offset(entries[number])
        together += 1
    if together == 0:
        return
    arch.check(not guard_inside(), b"no transfer is made inside a section that may not sleep")
    file_read_each(handles, pieces, slots, together, pages, results)
    together = 0
    for number in range(count):
        area = area_at(entry_type(entries[number]))
        if area.store != STORE_FILE:
            continue
        failed[number] = -results[together]
        together += 1
        if failed[number]:
            arch.add(cython.address(area.errors), 1)
        else:
            arch.add(cython.address(area.pages_in), pages)


def area_write(area, mm, addresses, count, pages, slot, element):
    """May block. Writes ``count`` pieces of ``pages`` pages each, which belong to ``mm`` (elements of that size, 0: unknown), to consecutive slots; how many were written, a
    negative errno when none was (store contract). The caller holds the slots."""
    arch.check(not guard_inside(), b"no transfer is made inside a section that may not sleep")
    done = store_at(area.store).write(area.handle, mm, addresses, count, pages, slot, element)
    if done > 0:
        arch.add(cython.address(area.pages_out), done * pages)
    elif done != -EAGAIN and (done != -ENOSPC or area.store != STORE_RAM):
        arch.add(cython.address(area.errors), 1)
    return done
