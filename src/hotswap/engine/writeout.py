"""Bytes go to new slots: the areas are tried best first, one that has no room, or fails, or does not want them, leaves it to the next.

Shared by those who write: reclaim, swapoff (into the other areas) and fork.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import area_at, area_rotate, area_write, areas_by_priority
from cython.cimports.hotswap.engine.entry import AREAS, make_entry
from cython.cimports.hotswap.engine.swap_map import swap_alloc, swap_free, swapcache_free
from cython.cimports.libc.errno import ENOSPC
from cython.cimports.libc.stdint import uint64_t


def swap_writeout(mm, addresses, count, order, first):
    """May block. Writes folios of one order, from the first on, to slots in a row; how many, 0 when no area takes any. ``first[0]`` is the
    entry of the first; each slot has a count of one and HAS_CACHE, for the caller to pass on (swap_alloc())."""
    types = cython.declare(cython.int[AREAS])
    for turn in range(areas_by_priority(types)):
        type = types[turn]
        taken = swap_alloc(type, order, count)
        if taken == 0:
            continue
        got = cython.cast(cython.int, taken & 0xFFFF)
        offset: uint64_t = taken >> 16
        # The slots that were just taken keep their area on.
        done = area_write(area_at(type), mm.index, addresses, got, cython.cast(uint64_t, 1) << order, offset)
        if done < 0 and done != -ENOSPC:
            arch.log_area(
                b"hotswap: area %s: writing at slot %llu failed with errno %llu; trying the next area",
                area_at(type).label,
                offset,
                -done,
            )
        if done < 0:
            done = 0
        if done < got:
            slots_drop(make_entry(type, offset + (cython.cast(uint64_t, done) << order)), (got - done) << order)
        if done:
            area_rotate(type, done << order)
            first[0] = make_entry(type, offset)
            return done
    return 0


def swap_writeout_parts(mm, address, pages, entries):
    """May block. Writes page by page, to wherever there is a slot; how many, from the first on, each with its entry. Each slot has a
    count of one and is not in the cache."""
    addresses = cython.declare(uint64_t[PARTS])
    first = cython.declare(uint64_t[1])
    done: cython.int = 0
    got: cython.int = 1
    while done < pages and got:
        part: cython.int = pages - done if pages - done < PARTS else PARTS
        for number in range(part):
            addresses[number] = address + (cython.cast(uint64_t, done + number) << 12)
        got = swap_writeout(mm, addresses, part, 0, first)
        if got:
            swapcache_free(first[0], got)
        for number in range(got):
            entries[done + number] = first[0] + number
        done += got
    return done


def slots_drop(entry, slots):
    """Gives back slots that were just taken and hold nothing."""
    swapcache_free(entry, slots)
    swap_free(entry, slots)
