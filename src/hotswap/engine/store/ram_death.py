"""Compressed RAM after a process has died, perhaps in the middle of it: what slots hold stays, all else is made anew from that.

The first who has a pool's lock after one who died with it makes lists, holes and counts of the pool anew (``pool_mend``), from what stands
before each object: is it taken? What the dead one had not got round to naming, or to giving back, stays taken until all is counted, and so do
pieces that he read: at worst they take room.

``ram_mend`` is called with everybody at rest (death.py): nobody packs, unpacks or reads, so no piece has a reader, and one that no slot in use
names is nobody's. Whatever was cut short, a piece that is named is whole: ``keep()`` names it before its bytes are there, but the slot is in
nobody's page table then, and so not in use; a squeeze copies before it names the copy, and gives the old one back after.

Lock order: the pool's lock, as in ram.py.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.mm import MMS, mm_at
from cython.cimports.hotswap.engine.store.charge import pages_of
from cython.cimports.hotswap.engine.store.pool import (
    BLOCK_GRAINS,
    BLOCK_SHIFT,
    CLASSES,
    HEAD,
    NIL,
    NOWHERE,
    class_grains,
    count_pages,
    grains_for,
    object_at,
    pool_address,
    room_link,
)
from cython.cimports.hotswap.engine.store.ram import HELD_SHIFT, META, META_LEFT, META_READERS, STRETCH, rams
from cython.cimports.hotswap.engine.swap_map import SWAP_MAP_BAD
from cython.cimports.libc.stdint import uint64_t


def charges_begin():
    for index in range(MMS):
        charges.grains[index] = 0


def charges_end():
    """What address spaces have packed, and so in memory, is what was found."""
    for index in range(MMS):
        mm = mm_at(index)
        before = arch.load(cython.address(mm.packed))
        arch.store(cython.address(mm.packed), charges.grains[index])
        arch.add(cython.address(mm.resident), pages_of(charges.grains[index]) - pages_of(before))


def ram_mend(type, map):
    """An area whose counts are right again; ``map`` is its map."""
    ram = cython.address(rams[type])
    if not ram.held:
        return
    arch.mutex_lock(cython.address(ram.pool.lock))
    forget_pieces(cython.address(ram.pool))
    name_pieces(ram, map)
    count_pieces(ram)
    pool_mend(cython.address(ram.pool))
    arch.mutex_unlock(cython.address(ram.pool.lock))


def forget_pieces(pool):
    """No piece has a slot or a reader."""
    mask: uint64_t = cython.cast(uint64_t, 255) * META_LEFT | cython.cast(uint64_t, 255) << META_READERS
    for number in range(pool.taken):
        if pool.block[number].kind == NIL:
            continue
        pool.block[number].readers = 0
        for index in range(pool.block[number].mark):
            at = object_at(pool, number, index)
            if arch.first_word(at) & 1:
                arch.fill(at + HEAD, META, arch.first_word(at + HEAD) & ~mask)


def name_pieces(ram, map):
    """Each slot in use names its piece."""
    for number in range(cython.cast(cython.int, ram.slots // STRETCH) + 1):
        ram.hints[number].live = 0
    for slot in range(ram.slots):
        place = ram.held[slot] >> HELD_SHIFT
        if place == NOWHERE:
            continue
        if map[slot] == 0 or map[slot] == SWAP_MAP_BAD:
            ram.held[slot] = 0
            continue
        object = pool_address(cython.address(ram.pool), place)
        arch.check(arch.first_word(object - HEAD) & 1 != 0, b"a slot in use has its piece")
        arch.fill(object, META, arch.first_word(object) + META_LEFT)
        ram.hints[slot // STRETCH].live += 1


def count_pieces(ram):
    """Those that no slot names are given back; what the others take, and for whom."""
    pool = cython.address(ram.pool)
    arch.store(cython.address(ram.stored), 0)
    arch.store(cython.address(ram.packed), 0)
    for number in range(pool.taken):
        if pool.block[number].kind == NIL:
            continue
        for index in range(pool.block[number].mark):
            at = object_at(pool, number, index)
            meta = arch.first_word(at + HEAD)
            if arch.first_word(at) & 1 == 0:
                continue
            if not meta // META_LEFT & 255:
                arch.fill(at, HEAD, 0)
                continue
            stored: uint64_t = meta >> 32 & 0xFFFF
            arch.add(cython.address(ram.stored), (meta >> 8 & 255) << 12)
            arch.add(cython.address(ram.packed), stored)
            if meta & 255 < MMS:
                charges.grains[meta & 255] += grains_for(stored + META)


def pool_cut(type):
    """Under a pool's lock, whose holder died. There are readers, and what they count stays."""
    pool = cython.address(rams[type].pool)
    if pool.memory and pool.block:
        pool_mend(pool)


def pool_mend(pool):
    """Caller: the pool's lock."""
    pool.free = NIL
    for kind in range(CLASSES):
        pool.room[kind] = NIL
        pool.objects[kind] = 0
        pool.places[kind] = 0
    arch.store(cython.address(pool.pages), 0)
    for number in range(pool.taken):
        block = cython.address(pool.block[number])
        if block.kind != NIL and block_mend(pool, number):
            if block.used < BLOCK_GRAINS // class_grains[block.kind]:
                room_link(pool, number)
        else:
            if block.kind != NIL:
                arch.table_punch(
                    pool.memory + (cython.cast(uint64_t, number) << BLOCK_SHIFT), cython.cast(uint64_t, 1) << BLOCK_SHIFT
                )
            block.kind = NIL
            block.next = pool.free
            pool.free = number


def block_mend(pool, number):
    """Its objects, and the list of its holes; how many objects."""
    block = cython.address(pool.block[number])
    mark: cython.int = block.mark
    block.mark = 0
    block.used = 0
    block.free = 0
    for index in range(mark):
        at = object_at(pool, number, index)
        block.mark += 1
        count_pages(pool, block, 1)
        if arch.first_word(at) & 1:
            block.used += 1
        else:
            arch.fill(at, HEAD, cython.cast(uint64_t, block.free) << 1)
            block.free = index + 1
    if block.used:
        pool.objects[block.kind] += block.used
        pool.places[block.kind] += block.mark
    else:
        count_pages(pool, block, -1)
    return block.used


for _row in range(AREAS):
    arch.mutex_mend(cython.address(rams[_row].pool.lock), pool_cut, _row)
