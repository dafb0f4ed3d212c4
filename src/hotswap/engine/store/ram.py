"""Compressed RAM: slots whose bytes are packed and kept in memory, counted in the limits of those they belong to.

It is an area of its own (``ram:``), or stands in front of a file (front.py), whose slots it then keeps as long as they are warm.

``ram_write`` packs a folio in pieces of up to 64 KiB (packing.py), outside of any lock, and refuses what would not become a quarter
smaller: kept here it would gain nothing, so it goes to another area or stays where it is. ``ram_read`` unpacks into a frame.
``ram_discard`` drops a slot; a piece goes with its last slot and its last reader. Data that was refused all the time is hardly tried.

What is kept is charged to the address space that wrote it, unasked: its folio is uncharged right after, and was larger. No more
than three quarters of a limit are packed; the rest is left to work with. Near that, or near what the pool may take (``most``), a thread
is woken that writes the coldest back to where there is more room (engine/writeback.py). What is cold is known by stretches of 2 MiB of
slots, whose ``stamp`` is the time of the last write or read in them; a slot that was read since somebody looked is spared once.

Lock order: an area's ``lock``, then the pool's, which is held for moments only (a squeeze: one block's copy; a look for the coldest). What
is read or written is counted in its piece and its block meanwhile: so nothing moves or frees it. Under the pool's lock: ``held``, the
words before a piece, all of a hint but ``best``, ``clock``.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.mm import MMS, mm_at
from cython.cimports.hotswap.engine.store.charge import NOBODY, charge_packed, mm_near, pages_of, share_of, uncharge_packed
from cython.cimports.hotswap.engine.store.packing import (
    codec_give,
    codec_take,
    pack_piece,
    packed_at,
    unpack_part,
)
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
if arch.founder():
    for _row in range(AREAS):
        arch.mutex_init(cython.address(rams[_row].pool.lock))
        rams[_row].row = _row


def describe(store):
    store.read = ram_read
    store.write = ram_write
    store.discard = ram_discard


def ram_setup(type, slots, most):
    """Tables for ``slots`` slots and a pool of ``most`` pages of memory (0: as much as the limits allow); -ENOMEM. The area is not
    published yet."""
    ram = cython.address(rams[type])
    ram.slots = slots
    ram.fd = -1
    ram.buffer = 0
    ram.most = most if most and most < slots else slots
    ram.clock = 0
    ram.passed = 0
    arch.store(cython.address(ram.runs), 0)
    ram.held = cython.cast(cython.pointer(uint64_t), arch.table(slots, cython.sizeof(uint64_t)))
    ram.hints = cython.cast(cython.pointer(Hint), arch.table(slots // STRETCH + 1, cython.sizeof(Hint)))
    arch.store(cython.address(ram.refused), 0)
    arch.store(cython.address(ram.said), 0)
    arch.store(cython.address(ram.stored), 0)
    arch.store(cython.address(ram.packed), 0)
    arch.store(cython.address(ram.declined), 0)
    arch.store(cython.address(ram.backed), 0)
    arch.store(cython.address(ram.back), 0)
    arch.store(cython.address(ram.stop), 0)
    if not ram.held or not ram.hints or pool_setup(cython.address(ram.pool), ram.most << 12):
        ram_teardown(type, False)
        return -ENOMEM
    return 0


def ram_teardown(type, poison):
    """No slot is in use, nobody can come, and no thread writes back; or a setup that failed."""
    ram = cython.address(rams[type])
    arch.mutex_lock(cython.address(ram.pool.lock))  # against ram_disown()
    held = ram.held
    ram.held = cython.NULL
    ram.slots = 0
    pool_teardown(cython.address(ram.pool), poison)
    arch.mutex_unlock(cython.address(ram.pool.lock))
    arch.table_free(held, poison)
    hints = ram.hints
    ram.hints = cython.NULL
    arch.table_free(hints, poison)


def ram_stop(type):
    """May block. Ends the thread that writes back: before the area's guard is retired, as it may be inside. That says when it has ended, or who
    cleans up after its process (writeback_inherit()). Nobody joins it: whose it is may change at any moment."""
    ram = cython.address(rams[type])
    if not arch.load_acquire(cython.address(ram.runs)):
        return
    arch.store_release(cython.address(ram.stop), 1)
    arch.event_wake(cython.address(ram.pressure))
    while True:
        seen = arch.event_read(cython.address(ram.over))
        if not arch.load_acquire(cython.address(ram.runs)):
            return
        arch.event_wait(cython.address(ram.over), seen, -1)


def ram_write(type, mm, addresses, count, pages, slot, element):
    done: cython.int = 0
    while done < count and write_one(type, mm, addresses[done], pages, slot + done * pages, element):
        done += 1
    return done if done else -ENOSPC


def write_one(type, mm, address, pages, slot, element):
    """A folio, in pieces; false when one of them is refused. Those before it go with their slots."""
    at: uint64_t = 0
    while at < pages:
        slots: uint64_t = pages - at
        if slots > PIECE_SLOTS:
            slots = PIECE_SLOTS
        if not write_piece(type, mm, address + (at << 12), slots, slot + at, element):
            return False
        at += slots
    return True


def write_piece(type, mm, address, slots, slot, element):
    """False: it does not pack, or there is no room for it; nothing of it is kept."""
    ram = cython.address(rams[type])
    streak = arch.load(cython.address(ram.refused))
    if streak > STREAK and arch.add(cython.address(ram.refused), 1) & 15:
        arch.add(cython.address(ram.declined), slots)
        return False
    if not room_for(ram, mm):  # before the work of packing it
        arch.event_wake(cython.address(ram.pressure))
        return False
    codec = codec_take()
    hint = cython.address(ram.hints[slot // STRETCH].best)
    packed = pack_piece(codec, hint, address, cython.cast(cython.int, slots << 12), element)
    kept: cython.bint = False
    if packed:
        arch.store(cython.address(ram.refused), 0)
        kept = keep(ram, mm, codec, slots, slot, packed & 0xFFFFFF, packed >> 32)
    else:
        arch.add(cython.address(ram.refused), 1)
        arch.add(cython.address(ram.declined), slots)
    codec_give(codec)
    return kept


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
        arch.event_wake(cython.address(ram.pressure))
        return False
    pool_read(pool, place)
    object = pool_address(pool, place)
    arch.fill(object, META, meta_make(mm, slots, how, stored) + reader())
    ram.clock += 1
    for k in range(slots):
        ram.held[slot + k] = place << HELD_SHIFT | k
        ram.hints[(slot + k) // STRETCH].live += 1
        ram.hints[(slot + k) // STRETCH].stamp = ram.clock
    arch.mutex_unlock(cython.address(pool.lock))
    arch.copy(object + META, packed_at(codec), stored)
    arch.add(cython.address(ram.stored), slots << 12)
    arch.add(cython.address(ram.packed), stored)
    arch.mutex_lock(cython.address(pool.lock))
    unpin(ram, place)
    arch.mutex_unlock(cython.address(pool.lock))
    if ram_near(ram, HIGH):
        arch.event_wake(cython.address(ram.pressure))
    return True


def room_for(ram, mm):
    """Might a piece be kept? A hint."""
    if arch.load(cython.address(ram.pool.pages)) >= ram.most:
        return False
    space = mm_at(mm)
    return cython.cast(uint64_t, pages_of(arch.load(cython.address(space.packed)))) < share_of(mm)


def ram_near(ram, part):
    """Is the pool, or what some address space may have packed, filled to so many sixteenths?"""
    if arch.load(cython.address(ram.pool.pages)) * 16 > ram.most * part:
        return True
    near: cython.bint = False
    for index in range(MMS):
        near = near or mm_near(index, part)
    return near


def rams_wake():
    """Limits have changed: whoever writes back looks again."""
    for type in range(AREAS):
        arch.event_wake(cython.address(rams[type].pressure))


def ram_read(type, addresses, count, pages, slot):
    codec = codec_take()
    failed: cython.int = 0
    for k in range(count):
        done: uint64_t = 0
        while done < pages and not failed:
            got = read_piece(type, codec, addresses[k] + (done << 12), pages - done, slot + k * pages + done)
            if got <= 0:
                failed = -EIO
            else:
                done += got
    codec_give(codec)
    return failed


def read_piece(type, codec, address, pages, slot):
    """Unpacks the slots of one piece, from ``slot`` on and ``pages`` at most; how many. 0: the slot is not here; -EIO: what is stored
    cannot be unpacked."""
    ram = cython.address(rams[type])
    pool = cython.address(ram.pool)
    arch.mutex_lock(cython.address(pool.lock))
    held = ram.held[slot]
    place = held >> HELD_SHIFT
    if place == NOWHERE:
        arch.mutex_unlock(cython.address(pool.lock))
        return 0
    meta = pin(ram, place)
    part: uint64_t = held & HELD_PART
    take: uint64_t = (meta >> 8 & 255) - part
    if take > pages:
        take = pages
    ram.clock += 1
    ram.hints[slot // STRETCH].stamp = ram.clock
    for k in range(take):
        ram.held[slot + k] |= HELD_USED
    arch.mutex_unlock(cython.address(pool.lock))
    fits = unpack_pinned(ram, codec, place, meta, part, take, address)
    arch.mutex_lock(cython.address(pool.lock))
    unpin(ram, place)
    arch.mutex_unlock(cython.address(pool.lock))
    return cython.cast(cython.int, take) if fits else -EIO


def unpack_pinned(ram, codec, place, meta, part, take, address):
    """``take`` slots of a piece from its slot ``part`` on; false when that cannot be done."""
    source = pool_address(cython.address(ram.pool), place) + META
    bytes = cython.cast(cython.int, (meta >> 8 & 255) << 12)
    how = cython.cast(cython.int, meta >> 16 & 255)
    stored = cython.cast(cython.int, meta >> 32 & 0xFFFF)
    return unpack_part(codec, source, stored, how, bytes, part << 12, take << 12, address)


def pin(ram, place):
    """Keeps a piece in place, and there: what is said before it. Caller: the pool's lock."""
    pool_read(cython.address(ram.pool), place)
    object = pool_address(cython.address(ram.pool), place)
    meta = arch.first_word(object)
    arch.fill(object, META, meta + reader())
    return meta


def unpin(ram, place):
    """Caller: the pool's lock."""
    pool_unread(cython.address(ram.pool), place)
    object = pool_address(cython.address(ram.pool), place)
    meta = arch.first_word(object) - reader()
    arch.fill(object, META, meta)
    free_unused(ram, place, meta)


def reader():
    """One, as the words before a piece count them."""
    return cython.cast(uint64_t, 1) << META_READERS


def ram_discard(type, slot):
    ram = cython.address(rams[type])
    pool = cython.address(ram.pool)
    arch.mutex_lock(cython.address(pool.lock))
    drop_slot(ram, slot)
    arch.mutex_unlock(cython.address(pool.lock))


def drop_slot(ram, slot):
    """A slot lets its piece go. Caller: the pool's lock."""
    place = ram.held[slot] >> HELD_SHIFT
    ram.held[slot] = 0
    if place != NOWHERE:
        ram.hints[slot // STRETCH].live -= 1
        object = pool_address(cython.address(ram.pool), place)
        meta = arch.first_word(object) - META_LEFT
        if not meta >> 24 & 255 and meta >> META_READERS & 255:
            # A reader keeps it for a moment: it is nobody's now, as its owner may end before that.
            uncharge_packed(meta & 255, grains_for((meta >> 32 & 0xFFFF) + META))
            meta |= NOBODY
        arch.fill(object, META, meta)
        free_unused(ram, place, meta)


def free_unused(ram, place, meta):
    """A piece that no slot and no reader has goes. Caller: the pool's lock."""
    if meta >> 24 & 255 or meta >> META_READERS & 255:
        return
    pool = cython.address(ram.pool)
    stored: uint64_t = meta >> 32 & 0xFFFF
    grains = grains_for(stored + META)
    arch.add(cython.address(ram.stored), -cython.cast(int64_t, (meta >> 8 & 255) << 12))
    arch.add(cython.address(ram.packed), -cython.cast(int64_t, stored))
    uncharge_packed(meta & 255, grains)
    pool_give(pool, place)
    kind: cython.int = class_of[grains]
    if squeezable(pool, kind):
        pool_squeeze(pool, kind, moved, ram.row)


def moved(type, slot, old, place):
    """A piece whose first slot was ``slot`` lies elsewhere; slots of it that were freed since may be others' by now."""
    ram = cython.address(rams[type])
    slots: uint64_t = arch.first_word(pool_address(cython.address(ram.pool), place)) >> 8 & 255
    for k in range(slots):
        if ram.held[slot + k] >> HELD_SHIFT == old:
            ram.held[slot + k] = place << HELD_SHIFT | (ram.held[slot + k] & HELD_REST)


def ram_disown(type, mm):
    """An address space ends; what it wrote and others still refer to (snapshots) is charged to nobody. Looks at every slot."""
    ram = cython.address(rams[type])
    pool = cython.address(ram.pool)
    arch.mutex_lock(cython.address(pool.lock))
    if arch.load(cython.address(mm_at(mm).packed)):
        for slot in range(ram.slots):
            if ram.held[slot] >> HELD_SHIFT == NOWHERE:
                continue
            object = pool_address(pool, ram.held[slot] >> HELD_SHIFT)
            meta = arch.first_word(object)
            if meta & 255 == cython.cast(uint64_t, mm):
                uncharge_packed(mm, grains_for((meta >> 32 & 0xFFFF) + META))
                arch.fill(object, META, meta | NOBODY)
    arch.mutex_unlock(cython.address(pool.lock))


def meta_make(mm, slots, how, stored):
    """What stands before the bytes of a piece: who it is charged to, its slots, how it was packed, slots not yet freed, bytes (16 bits),
    readers (8 bits: fewer than there is scratch memory)."""
    return mm | slots << 8 | how << 16 | slots << 24 | stored << 32


# What is cold, for who writes back.


def ram_coldest(type):
    """The stretch of slots that was left alone the longest, of those that were not taken yet in this round; -1 at the round's end."""
    ram = cython.address(rams[type])
    best: cython.int = -1
    arch.mutex_lock(cython.address(ram.pool.lock))
    for number in range(cython.cast(cython.int, ram.slots // STRETCH) + 1):
        hint = cython.address(ram.hints[number])
        if hint.live and hint.stamp > ram.passed and (best < 0 or hint.stamp < ram.hints[best].stamp):
            best = number
    ram.passed = ram.hints[best].stamp if best >= 0 else 0
    arch.mutex_unlock(cython.address(ram.pool.lock))
    return best


def ram_spared(ram, slot, slots):
    """Was one of these slots read since this was asked last? Caller: the pool's lock."""
    used: uint64_t = 0
    for k in range(slots):
        used |= ram.held[slot + k] & HELD_USED
        ram.held[slot + k] &= ~cython.cast(uint64_t, HELD_USED)
    return used != 0
