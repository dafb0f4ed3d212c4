"""The way of a fault, top to bottom. Longer than 400 lines: it is one way, and reads in one go.

``fault_main`` waits for one (``fault_wait``); ``serve_once`` finds the range and locks the entry of the folio, in the size that suits (``folio_fit`` in
folio.py); ``fault_folio`` looks at what it says:

- never touched: ``first_touch`` maps zeros, or moves zeroed pages in (``zeros_moved``);
- all words were equal: ``fill_in`` makes them again;
- swapped out: ``swap_in`` charges the limit, looks in the swap cache, else reads the slots (``read_entry``), maps and asks
  for more ahead;
- in and clean, and written: ``write_clean`` lifts the protection;
- otherwise somebody else was faster: wake.

A read of stored bytes maps a write-protected copy and keeps the slots: dropping it later costs no write. A write moves the
frame itself in and lets the slots go. Where most clean folios end up written anyway a read does the same, which saves the
second fault (``mostly_written``).

Threads that run this never need the interpreter's lock and touch no swappable memory: the thread that faulted may hold
any lock of the program and waits. Locks held: the mmap lock for reading and the folio's entry, over everything that is
slow too. The limit is charged before a frame is taken; who has a frame never waits for the limit.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import area_at, area_read
from cython.cimports.hotswap.engine.cache import CACHE_BUSY, cache_forget, cache_take
from cython.cimports.hotswap.engine.entry import entry_offset, entry_type
from cython.cimports.hotswap.engine.family import family
from cython.cimports.hotswap.engine.folio import NO_FOLIO, folio_fit
from cython.cimports.hotswap.engine.frames import frame_address, frame_kept, frame_moved, frame_put, frame_take, frame_wait
from cython.cimports.hotswap.engine.lru import (
    lru_came,
    lru_refault,
)
from cython.cimports.hotswap.engine.mm import (
    AHEAD_HITS,
    FAULTS_MAJOR,
    FAULTS_MINOR,
    FAULTS_WRITE,
    FAULTS_ZERO,
    FRAME_READY,
    KEPT_CLEAN,
    MM_NIL,
    NO_FRAME,
    PAGES_IN,
    POISONED,
    PTE_CLEAN,
    PTE_DIRTY,
    PTE_FILLED,
    PTE_KIND,
    PTE_NONE,
    PTE_POISON,
    PTE_SWAPPED,
    PTE_USE,
    WROTE_CLEAN,
    address_of,
    find_vma,
    mm_at,
    pte_entry,
    pte_make,
    pte_order,
)
from cython.cimports.hotswap.engine.profile import (
    STAGE_CACHE,
    STAGE_CHARGE,
    STAGE_FIND,
    STAGE_FRAME,
    STAGE_MAP,
    STAGE_READ,
    profile_begin,
    profile_end,
    profile_stage,
)
from cython.cimports.hotswap.engine.readahead import readahead_after
from cython.cimports.hotswap.engine.reclaim import charge, charge_now, uncharge
from cython.cimports.hotswap.engine.shm import shm_fill, shm_said, shm_view, shm_zero
from cython.cimports.hotswap.engine.stream import (
    stream_moved,
    stream_run,
    stream_touched,
)
from cython.cimports.hotswap.engine.stride import stride_step
from cython.cimports.hotswap.engine.swap_map import swap_free
from cython.cimports.hotswap.engine.waking import waking_is_dear
from cython.cimports.libc.errno import EBADF, EINVAL, EIO
from cython.cimports.libc.stdint import uint64_t


def fault_main(index):
    """A handler thread: serves faults until the space is closed."""
    mm = mm_at(index)
    fault = cython.declare(arch.fault_info)
    looks = cython.declare(Looks)
    looks.asleep = 0
    looks.barren = 0
    while not arch.load(cython.address(mm.stop)):
        got = arch.mmu_next(mm.fd, cython.address(fault))
        if got == 0:
            got = fault_wait(mm, cython.address(fault), cython.address(looks))
        if got > 0:
            serve(mm, fault.address, fault.flags)
        elif got < 0:
            arch.check(got == -EBADF or got == -EINVAL, b"faults can be read")
            arch.keep_closed(cython.address(kept[mm.index]))  # the program did that


def fault_wait(mm, fault, looks):
    """May block: until there may be a fault; 0: somebody else has it. Where waking a thread is dear it looks for the next one for a while before it
    sleeps, awake: one handler of a space at a time, and after looks in vain ever more seldom."""
    waiter = waiters[mm.index]
    got: cython.int = 0
    if WATCH_NS and waking_is_dear() and looks.asleep >= looks.barren and not arch.swap(cython.address(mm.watched), 1):
        got = arch.mmu_watch(waiter, mm.fd, fault, WATCH_NS)
        arch.store(cython.address(mm.watched), 0)
        looks.asleep = 0
        if got > 0:
            looks.barren = 0
        elif looks.barren < BARREN_MOST:
            looks.barren = 2 * looks.barren + 1
    if got == 0:
        got = arch.mmu_wait(waiter, mm.fd, fault)
        looks.asleep += 1
    return got


def serve(mm, address, flags):
    """Serves one fault. When no memory can be had it waits for some without any lock, and looks at everything anew."""
    while not arch.load(cython.address(mm.stop)):
        if serve_or_wait(mm, address, flags) != FAULT_WAITS:
            return


def serve_or_wait(mm, address, flags):
    """FAULT_WAITS after a wait for memory that could not be had: it is time to look anew."""
    seen = arch.event_read(cython.address(mm.relief))
    result = serve_once(mm, address, flags)
    if result == FAULT_RESTS:
        arch.nap_us(1000)
        return FAULT_WAITS
    if result != FAULT_WAITS:
        return result
    if not arch.swap(cython.address(mm.full_said), 1):
        arch.log(
            b"hotswap: space %llu: the areas are full and nothing can leave memory; a fault at 0x%llx waits until an area "
            b"is added, arrays are freed or the limit is raised",
            mm.index,
            address,
            0,
        )
    arch.event_wait(cython.address(mm.relief), seen, 100000)
    return FAULT_WAITS


def serve_once(mm, address, flags):
    """Finds the folio and what it needs. FAULT_LOST: there is nothing to be had at that address, now or later."""
    page: uint64_t = (address - mm.arena) >> 12
    profile_begin()
    arch.read_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    result: cython.int = FAULT_LOST
    if number < 0:
        stray(mm, page)
    elif mm.vmas[number].shm != MM_NIL:
        result = serve_view(mm, number, page, (flags & arch.FAULT_WRITE) != 0)
    else:
        folio = folio_fit(mm, cython.address(mm.vmas[number]), page, (flags & arch.FAULT_WRITE) != 0, False)
        pte = cython.address(mm.ptes[folio])
        profile_stage(mm, STAGE_FIND)
        lost: cython.bint = arch.load(cython.address(pte.state)) & PTE_KIND == PTE_POISON
        state = fault_folio(mm, folio, (flags & arch.FAULT_WRITE) != 0)
        arch.bit_unlock(cython.address(pte.state), state)
        kind = state & PTE_KIND
        if not lost:  # a page that is poisoned now is told by the next access
            in_now: cython.bint = kind == PTE_CLEAN or kind == PTE_DIRTY or kind == PTE_POISON
            result = FAULT_SERVED if in_now else FAULT_WAITS
        if kind == PTE_CLEAN:
            map_around(mm, number, folio + (cython.cast(uint64_t, 1) << pte_order(state)))
            map_steps(mm, number, folio)
    arch.read_unlock(cython.address(mm.mmap_lock))
    profile_end(mm)
    return result


def serve_view(mm, number, page, write):
    """The same where a shared object is attached: the object's entry says where the folio is, whichever view faulted. It is the
    object's lock that sleeps, from the look-up to the mapping: whoever else would page the folio in waits for it (R21). While the
    object has no memory for it the fault looks again every tenth of a second: what is freed wakes the object, not its views."""
    vma = cython.address(mm.vmas[number])
    shm = mm_at(vma.shm)
    folio = folio_fit(shm, cython.address(shm.vmas[0]), page - vma.start, write, False)
    if folio == NO_FOLIO:
        return FAULT_RESTS
    pte = cython.address(shm.ptes[folio])
    lost: cython.bint = arch.load(cython.address(pte.state)) & PTE_KIND == PTE_POISON
    state = fault_folio(shm, folio, write)
    kind = state & PTE_KIND
    if kind == PTE_CLEAN or kind == PTE_DIRTY:
        shm_view(mm, vma.start + folio, pte_order(state), kind == PTE_CLEAN, write)
    elif kind == PTE_POISON and not mm.features & arch.MMU_SIGBUS:
        poison(mm, vma.start + folio, cython.cast(uint64_t, 1) << pte_order(state))
    arch.bit_unlock(cython.address(pte.state), state)
    if lost:
        return FAULT_LOST
    if kind == PTE_CLEAN or kind == PTE_DIRTY or kind == PTE_POISON:
        return FAULT_SERVED
    return FAULT_RESTS if arch.load(cython.address(family.rest)) & 1 else FAULT_WAITS


def stray(mm, page):
    """A fault outside all arrays. It may be the late message of one whose array has come and gone, and there may be one for each
    thread that touched it: these are only woken. A wild pointer faults again and again, and gets what it gets elsewhere: a
    signal. Where faults are signals already there are no late ones, and that signal stands."""
    seen = arch.load(cython.address(mm.stray))
    times: uint64_t = (seen & 255) + 1 if seen >> 8 == page else 1
    arch.store(cython.address(mm.stray), page << 8 | times)  # two handlers at once may lose one: then it takes one more
    if times < STRAY_MOST and not mm.features & arch.MMU_SIGBUS:
        arch.mmu_wake(mm.fd, address_of(mm, page), 4096)
        return
    arch.log(b"hotswap: space %llu: access at 0x%llx, which belongs to no array (freed?)", mm.index, address_of(mm, page), 0)
    if not mm.features & arch.MMU_SIGBUS:
        poison(mm, page, 1)
        arch.store(cython.address(mm.stray), 0)


def fault_folio(mm, page, write):
    """What the entry of the folio that begins at ``page`` says from now on; the caller has it locked. Still out: there was no memory
    for it."""
    state = arch.load(cython.address(mm.ptes[page].state))
    kind = state & PTE_KIND
    order = pte_order(state)
    length = cython.cast(uint64_t, 4096) << order
    if kind == PTE_NONE:
        return first_touch(mm, page, order)
    if kind == PTE_FILLED:
        return fill_in(mm, page, order, cython.cast(uint64_t, mm.ptes[page].prev) << 32 | mm.ptes[page].next)
    if kind == PTE_SWAPPED:
        return swap_in(mm, page, order, state, write)
    if kind == PTE_POISON:
        if not mm.features & arch.MMU_SIGBUS and not mm.shared:
            poison(mm, page, cython.cast(uint64_t, 1) << order)
        return state
    if kind == PTE_CLEAN and write:
        return write_clean(mm, page, order, state)
    arch.add(cython.address(mm.counter[FAULTS_MINOR]), 1)
    if mm.shared:
        return state  # mapped by who serves the view
    if write:  # dirty, but the protection of its clean days may still be on
        arch.mmu_protect(mm.fd, address_of(mm, page), length, False)
    arch.mmu_wake(mm.fd, address_of(mm, page), length)
    return state


def first_touch(mm, page, order):
    """Zeros, charged in full: the kernel swaps the shared zero page for a real one without asking."""
    arch.add(cython.address(mm.counter[FAULTS_ZERO]), 1)
    if not charge(mm, cython.cast(uint64_t, 1) << order):
        return pte_make(PTE_NONE, order, 0)
    run = stream_run(mm, page)
    if order:  # before it is mapped: whoever waits for that touches the next one at once
        stream_touched(mm, page, cython.cast(uint64_t, 1) << order, page == mm.vmas[find_vma(mm, page)].start)
    if mm.shared:
        shm_zero(mm, page, order)
    elif not order or not zeros_moved(mm, page, order):
        arch.check(not arch.mmu_zero(mm.fd, address_of(mm, page), cython.cast(uint64_t, 4096) << order), b"zeros can be mapped")
    return pte_make(PTE_DIRTY, order, 0) | lru_came(mm, page, order, run)


def zeros_moved(mm, page, order):
    """Real pages for all of a large folio at once: a frame's, which what left last had. With the zero page each page's first write would
    be a fault in the kernel. False: there is no frame, or the kernel will not move it."""
    if not mm.features & arch.MMU_MOVE:
        return False
    frame = frame_take(mm, False, order)
    if frame == NO_FRAME:
        return False
    staging = frame_address(mm, frame)
    length = cython.cast(uint64_t, 4096) << order
    arch.mmu_populate(staging, length)  # where it has none; should that fail, the next line does it, a page at a time
    arch.fill(staging, length, 0)
    if arch.mmu_move(mm.fd, address_of(mm, page), staging, length):
        frame_put(mm, frame, FRAME_READY)
        return False
    frame_moved(mm, frame, order)
    return True


def fill_in(mm, page, order, value):
    """One value over and over, made here: no slot, no transfer. A reader is told of all the same: a scan gets the folios behind whole."""
    if value == 0:
        if not order:  # of a larger one first_touch() does
            readahead_after(mm, page, order)
        return first_touch(mm, page, order)
    arch.add(cython.address(mm.counter[FAULTS_ZERO]), 1)
    if not charge(mm, cython.cast(uint64_t, 1) << order):
        return arch.load(cython.address(mm.ptes[page].state))
    frame = frame_wait(mm, order)
    if frame == NO_FRAME:
        uncharge(mm, cython.cast(uint64_t, 1) << order)
        return arch.load(cython.address(mm.ptes[page].state))
    arch.fill(frame_address(mm, frame), cython.cast(uint64_t, 4096) << order, value)
    state = map_folio(mm, page, order, frame, 0, True)
    readahead_after(mm, page, order)
    return state


def swap_in(mm, page, order, state, write):
    """May block. The folio's bytes come from the swap cache or from its slots."""
    entry = pte_entry(state)
    if not charge(mm, cython.cast(uint64_t, 1) << order):
        return state
    profile_stage(mm, STAGE_CHARGE)
    frame = cache_take(mm, entry, 1 << order)
    while frame == CACHE_BUSY:  # on its way in, or out of the cache
        seen = arch.event_read(cython.address(mm.relief))
        frame = cache_take(mm, entry, 1 << order)
        if frame == CACHE_BUSY:
            if mm.shared and arch.load_acquire(cython.address(family.rest)) & 1:  # who had it in hand may have died
                uncharge(mm, cython.cast(uint64_t, 1) << order)
                return state
            arch.event_wait(cython.address(mm.relief), seen, 1000)
    profile_stage(mm, STAGE_CACHE)
    if frame >= 0:
        arch.add(cython.address(mm.counter[FAULTS_MINOR]), 1)
        if mm.frames[frame].ahead:
            arch.add(cython.address(mm.counter[AHEAD_HITS]), 1 << order)
    else:
        arch.add(cython.address(mm.counter[FAULTS_MAJOR]), 1)
        frame = read_entry(mm, entry, order, page)
        if frame == NO_FRAME:
            uncharge(mm, cython.cast(uint64_t, 1) << order)
            poison(mm, page, cython.cast(uint64_t, 1) << order)
            if mm.shared:
                shm_said(mm, page, pte_make(PTE_POISON, order, 0))
            release_entry(entry, order)
            return pte_make(PTE_POISON, order, 0)
        if frame == CACHE_BUSY:
            uncharge(mm, cython.cast(uint64_t, 1) << order)
            return state
    state = map_folio(mm, page, order, frame, entry, write)
    profile_stage(mm, STAGE_MAP)
    readahead_after(mm, page, order)
    return state


def read_entry(mm, entry, order, page):
    """May block. A frame with the entry's bytes; NO_FRAME, and a line in the log, when they cannot be read; CACHE_BUSY, of an object: there
    is none until everybody has rested."""
    type = entry_type(entry)
    frame = frame_wait(mm, order)
    if frame == NO_FRAME:
        return CACHE_BUSY
    profile_stage(mm, STAGE_FRAME)
    failed: cython.int = EIO
    address = cython.declare(uint64_t[1])
    address[0] = frame_address(mm, frame)
    for _attempt in range(2):
        # The entry is locked, so its count stays, keeps its slots, and so its area: no guard is needed, and none held (decision 8).
        failed = area_read(area_at(type), address, 1, cython.cast(uint64_t, 1) << order, entry_offset(entry))
        profile_stage(mm, STAGE_READ)
        if not failed:
            arch.add(cython.address(mm.counter[PAGES_IN]), 1 << order)
            return frame
    arch.log_area(
        b"hotswap: area %s: slot %llu cannot be read (page at 0x%llx): whoever touches that page gets a signal",
        area_at(type).label,
        entry_offset(entry),
        address_of(mm, page),
    )
    frame_put(mm, frame, FRAME_READY)
    return NO_FRAME


def map_folio(mm, page, order, frame, entry, write):
    """Puts a frame's bytes where the fault was and wakes who waits there. ``entry`` 0: they have no slots."""
    address = address_of(mm, page)
    length = cython.cast(uint64_t, 4096) << order
    run = stream_run(mm, page)
    use = lru_refault(mm, page, order, run) if entry else lru_came(mm, page, order, run)
    clean: cython.bint = not write and not mostly_written(mm)
    if mm.shared:
        clean = clean and mm.features & arch.MMU_SHARED_WP != 0
        shm_fill(mm, page, length, frame_address(mm, frame))
        frame_put(mm, frame, FRAME_READY)
    elif clean:
        arch.check(not arch.mmu_copy(mm.fd, address, frame_address(mm, frame), length, True), b"a folio can be mapped")
        frame_put(mm, frame, FRAME_READY)
    elif (
        order > 0  # moving a page interrupts the other processors, as they may know it where it was: copying one costs less
        and mm.features & arch.MMU_MOVE
        and not frame_kept(mm, frame)
        and not arch.mmu_move(mm.fd, address, frame_address(mm, frame), length)
    ):
        frame_moved(mm, frame, order)
    else:
        arch.check(not arch.mmu_copy(mm.fd, address, frame_address(mm, frame), length, False), b"a folio can be mapped")
        frame_put(mm, frame, FRAME_READY)
    if clean:
        return pte_make(PTE_CLEAN, order, entry) | use
    if mm.shared:
        shm_said(mm, page, pte_make(PTE_DIRTY, order, 0) | use)
    release_entry(entry, order)
    return pte_make(PTE_DIRTY, order, 0) | use


def write_clean(mm, page, order, state):
    """The first write to a clean folio: its slots no longer hold what it holds."""
    arch.add(cython.address(mm.counter[FAULTS_WRITE]), 1)
    arch.add(cython.address(mm.counter[WROTE_CLEAN]), 1)
    if not mm.shared:  # else by who maps the view
        arch.mmu_protect(mm.fd, address_of(mm, page), cython.cast(uint64_t, 4096) << order, False)
    else:
        shm_said(mm, page, pte_make(PTE_DIRTY, order, 0) | (state & PTE_USE))
    release_entry(pte_entry(state), order)
    return pte_make(PTE_DIRTY, order, 0) | (state & PTE_USE)


def release_entry(entry, order):
    """The folio's reference to its slots goes; a frame that holds them for nobody goes with it."""
    if entry and swap_free(entry, 1 << order):
        cache_forget(entry)


def map_around(mm, number, page):
    """Maps what lies in the cache from ``page`` on, behind a folio that was just mapped clean, while the limit has room. Caller: mmap
    lock."""
    end: uint64_t = mm.vmas[number].start + mm.vmas[number].pages
    end = end if end < page + AROUND_PAGES else page + AROUND_PAGES
    next: uint64_t = page
    size: uint64_t = 1
    while next < end and size:
        size = map_cached(mm, next)
        next += size
    if next != page:
        stream_moved(mm, page, next)


def map_steps(mm, number, page):
    """The same at every step from ``page`` on, where a reader goes in steps."""
    step = stride_step(mm, page)
    vma = cython.address(mm.vmas[number])
    next: uint64_t = page
    for _step in range(AROUND_PAGES if step else 0):
        next += cython.cast(uint64_t, step)
        if next < vma.start or next >= vma.start + vma.pages or map_cached(mm, next) == 0:
            break


def map_cached(mm, page):
    """Maps the folio at ``page`` clean if it is in the cache, nobody has it in hand and the limit has room. Its pages; 0: it is as it was."""
    pte = cython.address(mm.ptes[page])
    state = arch.load(cython.address(pte.state))
    if state & PTE_KIND != PTE_SWAPPED or not arch.bit_trylock(cython.address(pte.state)):
        return 0
    state = arch.load(cython.address(pte.state))
    order = pte_order(state)
    size: uint64_t = cython.cast(uint64_t, 1) << order
    frame: cython.int = NO_FRAME
    if state & PTE_KIND == PTE_SWAPPED and charge_now(mm, size):
        frame = cache_take(mm, pte_entry(state), 1 << order)
        if frame < 0:
            uncharge(mm, size)
    if frame < 0:
        arch.bit_unlock(cython.address(pte.state), state)
        return 0
    arch.add(cython.address(mm.counter[AHEAD_HITS]), size)
    state = map_folio(mm, page, order, frame, pte_entry(state), False)
    arch.bit_unlock(cython.address(pte.state), state)
    return size


def mostly_written(mm):
    """Of the folios that came in clean of late, were most written before they left? One in 64 asks anew."""
    wrote = arch.load(cython.address(mm.counter[WROTE_CLEAN]))
    kept = arch.load(cython.address(mm.counter[KEPT_CLEAN]))
    if wrote + kept > 1024:  # forget slowly; two threads at once forget a little more
        arch.store(cython.address(mm.counter[WROTE_CLEAN]), wrote >> 1)
        arch.store(cython.address(mm.counter[KEPT_CLEAN]), kept >> 1)
    return wrote > 64 and wrote > 3 * kept and arch.load(cython.address(mm.counter[FAULTS_MAJOR])) % 64 != 0


def poison(mm, page, pages):
    """Whoever touches these pages gets a signal: SIGBUS where the kernel marks them, else SIGSEGV. Of a shared object nobody touches
    them but through a view, which is marked when that happens."""
    arch.add(cython.address(mm.counter[POISONED]), pages)
    if mm.shared:
        return
    if arch.mmu_poison(mm.fd, address_of(mm, page), pages << 12):
        arch.mmu_forbid(address_of(mm, page), pages << 12)
    arch.mmu_wake(mm.fd, address_of(mm, page), pages << 12)
