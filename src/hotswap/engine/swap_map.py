"""The swap map: how many page-table entries refer to each slot, and whether the swap cache owns it too.

A byte a slot: a count up to 62, 63 for a bad slot, and two flags. A slot is free when its byte is zero. A count above 62
goes on in a table of the slot's cluster ("continuation"), which swap_duplicate() asks for with -ENOMEM and
add_swap_count_continuation() provides, since making it may block and a count is raised under locks (seed 000, R07).

Counts are given for the ``slots`` slots of a folio, of which the entry names the first. Errors are negative errnos.

What protects what is looked at (the audit that seed 002 asked for; swapoff ends as soon as no slot is in use, whoever is about,
R13, so nothing else does):

- The map, its clusters and the bounds: a section of the guard, from before the first look to after the last. Every public
  function enters by itself and checks bounds inside (R04). Those that are not public are told the area by one who is inside.
- Counts and flags against other users: the area's lock.
- A count falls inside a section (R12): the last drop may be what swapoff waits for, and the map is still read after it.
- WRITEOK is looked at under the lock under which swapoff clears it.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import CLUSTER_SLOTS, SWP_WRITEOK, Area, Cluster, area_at, areas
from cython.cimports.hotswap.engine.cluster import Run, cluster_mark, cluster_put, cluster_take, clusters_recount
from cython.cimports.hotswap.engine.entry import AREAS, entry_offset, entry_type
from cython.cimports.hotswap.engine.guard.contract import NO_MM, guard, guard_unuse_mm, guard_use_mm
from cython.cimports.hotswap.engine.store.contract import store_at
from cython.cimports.libc.errno import EEXIST, EINVAL, ENOENT, ENOMEM
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t


def map_setup(area):
    """Makes map and clusters for ``area.slots`` slots; after -ENOMEM the caller frees what there is. Nobody sees the area yet."""
    area.cluster_count = cython.cast(cython.int, (area.slots + CLUSTER_SLOTS - 1) // CLUSTER_SLOTS)
    mapped: uint64_t = cython.cast(uint64_t, area.cluster_count) * CLUSTER_SLOTS
    area.map = cython.cast(cython.pointer(uint8_t), arch.table(mapped, cython.sizeof(uint8_t)))
    area.clusters = cython.cast(cython.pointer(Cluster), arch.table(area.cluster_count, cython.sizeof(Cluster)))
    if not area.map or not area.clusters:
        return -ENOMEM
    area.map[0] = SWAP_MAP_BAD  # the header
    offset = area.slots
    while offset < mapped:
        area.map[offset] = SWAP_MAP_BAD
        offset += 1
    area.usable = area.slots - 1
    arch.store(cython.address(area.inuse), 0)
    return 0


def map_free(tables, poison):
    """Swapoff's last step, after the guard was retired: what was taken out of the area. Each is forgotten before it is freed: who is killed
    in between leaks a table, and whoever ends this for him (death.py) frees none twice."""
    clusters = tables.clusters
    map = tables.map
    if clusters:
        for number in range(tables.cluster_count):
            extra = clusters[number].extra
            clusters[number].extra = cython.NULL
            arch.table_free(extra, poison)
    tables.clusters = cython.NULL
    arch.table_free(clusters, poison)
    tables.map = cython.NULL
    arch.table_free(map, poison)


def area_mend(type):
    """Under an area's lock, whose holder died: clusters and figures from the map. A slot that the map calls free may hold something still, which
    whoever has it next must not find: it goes."""
    area = area_at(type)
    if area.map and area.clusters and area.cluster_count:
        used: uint64_t = 0
        store = store_at(area.store)
        for slot in range(1, area.slots):
            value: cython.int = area.map[slot]
            if value == 0 and store.discard:
                store.discard(area.handle, slot)
            elif value and value != SWAP_MAP_BAD:
                used += 1
        clusters_recount(area)
        arch.store(cython.address(area.inuse), used)


def swap_map_mark_bad(type, offset):
    """A block that the header calls bad. False when it is out of bounds or bad already. Before publish: nobody else sees it."""
    area = area_at(type)
    if offset == 0 or offset >= area.slots or area.map[offset] != 0:
        return False
    area.map[offset] = SWAP_MAP_BAD
    area.usable -= 1
    return True


def in_bounds(area, offset, slots):
    """Caller: inside the guard. An entry may be older than the area (R04)."""
    return offset > 0 and offset + slots <= area.slots


def swap_alloc(type, order, want):
    """Takes up to ``want`` folios of 2**order slots in a row, each slot with a count of one and HAS_CACHE.

    HAS_CACHE keeps readahead, which looks at entries without their locks and may come with one from before these slots were
    freed, from reading what is not written yet. The caller passes it on to the cache (cache_add) or clears it (swapcache_free).

    Offset of the first << 16 | how many; 0 when the area has no room of that size, is being emptied, or is gone.
    """
    taken: uint64_t = 0
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        return 0
    run = cython.declare(Run)
    arch.mutex_lock(cython.address(area.lock))
    if (
        arch.load(cython.address(area.flags)) & SWP_WRITEOK
        and arch.load(cython.address(area.inuse)) + (1 << order) <= area.usable
        and cluster_take(area, order, want, cython.address(run))
    ):
        for slot in range(run.count << order):
            arch.check(area.map[run.offset + slot] == 0, b"a slot that is handed out was free")
            area.map[run.offset + slot] = 1 | SWAP_HAS_CACHE
        cluster_mark(area, run.offset, run.count << order)
        arch.add(cython.address(area.inuse), run.count << order)
        taken = run.offset << 16 | run.count
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return taken


def swap_duplicate(entry, slots):
    """One more reference to each slot. -ENOENT: gone or free; -ENOMEM: a continuation is needed first. Guard and lock: its own."""
    type = entry_type(entry)
    offset = entry_offset(entry)
    result = -ENOENT
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        return result
    arch.mutex_lock(cython.address(area.lock))
    if in_bounds(area, offset, slots):
        result = 0
        for k in range(slots):  # all or none: look first
            low = area.map[offset + k] & SWAP_MAP_BAD
            if low == SWAP_MAP_BAD or (low == 0 and not area.map[offset + k] & COUNT_CONTINUED):
                result = -ENOENT
                break
            if low == SWAP_MAP_MAX and not area.clusters[offset // CLUSTER_SLOTS].extra:
                result = -ENOMEM
                break
        if result == 0:
            for k in range(slots):
                if area.map[offset + k] & SWAP_MAP_BAD == SWAP_MAP_MAX:
                    area.clusters[offset // CLUSTER_SLOTS].extra[(offset + k) % CLUSTER_SLOTS] += CONTINUATION
                    area.map[offset + k] = (area.map[offset + k] - CONTINUATION) | COUNT_CONTINUED
                area.map[offset + k] += 1
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return result


def add_swap_count_continuation(entry, slots):
    """May block. Makes the table that swap_duplicate() asked for; -ENOMEM when there is no memory. Area gone: 0, try again."""
    type = entry_type(entry)
    offset = entry_offset(entry)
    table = cython.cast(cython.pointer(uint32_t), arch.table(CLUSTER_SLOTS, cython.sizeof(uint32_t)))
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        arch.table_free(table, False)
        return 0
    result = 0
    arch.mutex_lock(cython.address(area.lock))
    if in_bounds(area, offset, slots) and not area.clusters[offset // CLUSTER_SLOTS].extra:
        if table:
            area.clusters[offset // CLUSTER_SLOTS].extra = table
            table = cython.NULL
        else:
            result = -ENOMEM
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    arch.table_free(table, False)
    return result


def swap_free(entry, slots):
    """One reference less to each slot; a slot without any is free, unless the swap cache has it. 1 when the cache still does.

    The reference keeps the area on until it is dropped, the guard from then to the end of the look at the map (R12).
    """
    type = entry_type(entry)
    offset = entry_offset(entry)
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        arch.check(False, b"a reference keeps its area: swap_free() on an area that is off")
        return -EINVAL
    arch.mutex_lock(cython.address(area.lock))
    arch.check(in_bounds(area, offset, slots), b"an entry that is freed is in bounds")
    for k in range(slots):
        drop_one(area, offset + k)
    cached: cython.bint = cached_only(area, offset)
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return 1 if cached else 0


def cached_only(area, offset):
    """Does nobody but the swap cache have a slot? Caller: inside the guard, the area's lock; true no longer than that is held."""
    return area.map[offset] == SWAP_HAS_CACHE


def drop_one(area, offset):
    """A count falls by one, borrowing from the continuation. Caller: inside the guard, the area's lock."""
    value: cython.int = area.map[offset]
    low = value & SWAP_MAP_BAD
    arch.check(low != SWAP_MAP_BAD, b"a bad slot is never freed")
    if low == 0:
        arch.check(value & COUNT_CONTINUED != 0, b"a count never falls below zero")
        extra = cython.address(area.clusters[offset // CLUSTER_SLOTS].extra[offset % CLUSTER_SLOTS])
        extra[0] -= CONTINUATION
        value += CONTINUATION
        if extra[0] == 0:
            value &= ~COUNT_CONTINUED
    area.map[offset] = value - 1
    if area.map[offset] == 0:
        slot_release(area, offset)


def slot_release(area, offset):
    """A slot is free. Caller: inside the guard, the area's lock; it may have been the last in use, so swapoff may go on now."""
    store = store_at(area.store)
    if store.discard:
        store.discard(area.handle, offset)
    cluster_put(area, offset)
    arch.add(cython.address(area.inuse), -1)


def swap_count(entry):
    """References to the entry's slot, without the cache's; 0 when the area is gone. Guard and lock: its own (R06)."""
    type = entry_type(entry)
    offset = entry_offset(entry)
    count: cython.long = 0
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        return 0
    arch.mutex_lock(cython.address(area.lock))
    if in_bounds(area, offset, 1) and area.map[offset] & SWAP_MAP_BAD != SWAP_MAP_BAD:
        count = area.map[offset] & SWAP_MAP_BAD
        if area.map[offset] & COUNT_CONTINUED:
            count += area.clusters[offset // CLUSTER_SLOTS].extra[offset % CLUSTER_SLOTS]
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return count


def swap_has_cache(entry):
    """Does the swap cache own the entry's slot? Guard and lock: its own. A hint, unless the caller is the one who owns it."""
    type = entry_type(entry)
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        return False
    arch.mutex_lock(cython.address(area.lock))
    cached: cython.bint = in_bounds(area, entry_offset(entry), 1) and area.map[entry_offset(entry)] & SWAP_HAS_CACHE != 0
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return cached


def cached_slots(area, offset, slots):
    """How many of the slots the swap cache has. Caller: inside the guard, the area's lock."""
    cached: cython.int = 0
    if in_bounds(area, offset, slots):
        for k in range(slots):
            cached += area.map[offset + k] & SWAP_HAS_CACHE != 0
    return cached


def swapcache_prepare(entry, slots):
    """The swap cache takes the slots too. -EEXIST: it has one; -ENOENT: nobody refers to them any more, or the area is gone.
    Guard and lock: its own; the entry may be a stale one."""
    type = entry_type(entry)
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        return -ENOENT
    arch.mutex_lock(cython.address(area.lock))
    result = cache_flag_set(area, entry_offset(entry), slots)
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return result


def cache_flag_set(area, offset, slots):
    """swapcache_prepare() for one who holds the guard and the lock."""
    if not in_bounds(area, offset, slots):
        return -ENOENT
    for k in range(slots):
        value: cython.int = area.map[offset + k]
        if value & SWAP_HAS_CACHE:
            return -EEXIST
        if value == 0 or value == SWAP_MAP_BAD:
            return -ENOENT
    for k in range(slots):
        area.map[offset + k] |= SWAP_HAS_CACHE
    return 0


def swapcache_free(entry, slots):
    """The swap cache lets go; slots that nobody refers to are free then. HAS_CACHE keeps the area on until then, the guard after."""
    type = entry_type(entry)
    area: cython.pointer(Area) = guard.enter(type)
    if not area:
        arch.check(False, b"HAS_CACHE keeps its area: swapcache_free() on an area that is off")
        return -EINVAL
    arch.mutex_lock(cython.address(area.lock))
    cache_flag_clear(area, entry_offset(entry), slots)
    arch.mutex_unlock(cython.address(area.lock))
    guard.exit(type)
    return 0


def cache_flag_clear(area, offset, slots):
    """swapcache_free() for one who holds the guard and the lock."""
    for k in range(slots):
        arch.check(area.map[offset + k] & SWAP_HAS_CACHE != 0, b"the cache lets go of what it has")
        area.map[offset + k] &= ~SWAP_HAS_CACHE
        if area.map[offset + k] == 0:
            slot_release(area, offset + k)


def swap_map_picture(type, cells, count):
    """How full an area is, in ``count`` stretches of equal length: 0 no slot of it in use, 255 all, a byte each. False: it is off.
    Guard and lock: its own, for a stretch at a time; a hint."""
    there: cython.bint = True
    used: cython.bint = guard_use_mm(NO_MM)
    cell: cython.int = 0
    while there and cell < count:
        area: cython.pointer(Area) = guard.enter(type)
        there = area != cython.NULL
        if area:
            arch.mutex_lock(cython.address(area.lock))
            cells[cell] = fullness(area, area.slots * cell // count, area.slots * (cell + 1) // count)
            arch.mutex_unlock(cython.address(area.lock))
            guard.exit(type)
        cell += 1
    guard_unuse_mm(NO_MM, used)
    return there


def fullness(area, start, end):
    """Of the slots from ``start`` to before ``end``, bad ones apart. Caller: inside the guard, the area's lock."""
    good: uint64_t = 0
    used: uint64_t = 0
    slot: uint64_t = start
    while slot < end:
        number = slot // CLUSTER_SLOTS
        upto: uint64_t = (number + 1) * CLUSTER_SLOTS
        if upto > end:
            upto = end
        if area.clusters[number].used == 0:
            good += upto - slot
            slot = upto
        while slot < upto:
            value: cython.int = area.map[slot]
            if value & SWAP_MAP_BAD != SWAP_MAP_BAD:
                good += 1
                if value:
                    used += 1
            slot += 1
    return cython.cast(uint8_t, 1 + used * 254 // good) if used else 0


def swap_inuse(type):
    """Slots of an area with a count or in the cache. For the area's own swapoff, which nothing has to protect from itself."""
    return arch.load(cython.address(area_at(type).inuse))


for _row in range(AREAS):
    arch.mutex_mend(cython.address(areas[_row].lock), area_mend, _row)
