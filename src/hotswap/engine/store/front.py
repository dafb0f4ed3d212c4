"""Compressed RAM in front of a file, as zswap is in front of the kernel's areas: ``compressed=`` of a swapon.

The slots are the file's. What packs well is kept in memory under its slot's number (ram.py), the rest goes to its slots in the file at
once; a read takes each slot from where it is. So nothing but this store knows of it: entries, counts, guards and swapoff stay as they
are with the file alone, and no page-table entry changes when something is written back.

Writing back, by the area's one thread (engine/writeback.py): ``front_back`` takes the stretch of 2 MiB of slots that was left alone the
longest, unpacks what of it is held and was not read of late, writes it to the file in runs as long as its slots are in a row, and only then
drops it from memory. Meanwhile it is found in memory as before.

A slot may be freed, taken again and written anew while its old bytes are on their way to the file. New bytes that stay in memory do not
mind: what is dropped at the end is the old piece, if it is still the slot's. New bytes for the file wait until the old ones
have landed (``front_settled``); they could be overtaken otherwise.

Who waits: readers for nobody; writers, of bytes that do not pack, for a stretch's transfer, if theirs is in that stretch, and not while
everybody is asked to rest: the thread may be that of a process that was killed, and who cleans up after it needs what they have locked. The
thread waits for nobody but the disk, and holds scratch memory only while it unpacks.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.family import family
from cython.cimports.hotswap.engine.mm import MM_NIL
from cython.cimports.hotswap.engine.store.charge import NOBODY, mm_near
from cython.cimports.hotswap.engine.store.file import file_read, file_write
from cython.cimports.hotswap.engine.store.packing import codec_give, codec_take
from cython.cimports.hotswap.engine.store.pool import NOWHERE
from cython.cimports.hotswap.engine.store.ram import (
    HELD_SHIFT,
    LOW,
    META_READERS,
    PIECE_SLOTS,
    STRETCH,
    drop_slot,
    pin,
    ram_coldest,
    ram_discard,
    ram_setup,
    ram_spared,
    rams,
    read_piece,
    unpack_pinned,
    unpin,
    write_piece,
)
from cython.cimports.libc.errno import EAGAIN, ENOMEM
from cython.cimports.libc.stdint import uint64_t


def describe(store):
    store.read = front_read
    store.write = front_write
    store.discard = ram_discard


def front_setup(type, fd, slots, most):
    """Tables as of ram_setup(), in front of the file ``fd``; -ENOMEM."""
    failed = ram_setup(type, slots, most)
    if failed:
        return failed
    rams[type].fd = fd
    return 0


def front_write(type, mm, addresses, count, pages, slot, element):
    """What packs is kept; then the rest, pieces in a row together, goes to the file."""
    size: uint64_t = pages if pages < PIECE_SLOTS else PIECE_SLOTS
    arch.check(pages % size == 0, b"folios are powers of two")
    for k in range(count):
        part: uint64_t = 0
        while part < pages:
            write_piece(type, mm, addresses[k] + (part << 12), size, slot + k * pages + part, element)
            part += size
    pieces = cython.declare(uint64_t[OUT_PIECES])
    gathered: cython.int = 0
    start: uint64_t = slot
    for k in range(count):
        done: uint64_t = 0
        while done < pages:
            at: uint64_t = slot + k * pages + done
            out: cython.bint = not is_held(type, at)  # or written back already: then the same bytes are written again
            if gathered and (not out or gathered == OUT_PIECES):
                failed = write_through(type, pieces, gathered, size, start)
                if failed:
                    return written_before(start, slot, pages, failed)
                gathered = 0
            if out:
                if gathered == 0:
                    start = at
                pieces[gathered] = addresses[k] + (done << 12)
                gathered += 1
            done += size
    if gathered:
        failed = write_through(type, pieces, gathered, size, start)
        if failed:
            return written_before(start, slot, pages, failed)
    return count


def written_before(start, slot, pages, failed):
    """Folios before the one in which a transfer to slot ``start`` failed; or why, when that was the first."""
    whole = cython.cast(cython.int, (start - slot) // pages)
    return whole if whole else failed


def write_through(type, pieces, count, size, start):
    """May block. Pieces to slots in a row of the file, behind what may still be on its way there. -EAGAIN: that is not waited for."""
    ram = cython.address(rams[type])
    if not front_settled(ram, start, start + count * size):
        return -EAGAIN
    done = file_write(ram.row, MM_NIL, pieces, count, size, start, 0)
    return done if done < 0 else 0


def front_settled(ram, start, end):
    """May block. Until nothing old is on its way to slots from ``start`` to before ``end``. They are the caller's and hold nothing in
    memory, so nothing will set out. False: it may be a process's that died, and everybody is asked to rest."""
    while True:
        seen = arch.event_read(cython.address(ram.settled))
        back = arch.load_acquire(cython.address(ram.back))  # pairs with the release in front_back()
        if back == 0 or back - 1 < start // STRETCH or back - 1 > (end - 1) // STRETCH:
            return True
        if arch.load_acquire(cython.address(family.rest)) & 1:
            return False
        arch.event_wait(cython.address(ram.settled), seen, 10000)


def front_read(type, addresses, count, pages, slot):
    """Each slot from where it is. Who reads has the slots, so what is in the file stays there; what is in memory may go to the file."""
    ram = cython.address(rams[type])
    if bare_run(ram, slot, count * pages) == count * pages:
        return file_read(ram.row, addresses, count, pages, slot)
    piece = cython.declare(uint64_t[1])
    failed: cython.int = 0
    for k in range(count):
        done: uint64_t = 0
        while done < pages and not failed:
            at: uint64_t = slot + k * pages + done
            run = bare_run(ram, at, pages - done)
            if run:
                piece[0] = addresses[k] + (done << 12)
                failed = file_read(ram.row, piece, 1, run, at)
                done += run
                continue
            codec = codec_take()
            got = read_piece(type, codec, addresses[k] + (done << 12), pages - done, at)
            codec_give(codec)
            if got < 0:
                failed = got
            else:
                done += got  # 0: it was written back in between, and is looked for again
    return failed


def is_held(type, slot):
    ram = cython.address(rams[type])
    arch.mutex_lock(cython.address(ram.pool.lock))
    held: cython.bint = ram.held[slot] >> HELD_SHIFT != NOWHERE
    arch.mutex_unlock(cython.address(ram.pool.lock))
    return held


def bare_run(ram, slot, most):
    """Slots from ``slot`` on that are in the file."""
    run: uint64_t = 0
    arch.mutex_lock(cython.address(ram.pool.lock))
    while run < most and ram.held[slot + run] >> HELD_SHIFT == NOWHERE:
        run += 1
    arch.mutex_unlock(cython.address(ram.pool.lock))
    return run


def front_back(type):
    """May block. Writes one cold stretch back; pages, 0 when there was nothing to be written in all of them, -errno of the disk. Only the
    area's own thread may."""
    ram = cython.address(rams[type])
    done: cython.int = 0
    turns: cython.int = 0
    if not ram.buffer:
        ram.buffer = arch.reserve(cython.cast(uint64_t, STRETCH) << 12)
        if not ram.buffer:
            return -ENOMEM
    while done == 0 and turns < 2:
        number = ram_coldest(type)
        if number < 0:
            turns += 1  # what was spared in the first turn is not in the second
            continue
        arch.store(cython.address(ram.back), number + 1)
        done = back_stretch(type, cython.cast(uint64_t, number) * STRETCH)
        arch.store_release(cython.address(ram.back), 0)
        arch.event_wake(cython.address(ram.settled))
    return done


def back_stretch(type, start):
    ram = cython.address(rams[type])
    slots: uint64_t = ram.slots - start
    if slots > STRETCH:
        slots = STRETCH
    everyone: cython.bint = arch.load(cython.address(ram.pool.pages)) * 16 > ram.most * LOW
    codec = codec_take()
    at: uint64_t = 0
    while at < slots:
        at += take_cold(ram, codec, start, at, slots, everyone)
    codec_give(codec)
    failed: cython.int = 0
    done: cython.int = 0
    at = 0
    while at < slots:
        run: uint64_t = 0
        while at + run < slots and ram.place[at + run] != NOWHERE:
            run += 1
        if run:
            if not failed:
                failed = write_run(ram, start, at, run)
            done += settle_run(ram, start, at, run, failed == 0)
        at += run + 1
    arch.add(cython.address(ram.backed), done)
    return failed if failed else done


def take_cold(ram, codec, start, at, slots, everyone):
    """Unpacks the piece that slot ``start`` + ``at`` is part of, as far as it is in a row, if it is to go; slots looked at."""
    arch.mutex_lock(cython.address(ram.pool.lock))
    held = ram.held[start + at]
    place = held >> HELD_SHIFT
    run: uint64_t = 1
    meta: uint64_t = 0
    if place != NOWHERE:
        while at + run < slots and ram.held[start + at + run] >> HELD_SHIFT == place:
            run += 1
        spared: cython.bint = ram_spared(ram, start + at, run)
        meta = pin(ram, place)
        busy: uint64_t = meta >> META_READERS & 255  # somebody reads it, or is still copying it in
        if busy:
            spared = True
        owner = cython.cast(cython.int, meta & 255)
        if spared or not (everyone or owner == NOBODY or mm_near(owner, LOW)):
            unpin(ram, place)
            place = NOWHERE
    arch.mutex_unlock(cython.address(ram.pool.lock))
    if place != NOWHERE:
        part: uint64_t = held & 15
        if not unpack_pinned(ram, codec, place, meta, part, run, ram.buffer + (at << 12)):
            arch.mutex_lock(cython.address(ram.pool.lock))
            unpin(ram, place)
            arch.mutex_unlock(cython.address(ram.pool.lock))
            place = NOWHERE
    for k in range(run):
        ram.place[at + k] = place
    return run


def write_run(ram, start, at, run):
    piece = cython.declare(uint64_t[1])
    piece[0] = ram.buffer + (at << 12)
    done = file_write(ram.row, MM_NIL, piece, 1, run, start + at, 0)
    return done if done < 0 else 0


def settle_run(ram, start, at, run, written):
    """Lets go of the pieces of a run; slots that still had them when they were ``written`` have not any more. How many those are."""
    done: cython.int = 0
    arch.mutex_lock(cython.address(ram.pool.lock))
    for k in range(run):
        place = ram.place[at + k]
        if written and ram.held[start + at + k] >> HELD_SHIFT == place:
            drop_slot(ram, start + at + k)
            done += 1
        if k + 1 == run or ram.place[at + k + 1] != place:
            unpin(ram, place)
    arch.mutex_unlock(cython.address(ram.pool.lock))
    return done
