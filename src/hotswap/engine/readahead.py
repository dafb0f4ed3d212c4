"""Readahead: what a reader will fault on next is brought into the swap cache before it does.

``readahead_after`` runs at the end of a swap-in: it recognises the reader by the page it was expected at, of one in a row (stream.py) or in
equal steps (stride.py), widens the reader's window while it goes on, and asks a thread of the space to read. ``read_window`` makes large
folios of neighbours that are out (folio.py) and reads those whose slots are neighbours too, in large transfers; ``read_steps`` reads
single folios, wherever their slots are, all at once. Both read into frames of the cache; nothing is mapped, nobody's entry is locked over a
transfer. A fault then finds its folio there (fault.py, which maps small ones that come next in the same go).

A slot is taken into the cache inside the guard and only while somebody refers to it, so what is read stays true, and the slot
keeps its area on over the transfer; on an area that is being emptied nothing is read ahead (seed 001, races R01 and R19).
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import area_at, area_read, area_read_each
from cython.cimports.hotswap.engine.cache import cache_forget, cache_reserve, cache_settle
from cython.cimports.hotswap.engine.entry import entry_offset, entry_type
from cython.cimports.hotswap.engine.folio import folio_merge, folio_part
from cython.cimports.hotswap.engine.frames import frame_address, frame_put, frame_take_to_read, pool_for
from cython.cimports.hotswap.engine.guard.contract import guard_unuse_mm, guard_use_mm
from cython.cimports.hotswap.engine.mm import (
    AHEAD_PAGES,
    FRAME_READY,
    NO_FRAME,
    PAGES_IN,
    PTE_CLEAN,
    PTE_DIRTY,
    PTE_KIND,
    PTE_SWAPPED,
    PTE_TAIL,
    REQUESTS,
    find_vma,
    mm_at,
    pte_entry,
    pte_order,
)
from cython.cimports.hotswap.engine.sizes import before_order, largest_order
from cython.cimports.hotswap.engine.store.file import EACH
from cython.cimports.hotswap.engine.stream import (
    STREAM_NONE,
    Ahead,
    stream_begins,
    stream_expected,
    stream_new,
    stream_sparse,
    stream_went_on,
)
from cython.cimports.hotswap.engine.stride import Steps, stride_went_on
from cython.cimports.hotswap.engine.swap_map import swap_count, swap_has_cache
from cython.cimports.libc.errno import EBUSY
from cython.cimports.libc.stdint import int64_t, uint64_t


def readahead_after(mm, page, order):
    """A fault brought the folio at ``page`` in. If a reader was expected here, look further ahead of it; else remember it as a new one."""
    ahead = cython.declare(Ahead)
    steps = cython.declare(Steps)
    number = stream_expected(mm, page)
    if number == STREAM_NONE:
        # Windows of all readers together leave frames for faults and reclaim.
        if stride_went_on(
            mm,
            page,
            cython.cast(uint64_t, 1) << order,
            cython.cast(uint64_t, pool_for(mm, order).count) >> 2,
            cython.address(steps),
        ):
            if steps.count:
                ask_steps(mm, cython.address(steps))
            elif steps.short:
                stream_sparse(mm, page, cython.cast(uint64_t, 1) << order, steps.back)
            return
        stream_new(mm, page, cython.cast(uint64_t, 1) << order, resident_before(mm, page))
        return
    if page == mm.vmas[find_vma(mm, page)].start:
        stream_begins(mm, number)
    largest = cython.address(mm.pools[mm.pool_count - 1])
    spare: uint64_t = cython.cast(uint64_t, largest.count) << largest.order >> (1 if largest.kept else 2)
    most: uint64_t = spare if spare < WIDEST else cython.cast(uint64_t, WIDEST)
    stream_went_on(mm, number, page, cython.cast(uint64_t, 1) << order, most, cython.address(ahead))
    if ahead.pages:
        ask(mm, cython.address(ahead))


def resident_before(mm, page):
    """Pages right before ``page`` that are in memory: a reader who comes over them makes no fault. A hint. Caller: mmap lock."""
    vma = cython.address(mm.vmas[find_vma(mm, page)])
    at: uint64_t = page
    for _look in range(RESIDENT_LOOKS):
        if at == vma.start:
            break
        order = pte_order(arch.load(cython.address(mm.ptes[at - 1].state)))
        first: uint64_t = (at - 1) >> order << order
        kind = arch.load(cython.address(mm.ptes[first].state)) & PTE_KIND
        if kind != PTE_CLEAN and kind != PTE_DIRTY:
            break
        at = first
    return page - at


def ask(mm, ahead):
    """Leaves pages for the readahead threads, a transfer each, cut where large folios begin; when they are far behind the rest is
    not worth having."""
    page: uint64_t = ahead.page
    end: uint64_t = page + ahead.pages
    arch.mutex_lock(cython.address(mm.request_lock))
    while page < end and mm.request_count < REQUESTS:
        first: uint64_t = page
        last: uint64_t = end
        if ahead.back:
            first = (end - 1) & ~cython.cast(uint64_t, AHEAD_READ - 1)
            first = first if first > page else page
            end = first
        else:
            last = (page | (AHEAD_READ - 1)) + 1
            last = last if last < end else end
            page = last
        request_add(mm, first, last - first, 0)
    arch.mutex_unlock(cython.address(mm.request_lock))
    arch.event_wake(cython.address(mm.request_event))


def ask_steps(mm, steps):
    """The same for a reader in steps: as many at one go as are read at once."""
    page: uint64_t = steps.page
    left: uint64_t = steps.count
    arch.mutex_lock(cython.address(mm.request_lock))
    while left and mm.request_count < REQUESTS:
        count: uint64_t = left if left < EACH else EACH
        request_add(mm, page, count, steps.step)
        page += count * cython.cast(uint64_t, steps.step)
        left -= count
    arch.mutex_unlock(cython.address(mm.request_lock))
    arch.event_wake(cython.address(mm.request_event))


def request_add(mm, page, pages, step):
    """Caller: request lock, and there is room."""
    request = cython.address(mm.requests[(mm.request_head + mm.request_count) % REQUESTS])
    request.page = page
    request.pages = pages
    request.step = step
    mm.request_count += 1


def readahead_main(index):
    mm = mm_at(index)
    while not arch.load(cython.address(mm.stop)):
        seen = arch.event_read(cython.address(mm.request_event))
        page: uint64_t = 0
        pages: uint64_t = 0
        step: int64_t = 0
        arch.mutex_lock(cython.address(mm.request_lock))
        if mm.request_count:
            page = mm.requests[mm.request_head].page
            pages = mm.requests[mm.request_head].pages
            step = mm.requests[mm.request_head].step
            mm.request_head = (mm.request_head + 1) % REQUESTS
            mm.request_count -= 1
        arch.mutex_unlock(cython.address(mm.request_lock))
        if pages and step:
            read_steps(mm, page, pages, step)
        elif pages:
            read_window(mm, page, pages)
        else:
            arch.event_wait(cython.address(mm.request_event), seen, -1)


def read_window(mm, page, pages):
    """May block. Reads what of a window is out, in runs of neighbouring slots."""
    # The array may go at any time: entries are then empty, and slots that were taken stay ours until they are let go.
    end: uint64_t = page + pages
    while page < end:
        order = enlarge(mm, page, end)  # has the mmap lock, which a guard may take over a run, and which nobody takes twice
        if order < 0:
            return
        used: cython.bint = guard_use_mm(mm.index)
        got = read_run(mm, page, order, end)
        guard_unuse_mm(mm.index, used)
        if got == 0:
            return
        page += got


def read_run(mm, page, order, end):
    """May block. Reads folios of that order from ``page`` on that are out in slots in a row; how many pages were passed, 0 when it is time
    to stop."""
    frames = cython.declare(cython.int[AHEAD_READ])
    addresses = cython.declare(uint64_t[AHEAD_READ])
    span = cython.declare(Span)
    size: uint64_t = cython.cast(uint64_t, 1) << order
    most: cython.int = AHEAD_READ >> order
    most = most if most > 1 else 1
    left: cython.int = cython.cast(cython.int, (end - page + size - 1) >> order)
    gather(mm, page, order, left if left < most else most, cython.address(span))
    if span.folios == 0:
        return size
    got = take_slots(mm, span.entry, order, span.folios, frames)
    if got < 0:
        return 0
    if got == 0:
        return size  # the first is in the cache already, or was just freed
    for k in range(got):
        addresses[k] = frame_address(mm, frames[k])
    # Slots with HAS_CACHE keep their area on.
    failed = area_read(area_at(entry_type(span.entry)), addresses, got, size, entry_offset(span.entry))
    for k in range(got):
        settle(mm, span.entry + (cython.cast(uint64_t, k) << order), order, frames[k], failed)
    return cython.cast(uint64_t, got) << order


def read_steps(mm, page, count, step):
    """May block. Reads the folios at ``page`` and up to ``count`` - 1 steps on that are out, within its array, all at once."""
    entries = cython.declare(uint64_t[EACH])
    addresses = cython.declare(uint64_t[EACH])
    frames = cython.declare(cython.int[EACH])
    failed = cython.declare(cython.int[EACH])
    order = cython.declare(cython.int)
    found = find_steps(mm, page, count, step, entries, cython.address(order))
    if found == 0:
        return
    used: cython.bint = guard_use_mm(mm.index)
    got: cython.int = 0
    for k in range(found):
        if take_slots(mm, entries[k], order, 1, cython.address(frames[got])) == 1:
            entries[got] = entries[k]
            addresses[got] = frame_address(mm, frames[got])
            got += 1
    if got:
        area_read_each(entries, addresses, got, cython.cast(uint64_t, 1) << order, failed)
    for k in range(got):
        settle(mm, entries[k], order, frames[k], failed[k])
    guard_unuse_mm(mm.index, used)


def find_steps(mm, page, count, step, entries, order):
    """The entries of the folios there that are out and not in the cache, as they say at a glance, all of the first one's ``order``; how many. What is part of a
    larger folio becomes one of its own."""
    found: cython.int = 0
    arch.read_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    if number >= 0:
        vma = cython.address(mm.vmas[number])
        at: uint64_t = page
        for _step in range(count):
            if at < vma.start or at >= vma.start + vma.pages:
                break
            state = folio_part(mm, at)
            fits: cython.bint = state and (found == 0 or pte_order(state) == order[0])
            if fits and not swap_has_cache(pte_entry(state)):
                order[0] = pte_order(state)
                entries[found] = pte_entry(state)
                found += 1
            at += cython.cast(uint64_t, step)
    arch.read_unlock(cython.address(mm.mmap_lock))
    return found


def settle(mm, entry, order, frame, failed):
    """What was read is the cache's; what could not be read is left to the fault, which says so."""
    if not failed:
        arch.add(cython.address(mm.counter[PAGES_IN]), 1 << order)
        arch.add(cython.address(mm.counter[AHEAD_PAGES]), 1 << order)
    cache_settle(mm, frame, not failed)
    if not failed and swap_count(entry) == 0:
        cache_forget(entry)  # let go of meanwhile, when the frame could not be taken out of the cache


def enlarge(mm, page, end):
    """The order of the folio at ``page``, after an attempt to make it larger; -1 when there is no range there."""
    arch.read_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    if number < 0 or page >= mm.vmas[number].start + mm.vmas[number].pages:
        arch.read_unlock(cython.address(mm.mmap_lock))
        return -1
    vma = cython.address(mm.vmas[number])
    stop: uint64_t = vma.start + vma.pages
    state = arch.load(cython.address(mm.ptes[page].state))
    order: cython.int = 0 if state & PTE_KIND == PTE_TAIL else pte_order(state)
    merged: cython.bint = False
    if state & PTE_KIND == PTE_SWAPPED:
        wanted: cython.int = largest_order(mm, vma)
        while wanted > order and not merged:
            size: uint64_t = cython.cast(uint64_t, 1) << wanted
            if page & (size - 1) == 0 and page + size <= end and page + size <= stop:
                merged = folio_merge(mm, page, wanted)
            if not merged:
                wanted = before_order(mm, wanted)
        order = wanted if merged else order
    arch.read_unlock(cython.address(mm.mmap_lock))
    return order


def gather(mm, page, order, folios, span):
    """How many folios from ``page`` on are out in consecutive slots of one area, as their entries say at a glance."""
    size: uint64_t = cython.cast(uint64_t, 1) << order
    run: cython.int = 0
    span.entry = 0
    while run < folios:
        state = arch.load(cython.address(mm.ptes[page + run * size].state))
        if state & PTE_KIND != PTE_SWAPPED or state & arch.LOCKED or pte_order(state) != order:
            break
        if run == 0:
            span.entry = pte_entry(state)
        elif pte_entry(state) != span.entry + run * size:
            break
        run += 1
    span.folios = run


def take_slots(mm, entry, order, folios, frames):
    """Takes the slots of up to ``folios`` folios into the cache, each with a frame; how many in a row, -1 to stop altogether."""
    got: cython.int = 0
    while got < folios:
        frame = frame_take_to_read(mm, order)
        if frame == NO_FRAME:
            return got if got else -1
        failed = cache_reserve(mm, entry + (cython.cast(uint64_t, got) << order), 1 << order, frame)
        if failed:
            frame_put(mm, frame, FRAME_READY)
            return -1 if failed == -EBUSY and not got else got
        frames[got] = frame
        got += 1
    return got
