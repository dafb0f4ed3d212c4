"""Compressed RAM that fills up writes its coldest back to where there is more room: a thread of each area that has some.

It sleeps until somebody finds what may be packed, or the area's slots, filled to 15 sixteenths, and works until it is 13.

- In front of a file, what is written back stays in its slot (store/front.py): no entry changes.
- Of an area of its own (``ram:``) each folio moves to slots of the next area behind it, and its entry says so from then on. That is a
  swapoff of a few stretches, and goes its way (swapoff.py): entries that name the area are collected, sorted by slot, locked (only
  ever tried) and looked at again, slots in a row are read, written to slots in a row, and only then a new entry stands in place of
  the old. What is in memory and clean is left alone: it is warm. So is, once, what was read since somebody looked.

Races: those of a swapoff, and guarded as there: what an entry says under its lock counts, and locked entries keep their slots on both
sides. A swapoff of the area itself ends the thread before it retires the guard; while it empties, this thread does nothing.

Of a family one process has the thread. In front of a file it serves all; what moves to another area are only its own folios.

Lock order: as in swapoff.py. No guard is held over a transfer.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import SWP_WRITEOK, area_at
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import own
from cython.cimports.hotswap.engine.found import Found, sort_found
from cython.cimports.hotswap.engine.guard.contract import guard_unuse_mm, guard_use_mm
from cython.cimports.hotswap.engine.mm import (
    MM_NIL,
    PTE_KIND,
    PTE_SWAPPED,
    mm_at,
    mmlist_hold_mine,
)
from cython.cimports.hotswap.engine.store.charge import mm_near
from cython.cimports.hotswap.engine.store.contract import STORE_FILE
from cython.cimports.hotswap.engine.store.front import front_back
from cython.cimports.hotswap.engine.store.ram import (
    HIGH,
    LOW,
    STRETCH,
    ram_coldest,
    ram_near,
    ram_spared,
    rams,
)
from cython.cimports.hotswap.engine.swapoff import BOUNCE_PAGES, FOUND, Emptying, Run, collect, lock_run, move_elsewhere, run_read
from cython.cimports.libc.errno import ENOMEM
from cython.cimports.libc.stdint import uint64_t

jobs = cython.cast(cython.pointer(Emptying), arch.table(AREAS, cython.sizeof(Emptying)))


def writeback_start(type):
    """The thread of an area that is set up; -ENOMEM. It ends with ram_stop(). An area has one, in one process of the family."""
    ram = cython.address(rams[type])
    ram.member = own.member
    ram.buffer = 0
    arch.store_release(cython.address(ram.runs), 1)
    if not arch.thread_start(writeback_main, type, b"hotswap-back"):
        writeback_over(ram)
        return -ENOMEM
    return 0


def writeback_inherit(type, member):
    """A member has died: if its thread wrote back, one of this process does from now on. What it was writing is in memory still."""
    ram = cython.address(rams[type])
    if not arch.load_acquire(cython.address(ram.runs)) or ram.member != member:
        return
    arch.store_release(cython.address(ram.back), 0)
    arch.event_wake(cython.address(ram.settled))
    if arch.load(cython.address(ram.stop)):
        writeback_over(ram)
    else:
        writeback_start(type)  # without one nothing is written back: what does not fit goes to the next area


def writeback_again(type):
    """An area that a dead process was switching off goes on again, and is not yet published: if its thread was told to end, there is another."""
    ram = cython.address(rams[type])
    if (
        area_at(type).store != STORE_FILE
        and arch.load(cython.address(ram.stop))
        and not arch.load_acquire(cython.address(ram.runs))
    ):
        arch.store(cython.address(ram.stop), 0)
        writeback_start(type)


def writeback_over(ram):
    """It runs no more; pairs with the acquire in ram_stop()."""
    arch.store_release(cython.address(ram.runs), 0)
    arch.event_wake(cython.address(ram.over))


def writeback_main(type):
    ram = cython.address(rams[type])
    seen = arch.event_read(cython.address(ram.pressure))
    while not arch.load_acquire(cython.address(ram.stop)):
        if wanted(type, HIGH):
            while wanted(type, LOW) and not arch.load(cython.address(ram.stop)) and writeback_some(type) > 0:
                pass
        if ram.buffer:
            arch.mmu_drop(ram.buffer, cython.cast(uint64_t, STRETCH) << 12)
        # Whoever finds it full wakes it, if only for another try at what failed.
        arch.event_wait(cython.address(ram.pressure), seen, -1)
        seen = arch.event_read(cython.address(ram.pressure))  # before the looks: who wakes after them is not slept over
    if ram.buffer:
        arch.release(ram.buffer, cython.cast(uint64_t, STRETCH) << 12)
        ram.buffer = 0
    arch.thread_unjoined()
    writeback_over(ram)


def wanted(type, part):
    """Is it filled to so many sixteenths? Not while it is emptied anyway."""
    ram = cython.address(rams[type])
    if not arch.load(cython.address(area_at(type).flags)) & SWP_WRITEOK:
        return False
    return ram_near(ram, part) or (ram.fd < 0 and slots_near(type, part))


def slots_near(type, part):
    area = area_at(type)
    return arch.load(cython.address(area.inuse)) * 16 > area.usable * part


def writeback_some(type):
    """May block. One go; pages written, 0 when there was nothing to write or nowhere to write it, or a negative errno."""
    if rams[type].fd >= 0:
        done = front_back(type)
        if done < 0:
            arch.log_area(
                b"hotswap: area %s: compressed memory cannot be written back (errno %llu); it stays where it is",
                area_at(type).label,
                -done,
                0,
            )
        return done
    return move_coldest(type)


def move_coldest(type):
    """May block. Of a ``ram:`` area: the coldest stretches to the areas behind."""
    job = cython.address(jobs[type])
    job.type = type
    arch.store(cython.address(job.moved), 0)
    arch.store(cython.address(job.failed), 0)
    job.found = cython.cast(cython.pointer(Found), arch.table(FOUND, cython.sizeof(Found)))
    job.bounce = arch.reserve(cython.cast(uint64_t, BOUNCE_PAGES) << 12)
    turns: cython.int = 0 if job.found and job.bounce else 2
    while turns < 2:  # what was spared in the first turn is not in the second
        turns = turns + 1 if move_some_of_all(job) == 0 and not arch.load(cython.address(job.failed)) else 2
    arch.table_free(job.found, False)
    if job.bounce:
        arch.release(job.bounce, cython.cast(uint64_t, BOUNCE_PAGES) << 12)
    done = cython.cast(cython.int, arch.load(cython.address(job.moved)))
    arch.add(cython.address(rams[type].backed), done)
    return done


def move_some_of_all(job):
    """May block. The next few stretches, of all address spaces of this process where the area is full, of those whose share is where it is
    not; pages. What others of the family have there stays: entries that were locked here would stay locked if this process died."""
    type = job.type
    oldest = coldest_stamp(type)
    if oldest == 0:
        return 0
    full: cython.bint = arch.load(cython.address(rams[type].pool.pages)) * 16 > rams[type].most * LOW
    full = full or slots_near(type, LOW)
    index = mmlist_hold_mine(MM_NIL)
    while index != MM_NIL:
        if full or mm_near(index, LOW):
            move_of(job, mm_at(index), oldest)
        index = mmlist_hold_mine(index)
    return arch.load(cython.address(job.moved))


def coldest_stamp(type):
    """What was not written or read after this is cold: the next stretches of the round, with an eighth of what is held. 0: nothing is."""
    enough: uint64_t = arch.load(cython.address(rams[type].stored)) >> (12 + 3)
    found: uint64_t = 0
    turns: cython.int = 0
    stamp: uint64_t = 0
    while found <= enough and turns < 2:
        number = ram_coldest(type)
        if number >= 0:
            found += rams[type].hints[number].live
            stamp = rams[type].passed
        elif found:
            break
        else:
            turns += 1
    return stamp


def move_of(job, mm, oldest):
    """May block. What of an address space, which is held, is cold."""
    start: uint64_t = 0
    while start < mm.arena_pages and not arch.load(cython.address(rams[job.type].stop)):
        start = collect(job, mm, start)
        keep_cold(job, mm, oldest)
        sort_found(job.found, job.found_count)
        used: cython.bint = guard_use_mm(mm.index)  # before any entry is locked
        run = cython.declare(Run)
        place: cython.int = 0
        while place < job.found_count and not arch.load(cython.address(job.failed)):
            lock_run(job, mm, place, job.found_count, cython.address(run))
            place = run.next
            if run.count:
                move_run(job, mm, cython.address(run))
        guard_unuse_mm(mm.index, used)
        if arch.load(cython.address(job.failed)):
            return


def keep_cold(job, mm, oldest):
    """Of the folios that were collected, those to be moved. What the entries say here is a hint: lock_run() looks again."""
    ram = cython.address(rams[job.type])
    left: cython.int = 0
    for number in range(job.found_count):
        offset = job.found[number].offset
        page = job.found[number].page
        arch.mutex_lock(cython.address(ram.pool.lock))
        cold: cython.bint = ram.hints[offset // STRETCH].stamp <= oldest and not ram_spared(ram, offset, 1)
        arch.mutex_unlock(cython.address(ram.pool.lock))
        if cold and arch.load(cython.address(mm.ptes[page].state)) & PTE_KIND == PTE_SWAPPED:
            job.found[left].offset = offset
            job.found[left].page = page
            left += 1
    job.found_count = left


def move_run(job, mm, run):
    """May block. Reads a run and writes it to an area behind; every entry is unlocked at the end, whatever happened. Where it fails
    nothing has changed, and this go ends."""
    read = run_read(job, run, job.bounce)
    done: cython.int = 0
    got: cython.int = 1
    while done < run.count and read == run.count and got:
        got = move_elsewhere(job, mm, run, done, job.bounce, True)
        done += got
    if done < run.count:
        arch.store(cython.address(job.failed), 1)
    for number in range(done, run.count):
        pte = cython.address(mm.ptes[run.pages[number]])
        arch.bit_unlock(cython.address(pte.state), arch.load(cython.address(pte.state)))
