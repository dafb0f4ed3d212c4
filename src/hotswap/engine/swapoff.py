"""The way of a swapoff, top to bottom.

``swapoff_start`` refuses new slots; a thread of its own (``swapoff_main``) empties the area, retires the guard, and frees
tables and row; where it cannot go on it puts the area back as it was. Whoever asked may wait, watch and cancel.

Other processes of the family do their part when they are asked (everyone.py).

Emptying visits every address space and shared object on the mmlist, hand over hand. ``collect`` notes which folios have their bytes in the
area, sorted by slot; threads take them in hand in turn: entries locked (only ever tried: a folio somebody works on is left
for the next round), slots next to each other read in one large transfer, a few of others in between along with them, written to other
areas in a row likewise, and only when those are full put into memory within the limit. A clean folio in memory just lets its slots go. The data never has to fit in
memory, and what the emptying threads hold is a constant (EMPTIERS x BOUNCE_PAGES).

It ends when no slot is in use, however that came about (R13): nothing but the guard keeps others from being inside then,
and retiring it waits for them. Nothing new can refer to the area: slots are handed out under the lock under which WRITEOK
was cleared, readahead looks at it, and a second swapoff writes only to areas that are active (R24).

Longer than 400 lines: it is one way, and reads in one go.

Lock order: an mm is held, then its mmap lock while looking, then entries (tried). No guard is held over a transfer: the slots
that are read or written are in use until this thread lets go of them, and keep their area on.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import (
    NIL,
    area_activate,
    area_at,
    area_deactivate,
    area_detach,
    area_read,
)
from cython.cimports.hotswap.engine.cache import cache_sweep
from cython.cimports.hotswap.engine.calm import calm_enter, calm_leave
from cython.cimports.hotswap.engine.entry import AREAS, entry_offset, entry_type, make_entry
from cython.cimports.hotswap.engine.everyone import everyone_ask, everyone_gather
from cython.cimports.hotswap.engine.family import MEMBERS, family, own
from cython.cimports.hotswap.engine.fault import release_entry
from cython.cimports.hotswap.engine.folio import piece_set
from cython.cimports.hotswap.engine.found import Found, sort_found
from cython.cimports.hotswap.engine.guard.contract import guard_retire, guard_unuse_mm, guard_use_mm
from cython.cimports.hotswap.engine.lru import lru_insert
from cython.cimports.hotswap.engine.mm import (
    FOLIO_SPLITS,
    MM_NIL,
    PTE_CLEAN,
    PTE_DIRTY,
    PTE_KIND,
    PTE_SWAPPED,
    PTE_USE,
    address_of,
    mm_at,
    mmlist_hold_mine,
    pte_entry,
    pte_make,
    pte_order,
)
from cython.cimports.hotswap.engine.reclaim import charge_now, shrink
from cython.cimports.hotswap.engine.shm import shm_fill, shm_said
from cython.cimports.hotswap.engine.store.contract import STORE_FILE
from cython.cimports.hotswap.engine.store.ram import ram_stop
from cython.cimports.hotswap.engine.swap_map import swap_inuse, swapcache_free
from cython.cimports.hotswap.engine.swapon import area_free_tables
from cython.cimports.hotswap.engine.writeout import swap_writeback, swap_writeout, swap_writeout_parts
from cython.cimports.libc.errno import EBUSY, EINTR, EIO, ENOMEM, ENOSPC
from cython.cimports.libc.stdint import uint32_t, uint64_t

everyones = cython.cast(cython.pointer(Emptying), arch.table(MEMBERS * AREAS, cython.sizeof(Emptying)))
emptyings = everyones
everyones_rounds = cython.cast(cython.pointer(Emptying), arch.table(MEMBERS * AREAS, cython.sizeof(Emptying)))
rounds = everyones_rounds


def swapoff_start(type):
    """Refuses new slots and starts emptying. -EBUSY: a swapoff of it is under way, or it is off; -ENOMEM: no thread to be had."""
    if not area_deactivate(type):
        return -EBUSY
    job = cython.address(emptyings[type])
    job.type = type
    arch.store(cython.address(job.moved), 0)
    arch.store(cython.address(job.loaded), 0)
    arch.store(cython.address(job.failed), 0)
    arch.store(cython.address(job.failed_slot), 0)
    arch.store(cython.address(job.cancel), 0)
    arch.store_release(cython.address(job.state), OFF_UNDER_WAY)
    job.thread = arch.thread_start(swapoff_main, type, b"hotswap-off")
    if not job.thread:
        arch.store(cython.address(job.state), OFF_IDLE)
        area_activate(type)
        return -ENOMEM
    return 0


def swapoff_main(type):
    """Empties, retires, frees; or puts back. Runs on a thread of its own."""
    job = cython.address(emptyings[type])
    take_tools(job)
    while swap_inuse(type) and not arch.load(cython.address(job.failed)):
        if arch.load(cython.address(job.cancel)):
            fail(job, EINTR, 0)
        else:
            everyone_ask(job)
            got = empty_everyone(job)
            if not got + everyone_gather(job):
                arch.nap_us(500)  # what is left is in somebody's hands
    give_tools(job)
    if arch.load(cython.address(job.failed)):
        area_activate(type)
        arch.store_release(cython.address(job.state), OFF_FAILED)
    else:
        ram_stop(type)
        guard_retire(type, detach)
        calm_enter()
        area_free_tables(type)
        calm_leave()
        arch.store_release(cython.address(job.state), OFF_DONE)
    arch.event_wake(cython.address(job.changed))


def detach(type):
    """May block. Not while everything is counted (death.py). Not by being in calm: this may be inside a stop of the machine, and some who
    wait for its end are in calm."""
    arch.mutex_lock(cython.address(family.counting))
    area_detach(type)
    arch.mutex_unlock(cython.address(family.counting))


def swapoff_round(job):
    """May block. One visit to this process's own address spaces, for another member's swapoff (everyone.py): one of ``rounds``. That swapoff may have
    been cancelled, or its process killed, and this process may be switching the same area off by now."""
    arch.store(cython.address(job.moved), 0)
    arch.store(cython.address(job.loaded), 0)
    arch.store(cython.address(job.failed), 0)
    arch.store(cython.address(job.failed_slot), 0)
    take_tools(job)
    if not arch.load(cython.address(job.failed)):
        empty_everyone(job)
    give_tools(job)


def take_tools(job):
    """Memory to work with."""
    job.found = cython.cast(cython.pointer(Found), arch.table(FOUND, cython.sizeof(Found)))
    job.bounce = arch.reserve(cython.cast(uint64_t, EMPTIERS * BOUNCE_PAGES) << 12)
    if not job.found or not job.bounce:
        fail(job, ENOMEM, 0)


def give_tools(job):
    arch.table_free(job.found, False)
    if job.bounce:
        arch.release(job.bounce, cython.cast(uint64_t, EMPTIERS * BOUNCE_PAGES) << 12)


def swapoff_forked():
    """In a child of fork: it runs no swapoff."""
    global emptyings, rounds
    emptyings = cython.address(everyones[own.member * AREAS])
    rounds = cython.address(everyones_rounds[own.member * AREAS])
    for type in range(AREAS):
        arch.store(cython.address(emptyings[type].state), OFF_IDLE)
        arch.store(cython.address(emptyings[type].cancel), 0)
        emptyings[type].thread = 0


def swapoff_forget(member, type):
    """The outcome of that member's was read, and the row may be another area's."""
    arch.store(cython.address(everyones[member * AREAS + type].state), OFF_IDLE)


def swapoff_wait(type, timeout_us):
    """May block. How it stands after at most ``timeout_us``; once it is done or failed, the thread is gone."""
    job = cython.address(emptyings[type])
    seen = arch.event_read(cython.address(job.changed))
    if arch.load_acquire(cython.address(job.state)) == OFF_UNDER_WAY:
        arch.event_wait(cython.address(job.changed), seen, timeout_us)
    state = cython.cast(cython.int, arch.load_acquire(cython.address(job.state)))
    if state != OFF_UNDER_WAY and job.thread:
        arch.thread_join(job.thread)
        job.thread = 0
    return state


def swapoff_cancel(type):
    """Asks a swapoff to stop at the next folio; the area is in use again when it has."""
    arch.store(cython.address(emptyings[type].cancel), 1)


def swapoff_progress(type, what):
    job = cython.address(emptyings[type])
    if what == OFF_STATE:
        return arch.load(cython.address(job.state))
    if what == OFF_MOVED:
        return arch.load(cython.address(job.moved))
    if what == OFF_LOADED:
        return arch.load(cython.address(job.loaded))
    if what == OFF_ERRNO:
        return arch.load(cython.address(job.failed))
    if what == OFF_WAITING:
        return arch.load(cython.address(job.waiting))
    return arch.load(cython.address(job.failed_slot))


def empty_everyone(job):
    """One visit to every address space and shared object; how many pages it got out."""
    before = arch.load(cython.address(job.moved)) + arch.load(cython.address(job.loaded))
    index = mmlist_hold_mine(MM_NIL)
    while index != NIL:
        mm = mm_at(index)
        sweep(job, index)
        empty_mm(job, mm)
        sweep(job, index)
        index = mmlist_hold_mine(index)
    return arch.load(cython.address(job.moved)) + arch.load(cython.address(job.loaded)) - before


def sweep(job, index):
    """Frames on standby let go of the area's slots."""
    used: cython.bint = guard_use_mm(index)
    cache_sweep(mm_at(index), job.type)
    guard_unuse_mm(index, used)


def empty_mm(job, mm):
    """Collects and works off, a list at a time. The mm is held."""
    start: uint64_t = 0
    while start < mm.arena_pages and not arch.load(cython.address(job.failed)):
        start = collect(job, mm, start)
        if job.found_count == 0:
            continue
        sort_found(job.found, job.found_count)
        job.mm = mm.index
        arch.store(cython.address(job.claimed), 0)
        arch.store(cython.address(job.turn), 0)
        second: uint64_t = 0
        number: cython.int = job.type if job == cython.address(emptyings[job.type]) else AREAS + job.type
        if job.found_count > CLAIM:
            second = arch.thread_start(empty_main, number, b"hotswap-off2")
        empty_main(number)
        if second:
            arch.thread_join(second)


def collect(job, mm, start):
    """Notes up to FOUND folios from page ``start`` on that have slots in the area; where to go on, arena_pages at the end."""
    job.found_count = 0
    arch.read_lock(cython.address(mm.mmap_lock))
    for number in range(mm.vma_count):
        vma = cython.address(mm.vmas[number])
        page: uint64_t = vma.start if vma.start > start else start
        while page < vma.start + vma.pages:
            if job.found_count == FOUND:
                arch.read_unlock(cython.address(mm.mmap_lock))
                return page
            state = arch.load(cython.address(mm.ptes[page].state))
            kind = state & PTE_KIND
            if (kind == PTE_SWAPPED or kind == PTE_CLEAN) and entry_type(pte_entry(state)) == job.type:
                job.found[job.found_count].offset = entry_offset(pte_entry(state))
                job.found[job.found_count].page = page
                job.found_count += 1
            # A tail that is met was merged just now: on to where its folio ends.
            page = ((page >> pte_order(state)) + 1) << pte_order(state)
    arch.read_unlock(cython.address(mm.mmap_lock))
    return mm.arena_pages


def empty_main(number):
    """An emptying thread: takes the next few of the list in hand until it is worked off. Of an own swapoff, by its type, or of a round behind those."""
    job = cython.address(emptyings[number]) if number < AREAS else cython.address(rounds[number - AREAS])
    mm = mm_at(job.mm)
    turn = arch.add(cython.address(job.turn), 1) - 1
    bounce: uint64_t = job.bounce + ((turn * BOUNCE_PAGES) << 12)
    run = cython.declare(Run)
    while not stops(job):
        end = cython.cast(cython.int, arch.add(cython.address(job.claimed), CLAIM))
        place: cython.int = end - CLAIM
        if place >= job.found_count:
            break
        if end > job.found_count:
            end = job.found_count
        used: cython.bint = guard_use_mm(mm.index)  # before any entry is locked
        while place < end and not stops(job):
            lock_run(job, mm, place, end, cython.address(run))
            place = run.next
            if run.count:
                empty_run(job, mm, cython.address(run), bounce)
        guard_unuse_mm(mm.index, used)


def stops(job):
    return arch.load(cython.address(job.failed)) or arch.load(cython.address(job.cancel))


def lock_run(job, mm, start, end, run):
    """Locks folios from ``start`` on whose slots are in a row, but for holes, and whose bytes are only there."""
    # What is not held can be read where it is a place in a file, and is not looked at.
    hole: uint64_t = HOLE if area_at(job.type).store == STORE_FILE else 0
    run.count = 0
    run.span = 0
    run.next = start
    while run.next < end:
        found = cython.address(job.found[run.next])
        size: uint64_t = cython.cast(uint64_t, 1) << run.order if run.count else 0
        after: uint64_t = found.offset - run.offset if run.count else 0
        if run.count and (after > run.span + hole or after + size > BOUNCE_PAGES):
            return
        if not lock_found(job, mm, found, run):
            run.next += 1
            continue
        if run.count and run.seen != run.order:
            # A folio of another size: it starts the next run.
            arch.bit_unlock(cython.address(mm.ptes[found.page].state), arch.load(cython.address(mm.ptes[found.page].state)))
            return
        if run.count == 0:
            run.offset = found.offset
            run.order = run.seen
        run.pages[run.count] = found.page
        run.slots[run.count] = found.offset
        run.span = after + (cython.cast(uint64_t, 1) << run.order)
        run.count += 1
        run.next += 1


def lock_found(job, mm, found, run):
    """Is the folio still out, in that slot, and can its entry be locked? One that is in and clean lets its slots go here.

    Time has passed since it was noted, and its array may be gone: only what the entry says under its lock counts (R26).
    """
    pte = cython.address(mm.ptes[found.page])
    if not arch.bit_trylock(cython.address(pte.state)):
        return False
    state = arch.load(cython.address(pte.state))
    kind = state & PTE_KIND
    if pte_entry(state) == make_entry(job.type, found.offset):
        run.seen = pte_order(state)
        if kind == PTE_SWAPPED:
            return True
        if kind == PTE_CLEAN:
            # Its protection stays until a fault lifts it, which a fork of the mm may keep waiting (fork.py).
            said = pte_make(PTE_DIRTY, pte_order(state), 0) | (state & PTE_USE)
            if mm.shared:
                shm_said(mm, found.page, said)
            release_entry(pte_entry(state), pte_order(state))
            arch.add(cython.address(job.loaded), 1 << pte_order(state))
            state = said
    arch.bit_unlock(cython.address(pte.state), state)
    return False


def empty_run(job, mm, run, bounce):
    """May block. Reads a run in one transfer and puts it elsewhere; every entry is unlocked at the end, whatever happened."""
    read = run_read(job, run, bounce)
    done: cython.int = 0
    if read < run.count:
        fail(job, EIO, run.slots[read])
    while done < run.count and read == run.count:
        got = move_elsewhere(job, mm, run, done, bounce, False)
        if got == 0 and run.order:
            got = move_parts(job, mm, run, done, bounce)
        if got == 0:
            got = load(job, mm, run, done, bounce)
        if got == 0:
            fail(job, ENOSPC, run.offset)
        if got <= 0:  # an area that would not wait may next time
            break
        done += got
    for number in range(done, run.count):
        pte = cython.address(mm.ptes[run.pages[number]])
        arch.bit_unlock(cython.address(pte.state), arch.load(cython.address(pte.state)))


def run_read(job, run, bounce):
    """May block. Reads a run, in one transfer; where that fails, which may be for what is between, folio by folio. How many folios could be
    read, from the first on."""
    place = cython.declare(uint64_t[1])
    place[0] = bounce
    if not area_read(area_at(job.type), place, 1, run.span, run.offset):
        return run.count
    for number in range(run.count):
        place[0] = run_place(run, number, bounce)
        if area_read(area_at(job.type), place, 1, cython.cast(uint64_t, 1) << run.order, run.slots[number]):
            return number
    return run.count


def run_place(run, number, bounce):
    """Where the bytes of a folio of a run are that was read to ``bounce``."""
    return bounce + ((run.slots[number] - run.offset) << 12)


def move_elsewhere(job, mm, run, done, bounce, behind):
    """Writes folios of a run from number ``done`` on to slots in a row of the best area with room, or of the best that comes
    ``behind`` this one; how many, or -EAGAIN (swap_writeout)."""
    source = cython.declare(uint64_t[BOUNCE_PAGES])
    first = cython.declare(uint64_t[1])
    for number in range(done, run.count):
        source[number - done] = run_place(run, number, bounce)
    if behind:
        got = swap_writeback(job.type, mm, run.pages[done], source, run.count - done, run.order, first)
    else:
        got = swap_writeout(mm, run.pages[done], source, run.count - done, run.order, run.order, first)
    if got <= 0:
        return got
    swapcache_free(first[0], got << run.order)
    for number in range(got):
        page = run.pages[done + number]
        old = make_entry(job.type, run.slots[done + number])
        entry = first[0] + (cython.cast(uint64_t, number) << run.order)
        arch.bit_unlock(cython.address(mm.ptes[page].state), pte_make(PTE_SWAPPED, run.order, entry))
        release_entry(old, run.order)
    arch.add(cython.address(job.moved), got << run.order)
    return got


def move_parts(job, mm, run, number, bounce):
    """May block. A large folio for which no other area has slots in a row is written page by page and split; what finds no slot
    stays where it is, for the next visit. 1; 0 when none does, or -EAGAIN."""
    entries = cython.declare(uint64_t[BOUNCE_PAGES])
    size = 1 << run.order
    out = swap_writeout_parts(mm, run.pages[number], run_place(run, number, bounce), size, entries)
    if out <= 0:
        return out
    first = run.pages[number]
    old = make_entry(job.type, run.slots[number])
    shadow: uint32_t = mm.ptes[first].prev
    page: cython.int = size
    while page > 0:  # the folio's own entry last
        page -= 1
        said = pte_make(PTE_SWAPPED, 0, entries[page] if page < out else old + page)
        if page:
            piece_set(mm, first + page, said, shadow, 0)
        else:
            arch.bit_unlock(cython.address(mm.ptes[first].state), said)
    for page in range(out):
        release_entry(old + page, 0)
    arch.add(cython.address(mm.counter[FOLIO_SPLITS]), 1)
    arch.add(cython.address(job.moved), out)
    return 1


def load(job, mm, run, number, bounce):
    """Puts one folio into memory if the limit has room, or can be made to: other areas are full, so by dropping clean ones. 1, or 0."""
    size: uint64_t = cython.cast(uint64_t, 1) << run.order
    if not charge_now(mm, size):
        shrink(mm, size, True)
        if not charge_now(mm, size):
            return 0
    page = run.pages[number]
    source = run_place(run, number, bounce)
    if mm.shared:
        shm_fill(mm, page, size << 12, source)
    else:  # protected, as above: the first write asks
        arch.check(not arch.mmu_copy(mm.fd, address_of(mm, page), source, size << 12, True), b"a folio can be mapped")
    lru_insert(mm, page, run.order, 0)
    old = make_entry(job.type, run.slots[number])
    arch.bit_unlock(cython.address(mm.ptes[page].state), pte_make(PTE_DIRTY, run.order, 0))
    release_entry(old, run.order)
    arch.add(cython.address(job.loaded), size)
    return 1


def fail(job, error, slot):
    """Keeps the first reason."""
    if arch.cas(cython.address(job.failed), 0, error):
        arch.store(cython.address(job.failed_slot), slot)
