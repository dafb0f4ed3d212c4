"""Compressed RAM: slots whose bytes are packed and kept in memory, counted in the limits of those they belong to.

``ram_write`` packs a folio in pieces of up to 64 KiB, outside of any lock, and refuses what would not become a quarter smaller:
kept here it would gain nothing, so it goes to another area or stays where it is. ``ram_read`` unpacks into a frame.
``ram_discard`` frees a piece with its last slot.

How a piece is packed is chosen by trying every way on its first page, and kept for what comes to the same 2 MiB of slots, which
neighbours in memory share: arrays are of one kind over long stretches. Data that was refused all the time is hardly tried.

What is kept is charged to the address space that wrote it, unasked: its folio is uncharged right after, and was larger. No more
than three quarters of a limit are packed; the rest is left to work with.

Lock order: an area's ``lock``, then the pool's, which is held for moments only (a squeeze: one block's copy). What is read or
written lies in a block that is marked as read meanwhile, so nothing moves it.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.mm import mm_at
from cython.cimports.hotswap.engine.store.pool import (
    NOWHERE,
    class_of,
    grains_for,
    pool_address,
    pool_give,
    pool_read,
    pool_setup,
    pool_squeeze,
    pool_take,
    pool_teardown,
    pool_unread,
    squeezable,
)
from cython.cimports.libc.errno import EIO, ENOMEM, ENOSPC
from cython.cimports.libc.stdint import int64_t, uint64_t

rams = cython.cast(cython.pointer(Ram), arch.table(AREAS, cython.sizeof(Ram)))
scratches = arch.reserve(cython.cast(uint64_t, CODECS) * arch.PACK_SCRATCH)
for _row in range(AREAS):
    arch.mutex_init(cython.address(rams[_row].pool.lock))
# Filters and the sizes of elements that they are for; what is cheaper to undo stands first and wins a draw.
ways[0] = arch.PACK_PLAIN
ways[1] = arch.PACK_BYTES + 4
ways[2] = arch.PACK_BYTES + 8
ways[3] = arch.PACK_BITS + 4
ways[4] = arch.PACK_BITS + 8
ways[5] = arch.PACK_BITS + 2


def describe(store):
    store.read = ram_read
    store.write = ram_write
    store.discard = ram_discard


def ram_setup(type, slots):
    """Tables for ``slots`` slots; -ENOMEM. The area is not published yet."""
    ram = cython.address(rams[type])
    ram.slots = slots
    ram.held = cython.cast(cython.pointer(uint64_t), arch.table(slots, cython.sizeof(uint64_t)))
    ram.hints = cython.cast(cython.pointer(Hint), arch.table((slots >> 9) + 1, cython.sizeof(Hint)))
    arch.store(cython.address(ram.refused), 0)
    arch.store(cython.address(ram.stored), 0)
    if not ram.held or not ram.hints or pool_setup(cython.address(ram.pool), slots << 12):
        ram_teardown(type, False)
        return -ENOMEM
    return 0


def ram_teardown(type, poison):
    """No slot is in use, nobody can come; or a setup that failed."""
    ram = cython.address(rams[type])
    arch.mutex_lock(cython.address(ram.pool.lock))  # against ram_disown()
    held = ram.held
    ram.held = cython.NULL
    ram.slots = 0
    pool_teardown(cython.address(ram.pool), poison)
    arch.mutex_unlock(cython.address(ram.pool.lock))
    arch.table_free(held, poison)
    arch.table_free(ram.hints, poison)
    ram.hints = cython.NULL


def ram_write(type, mm, addresses, count, pages, slot):
    codec = codec_take()
    done: cython.int = 0
    while done < count and write_one(type, mm, codec, addresses[done], pages, slot + done * pages):
        done += 1
    codec_give(codec)
    return done if done else -ENOSPC


def write_one(type, mm, codec, address, pages, slot):
    """A folio, in pieces; false when one of them is refused. Those before it go with their slots."""
    at: uint64_t = 0
    while at < pages:
        slots: uint64_t = pages - at
        if slots > PIECE_SLOTS:
            slots = PIECE_SLOTS
        if not write_piece(type, mm, codec, address + (at << 12), slots, slot + at):
            return False
        at += slots
    return True


def write_piece(type, mm, codec, address, slots, slot):
    ram = cython.address(rams[type])
    streak = arch.load(cython.address(ram.refused))
    if streak > STREAK and arch.add(cython.address(ram.refused), 1) & 15:
        return False
    way = way_for(ram, codec, address, slots, slot)
    bytes = cython.cast(cython.int, slots << 12)
    stored: cython.int = 0
    if way >= 0:
        stored = arch.pack(scratch_of(codec), address, bytes, ways[way], bytes - bytes // 4)
    if stored == 0:
        arch.store(cython.address(ram.hints[slot >> 9].best), 0)
        arch.add(cython.address(ram.refused), 1)
        return False
    arch.store(cython.address(ram.refused), 0)
    return keep(ram, mm, codec, slots, slot, stored, ways[way])


def way_for(ram, codec, address, slots, slot):
    """The way to pack a piece; -1 when none makes a quarter of its first page go."""
    hint = cython.address(ram.hints[slot >> 9].best)  # of two who write at one time, one may not be counted
    known = arch.load(hint)
    if known:
        arch.store(hint, known - 1 if known & 255 else 0)
        return cython.cast(cython.int, (known >> 8) - 1)
    best: cython.int = -1
    least: cython.int = SAMPLE - SAMPLE // 4
    for way in range(WAYS):
        stored = arch.pack(scratch_of(codec), address, SAMPLE, ways[way], least - 1)
        if stored:
            best = way
            least = stored
    if best >= 0:
        arch.store(hint, cython.cast(uint64_t, best + 1) << 8 | ASK_ANEW)
    return best


def keep(ram, mm, codec, slots, slot, stored, how):
    """Puts what was packed into the pool."""
    pool = cython.address(ram.pool)
    grains = grains_for(stored + META)
    arch.mutex_lock(cython.address(pool.lock))
    place: uint64_t = NOWHERE
    if charge_packed(mm, grains):
        place = pool_take(pool, grains, slot)
        if place == NOWHERE:
            uncharge_packed(mm, grains)
    if place == NOWHERE:
        arch.mutex_unlock(cython.address(pool.lock))
        return False
    pool_read(pool, place)
    object = pool_address(pool, place)
    arch.fill(object, META, meta_make(mm, slots, how, stored))
    for k in range(slots):
        ram.held[slot + k] = place << 8 | k
    arch.mutex_unlock(cython.address(pool.lock))
    arch.copy(object + META, arch.packed(scratch_of(codec)), stored)
    arch.add(cython.address(ram.stored), slots << 12)
    arch.mutex_lock(cython.address(pool.lock))
    pool_unread(pool, place)
    arch.mutex_unlock(cython.address(pool.lock))
    return True


def charge_packed(mm, grains):
    """Counts memory in, to an address space that gives up more right after; not beyond its share."""
    space = mm_at(mm)
    packed = arch.add(cython.address(space.packed), grains)
    budget = arch.load(cython.address(space.budget))
    if cython.cast(uint64_t, pages_of(packed)) > budget - budget // RAM_SHARE:
        arch.add(cython.address(space.packed), -grains)
        return False
    arch.add(cython.address(space.resident), pages_of(packed) - pages_of(packed - grains))
    return True


def uncharge_packed(mm, grains):
    if mm == NOBODY:
        return
    space = mm_at(mm)
    packed = arch.add(cython.address(space.packed), -grains)
    change = pages_of(packed + grains) - pages_of(packed)
    if change:
        arch.add(cython.address(space.resident), -change)
        arch.event_wake(cython.address(space.relief))


def pages_of(grains):
    return cython.cast(int64_t, (grains + 63) >> 6)


def ram_read(type, addresses, count, pages, slot):
    ram = cython.address(rams[type])
    codec = codec_take()
    failed: cython.int = 0
    for k in range(count):
        done: uint64_t = 0
        while done < pages and not failed:
            got = read_piece(ram, codec, addresses[k] + (done << 12), pages - done, slot + k * pages + done)
            if got == 0:
                failed = -EIO
            done += got
    codec_give(codec)
    return failed


def read_piece(ram, codec, address, pages, slot):
    """Unpacks the slots of one piece, from ``slot`` on and ``pages`` at most; how many, 0 when that cannot be done."""
    pool = cython.address(ram.pool)
    arch.mutex_lock(cython.address(pool.lock))
    held = ram.held[slot]
    place = held >> 8
    if place == NOWHERE:
        arch.mutex_unlock(cython.address(pool.lock))
        return 0
    object = pool_address(pool, place)
    meta = arch.first_word(object)
    pool_read(pool, place)
    arch.mutex_unlock(cython.address(pool.lock))
    part: uint64_t = held & 255
    slots: uint64_t = meta >> 8 & 255
    stored = cython.cast(cython.int, meta >> 32)
    how = cython.cast(cython.int, meta >> 16 & 255)
    bytes = cython.cast(cython.int, slots << 12)
    take: uint64_t = slots - part
    if take > pages:
        take = pages
    failed: cython.int = 0
    if take == slots:
        failed = arch.unpack(scratch_of(codec), object + META, stored, address, bytes, how)
    else:
        whole = arch.packed(scratch_of(codec))
        failed = arch.unpack(scratch_of(codec), object + META, stored, whole, bytes, how)
        if not failed:
            arch.copy(address, whole + (part << 12), take << 12)
    arch.mutex_lock(cython.address(pool.lock))
    pool_unread(pool, place)
    arch.mutex_unlock(cython.address(pool.lock))
    return 0 if failed else take


def ram_discard(type, slot):
    ram = cython.address(rams[type])
    pool = cython.address(ram.pool)
    arch.mutex_lock(cython.address(pool.lock))
    place = ram.held[slot] >> 8
    ram.held[slot] = 0
    if place != NOWHERE:
        object = pool_address(pool, place)
        meta = arch.first_word(object)
        left: uint64_t = (meta >> 24 & 255) - 1
        arch.fill(object, META, meta - (1 << 24))
        if left == 0:
            grains = grains_for((meta >> 32) + META)
            arch.add(cython.address(ram.stored), -cython.cast(int64_t, (meta >> 8 & 255) << 12))
            uncharge_packed(meta & 255, grains)
            pool_give(pool, place)
            kind: cython.int = class_of[grains]
            if squeezable(pool, kind):
                pool_squeeze(pool, kind, moved, type)
    arch.mutex_unlock(cython.address(pool.lock))


def moved(type, slot, old, place):
    """A piece whose first slot was ``slot`` lies elsewhere; slots of it that were freed since may be others' by now."""
    ram = cython.address(rams[type])
    slots: uint64_t = arch.first_word(pool_address(cython.address(ram.pool), place)) >> 8 & 255
    for k in range(slots):
        if ram.held[slot + k] >> 8 == old:
            ram.held[slot + k] = place << 8 | (ram.held[slot + k] & 255)


def ram_disown(type, mm):
    """An address space ends; what it wrote and others still refer to (snapshots) is charged to nobody. Looks at every slot."""
    ram = cython.address(rams[type])
    pool = cython.address(ram.pool)
    arch.mutex_lock(cython.address(pool.lock))
    if arch.load(cython.address(mm_at(mm).packed)):
        for slot in range(ram.slots):
            if ram.held[slot] >> 8 == NOWHERE:
                continue
            object = pool_address(pool, ram.held[slot] >> 8)
            meta = arch.first_word(object)
            if meta & 255 == cython.cast(uint64_t, mm):
                uncharge_packed(mm, grains_for((meta >> 32) + META))
                arch.fill(object, META, meta | NOBODY)
    arch.mutex_unlock(cython.address(pool.lock))


def meta_make(mm, slots, how, stored):
    """What stands before the bytes of a piece: who it is charged to, its slots, how it was packed, slots not yet freed, bytes."""
    return mm | slots << 8 | how << 16 | slots << 24 | stored << 32


def codec_take():
    """Scratch memory of one's own; whoever has it lets go of it without waiting for anybody."""
    while True:
        for number in range(CODECS):
            if arch.cas(cython.address(codecs[number]), 0, 1):
                return number
        arch.yield_cpu()


def codec_give(codec):
    arch.store_release(cython.address(codecs[codec]), 0)


def scratch_of(codec):
    return scratches + cython.cast(uint64_t, codec) * arch.PACK_SCRATCH
