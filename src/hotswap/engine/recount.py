"""The counts, the clusters and the cache's index of every area, made anew from the page tables and frames of the living.

For when a member of the family died and nobody knows what it had in hand (death.py). All are at rest. It takes as long as reading all page
tables and all counts once.

Lock order: ``family.counting``; an mm's ``frame_lock``, an area's lock.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import BUCKETS, CLUSTER_SLOTS, area_at
from cython.cimports.hotswap.engine.cluster import clusters_recount
from cython.cimports.hotswap.engine.entry import AREAS, entry_offset, entry_type
from cython.cimports.hotswap.engine.frames import standby_unlink
from cython.cimports.hotswap.engine.index import index_add
from cython.cimports.hotswap.engine.mm import (
    FRAME_READING,
    FRAME_READY,
    FRAME_STANDBY,
    MMS,
    PTE_CLEAN,
    PTE_KIND,
    PTE_SWAPPED,
    mm_at,
    pte_entry,
    pte_order,
)
from cython.cimports.hotswap.engine.mmap import rows
from cython.cimports.hotswap.engine.store.contract import store_at
from cython.cimports.hotswap.engine.store.ram_death import charges_begin, charges_end, ram_mend
from cython.cimports.hotswap.engine.swap_map import (
    CONTINUATION,
    COUNT_CONTINUED,
    SWAP_HAS_CACHE,
    SWAP_MAP_BAD,
    SWAP_MAP_MAX,
)
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t


def count_everything():
    """Every area's counts, from the page tables of the living. False: there is no memory to count in."""
    there: cython.bint = True
    for type in range(AREAS):
        area = area_at(type)
        work.references[type] = cython.cast(cython.pointer(uint32_t), cython.NULL)
        if area.map:
            work.references[type] = cython.cast(cython.pointer(uint32_t), arch.table(area.slots, cython.sizeof(uint32_t)))
            if not work.references[type]:
                there = False
    if there:
        for index in range(MMS):
            if arch.load_acquire(cython.address(rows[index])) and mm_at(index).ptes:
                count_space(mm_at(index))
        for type in range(AREAS):
            if work.references[type]:
                set_counts(type)
        for index in range(MMS):
            if arch.load_acquire(cython.address(rows[index])) and mm_at(index).frames:
                set_cached(mm_at(index))
        charges_begin()
        for type in range(AREAS):
            if work.references[type]:
                ram_mend(type, area_at(type).map)
        charges_end()
        for type in range(AREAS):
            if work.references[type]:
                settle_area(type)
    for type in range(AREAS):
        arch.table_free(work.references[type], False)
    return there


def count_space(mm):
    for number in range(mm.vma_count):
        page: uint64_t = mm.vmas[number].start
        end: uint64_t = page + mm.vmas[number].pages
        if mm.vmas[number].shm >= 0:
            page = end
        while page < end:
            state = arch.load(cython.address(mm.ptes[page].state))
            kind = state & PTE_KIND
            if kind == PTE_SWAPPED or kind == PTE_CLEAN:
                counts = work.references[entry_type(pte_entry(state))]
                offset = entry_offset(pte_entry(state))
                for k in range(1 << pte_order(state)):
                    counts[offset + k] += 1
            page += 1


def set_counts(type):
    """Counts as they were found, and nothing in the cache; slots that were in use and have no reference are noted as such."""
    area = area_at(type)
    counts = work.references[type]
    for slot in range(1, area.slots):
        old: cython.int = area.map[slot]
        if old != SWAP_MAP_BAD:
            set_count(area, slot, counts[slot])
            if old and not counts[slot]:
                counts[slot] = FREED
    for bucket in range(BUCKETS):
        area.buckets[bucket] = 0


def set_count(area, slot, count):
    """A count that a byte cannot hold has its table: it was counted up to there."""
    extra = area.clusters[slot // CLUSTER_SLOTS].extra
    value: uint32_t = count
    while value > SWAP_MAP_MAX:
        value -= CONTINUATION
    arch.check(value == count or extra != cython.NULL, b"a count that is continued has its table")
    if extra:
        extra[slot % CLUSTER_SLOTS] = count - value
    area.map[slot] = cython.cast(uint8_t, value if value == count else value | COUNT_CONTINUED)


def set_cached(mm):
    """What the living have in the cache is in it again, unless only the dead one referred to it. At rest nothing is being read."""
    arch.mutex_lock(cython.address(mm.frame_lock))
    for frame in range(mm.frame_count):
        record = cython.address(mm.frames[frame])
        if record.state == FRAME_STANDBY and area_at(entry_type(record.entry)).map[entry_offset(record.entry)] == 0:
            standby_unlink(mm, frame)
            record.state = FRAME_READY
            record.next = mm.pools[record.level].ready_head
            mm.pools[record.level].ready_head = frame
        elif record.state == FRAME_STANDBY or record.state == FRAME_READING:
            area = area_at(entry_type(record.entry))
            for k in range(record.slots):
                area.map[entry_offset(record.entry) + k] |= SWAP_HAS_CACHE
            index_add(area, mm, frame)
    arch.mutex_unlock(cython.address(mm.frame_lock))


def settle_area(type):
    """Clusters and figures to match; slots that are free now are told to the store."""
    area = area_at(type)
    counts = work.references[type]
    used: uint64_t = 0
    arch.mutex_lock(cython.address(area.lock))
    for slot in range(1, area.slots):
        value: cython.int = area.map[slot]
        if value and value != SWAP_MAP_BAD:
            used += 1
        elif not value and counts[slot] == FREED and store_at(area.store).discard:
            store_at(area.store).discard(area.handle, slot)
    clusters_recount(area)
    arch.store(cython.address(area.inuse), used)
    arch.mutex_unlock(cython.address(area.lock))
