"""Bytes go to new slots: the areas are tried best first, one that has no room, or fails, or does not want them, leaves it to the next.

Shared by those who write: reclaim, swapoff (into the other areas), fork, and what writes compressed RAM back (to areas behind it).
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import area_at, area_rotate, area_write, areas_by_priority
from cython.cimports.hotswap.engine.entry import AREAS, make_entry
from cython.cimports.hotswap.engine.mm import element_at
from cython.cimports.hotswap.engine.store.contract import STORE_FILE, STORE_RAM
from cython.cimports.hotswap.engine.store.ram import HIGH, rams
from cython.cimports.hotswap.engine.swap_map import swap_alloc, swap_free, swapcache_free
from cython.cimports.libc.errno import EAGAIN, ENOSPC
from cython.cimports.libc.stdint import uint64_t


def swap_writeout(mm, page, addresses, count, order, unit, first):
    """May block. Writes pieces of one order, from the first on, to slots in a row, taken as folios of order ``unit`` have them; how many pieces, of
    whole units only, 0 when no area takes any, -EAGAIN when one may take them later (store contract). ``page`` is where the first of them belongs. ``first[0]`` is the entry of the first; each slot has a count of one and HAS_CACHE, for the caller to
    pass on (swap_alloc())."""
    types = cython.declare(cython.int[AREAS])
    unwanted: cython.int = -1
    none: cython.int = 0
    for turn in range(areas_by_priority(types)):
        type = types[turn]
        done = write_to(type, mm, page, addresses, count, order, unit, first, True)
        if done > 0:
            return done
        if done == -EAGAIN:
            none = done
        if done == -ENOSPC:
            unwanted = type
    if unwanted >= 0 and not arch.swap(cython.address(rams[unwanted].said), 1):
        arch.log(
            b"hotswap: space %llu: what leaves memory does not compress, or its share of the limit for compressed memory is used up, "
            b"and there is no room in a file: add an area with one (%llu pages so far did not compress)",
            mm.index,
            arch.load(cython.address(rams[unwanted].declined)),
            0,
        )
    return none


def swap_writeback(type, mm, page, addresses, count, order, first):
    """May block. The same, into areas that come behind area ``type`` and are no compressed RAM themselves."""
    types = cython.declare(cython.int[AREAS])
    behind: cython.bint = False
    for turn in range(areas_by_priority(types)):
        if behind:
            done = write_to(types[turn], mm, page, addresses, count, order, order, first, False)
            if done > 0:
                return done
        behind = behind or types[turn] == type
    return 0


def write_to(type, mm, page, addresses, count, order, unit, first, ram_too):
    """May block. How many pieces one area took; 0: it has no room, or failed; -ENOSPC: it is compressed RAM and would rather not; -EAGAIN: not
    now."""
    parts: cython.int = unit - order
    taken = swap_alloc(type, unit, count >> parts)
    if taken == 0:
        return 0
    got = cython.cast(cython.int, taken & 0xFFFF) << parts
    offset: uint64_t = taken >> 16
    # The slots that were just taken keep their area on.
    area = area_at(type)
    packs: cython.bint = area.store == STORE_RAM
    element: cython.int = element_at(mm, page) if area.store != STORE_FILE else 0
    done: cython.int = -ENOSPC
    # Now, not when they are written: whoever writes meanwhile goes to an equal.
    area_rotate(type, got << order)
    if ram_too or not packs:
        done = area_write(area, mm.index, addresses, got, cython.cast(uint64_t, 1) << order, offset, element)
    if packs and arch.load(cython.address(area.inuse)) * 16 > area.usable * HIGH:
        arch.event_wake(cython.address(rams[type].pressure))
    if done < 0 and done != -EAGAIN and not (packs and done == -ENOSPC):
        arch.log_area(
            b"hotswap: area %s: writing at slot %llu failed with errno %llu; trying the next area",
            area.label,
            offset,
            -done,
        )
    kept: cython.int = done >> parts << parts if done > 0 else 0
    if kept < got:
        slots_drop(make_entry(type, offset + (cython.cast(uint64_t, kept) << order)), (got - kept) << order)
    if kept:
        first[0] = make_entry(type, offset)
        return kept
    return done if done == -EAGAIN or (packs and done == -ENOSPC) else 0


def swap_writeout_parts(mm, page, address, pages, entries):
    """May block. Writes page by page, to wherever there is a slot; how many, from the first on, each with its entry; -EAGAIN as above. Each
    slot has a count of one and is not in the cache."""
    addresses = cython.declare(uint64_t[PARTS])
    first = cython.declare(uint64_t[1])
    done: cython.int = 0
    got: cython.int = 1
    while done < pages and got > 0:
        part: cython.int = pages - done if pages - done < PARTS else PARTS
        for number in range(part):
            addresses[number] = address + (cython.cast(uint64_t, done + number) << 12)
        got = swap_writeout(mm, page + done, addresses, part, 0, 0, first)
        if got > 0:
            swapcache_free(first[0], got)
            for number in range(got):
                entries[done + number] = first[0] + number
            done += got
    return done if done else got


def slots_drop(entry, slots):
    """Gives back slots that were just taken and hold nothing."""
    swapcache_free(entry, slots)
    swap_free(entry, slots)
