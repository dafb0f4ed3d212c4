"""Readahead: what a sequential reader will fault on next is brought into the swap cache before it does.

``readahead_after`` runs at the end of a swap-in: it recognises the reader by the page it was expected at, widens the
reader's window while it goes on, and asks a thread of the space to read. ``read_window`` reads neighbours whose slots are
neighbours too, in large transfers, into frames of the cache; nothing is mapped, nobody's entry is locked. A fault then
finds its folio there (fault.py, which maps small ones behind it in the same go).

A slot is taken into the cache inside the guard and only while somebody refers to it, so what is read stays true, and the slot
keeps its area on over the transfer; on an area that is being emptied nothing is read ahead (seed 001, races R01 and R19). Streams are hints: their words are read and
written without a lock, a wrong one costs a read.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import area_at, area_read
from cython.cimports.hotswap.engine.cache import cache_forget, cache_reserve, cache_settle, frame_address, frame_put, frame_take
from cython.cimports.hotswap.engine.entry import entry_offset, entry_type
from cython.cimports.hotswap.engine.guard.contract import guard_unuse_mm, guard_use_mm
from cython.cimports.hotswap.engine.mm import (
    AHEAD_PAGES,
    FRAME_READY,
    NO_FRAME,
    PAGES_IN,
    PTE_KIND,
    PTE_SWAPPED,
    REQUESTS,
    STREAMS,
    find_vma,
    mm_at,
    pte_entry,
)
from cython.cimports.hotswap.engine.swap_map import swap_count
from cython.cimports.libc.errno import EBUSY
from cython.cimports.libc.stdint import uint64_t


def readahead_after(mm, page, order):
    """A fault brought ``page`` in. If a reader was expected here, look further ahead of it; else remember it as a new one."""
    size: uint64_t = cython.cast(uint64_t, 1) << order
    for number in range(STREAMS):
        stream = cython.address(mm.streams[number])
        if arch.load(cython.address(stream.next)) != page:
            continue
        arch.store(cython.address(stream.next), page + size)
        window = arch.load(cython.address(stream.window)) * 2
        most: uint64_t = WIDEST >> order
        spare: uint64_t = mm.frame_count >> 2  # windows of all readers together leave frames for faults and reclaim
        window = window if window < most else most
        window = window if window < spare else spare
        window = window if window > 1 else 1
        arch.store(cython.address(stream.window), window)
        ahead = arch.load(cython.address(stream.ahead))
        if ahead < page + size:
            ahead = page + size
        # Half of the window used up: ask for the rest of it in one go.
        if ahead <= page + (window << order) // 2 + size:
            upto = page + size + (window << order)
            arch.store(cython.address(stream.ahead), upto)
            ask(mm, ahead, cython.cast(cython.int, (upto - ahead) >> order), order)
        return
    stream = cython.address(mm.streams[arch.add(cython.address(mm.stream_turn), 1) % STREAMS])
    arch.store(cython.address(stream.next), page + size)
    arch.store(cython.address(stream.window), 1)
    arch.store(cython.address(stream.ahead), 0)


def ask(mm, page, folios, order):
    """Leaves a window for the readahead threads, a transfer each; when they are far behind the rest is not worth having."""
    most: cython.int = AHEAD_READ >> order
    most = most if most > 1 else 1
    arch.mutex_lock(cython.address(mm.request_lock))
    while folios > 0 and mm.request_count < REQUESTS:
        place = (mm.request_head + mm.request_count) % REQUESTS
        part: cython.int = folios if folios < most else most
        mm.requests[place].page = page
        mm.requests[place].folios = part
        mm.request_count += 1
        page += cython.cast(uint64_t, part) << order
        folios -= part
    arch.mutex_unlock(cython.address(mm.request_lock))
    arch.event_wake(cython.address(mm.request_event))


def readahead_main(index):
    mm = mm_at(index)
    while not arch.load(cython.address(mm.stop)):
        seen = arch.event_read(cython.address(mm.request_event))
        page: uint64_t = 0
        folios: cython.int = 0
        arch.mutex_lock(cython.address(mm.request_lock))
        if mm.request_count:
            page = mm.requests[mm.request_head].page
            folios = mm.requests[mm.request_head].folios
            mm.request_head = (mm.request_head + 1) % REQUESTS
            mm.request_count -= 1
        arch.mutex_unlock(cython.address(mm.request_lock))
        if folios:
            read_window(mm, page, folios)
        else:
            arch.event_wait(cython.address(mm.request_event), seen, -1)


def read_window(mm, page, folios):
    """May block. Reads what of a window is out, in runs of neighbouring slots."""
    arch.read_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, page)
    if number < 0:
        arch.read_unlock(cython.address(mm.mmap_lock))
        return
    order = mm.vmas[number].order
    left: uint64_t = (mm.vmas[number].start + mm.vmas[number].pages - page) >> order
    arch.read_unlock(cython.address(mm.mmap_lock))
    # From here on the array may go: entries are then empty, and slots that were taken stay ours until they are let go.
    used: cython.bint = guard_use_mm(mm.index)
    if cython.cast(uint64_t, folios) > left:
        folios = cython.cast(cython.int, left)
    frames = cython.declare(cython.int[AHEAD_READ])
    addresses = cython.declare(uint64_t[AHEAD_READ])
    span = cython.declare(Span)
    while folios > 0:
        most: cython.int = AHEAD_READ >> order
        most = most if most > 1 else 1
        gather(mm, page, order, folios if folios < most else most, cython.address(span))
        run = span.folios
        if run == 0:
            page += cython.cast(uint64_t, 1) << order
            folios -= 1
            continue
        entry = span.entry
        type = entry_type(entry)
        got = take_slots(mm, entry, order, run, frames)
        if got < 0:
            break
        if got:
            for k in range(got):
                addresses[k] = frame_address(mm, frames[k])
            # Slots with HAS_CACHE keep their area on.
            failed = area_read(area_at(type), addresses, got, cython.cast(uint64_t, 1) << order, entry_offset(entry))
            if not failed:
                arch.add(cython.address(mm.counter[PAGES_IN]), got << order)
                arch.add(cython.address(mm.counter[AHEAD_PAGES]), got << order)
            for k in range(got):
                mm.frames[frames[k]].ahead = True
                cache_settle(mm, frames[k], not failed)  # what could not be read is left to the fault, which says so
                part = entry + (cython.cast(uint64_t, k) << order)
                if not failed and swap_count(part) == 0:
                    cache_forget(part)  # let go of meanwhile, when the frame could not be taken out of the cache
        run = got if got else 1  # none: the first is in the cache already, or was just freed
        page += cython.cast(uint64_t, run) << order
        folios -= run
    guard_unuse_mm(mm.index, used)


def gather(mm, page, order, folios, span):
    """How many folios from ``page`` on are out in consecutive slots of one area, as their entries say at a glance."""
    size: uint64_t = cython.cast(uint64_t, 1) << order
    run: cython.int = 0
    span.entry = 0
    while run < folios:
        state = arch.load(cython.address(mm.ptes[page + run * size].state))
        if state & PTE_KIND != PTE_SWAPPED or state & arch.LOCKED:
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
        frame = frame_take(mm, False)
        if frame == NO_FRAME:
            return got if got else -1
        failed = cache_reserve(mm, entry + (cython.cast(uint64_t, got) << order), 1 << order, frame)
        if failed:
            frame_put(mm, frame, FRAME_READY)
            return -1 if failed == -EBUSY and not got else got
        frames[got] = frame
        got += 1
    return got


def readahead_moved(mm, page, to):
    """Folios from ``page`` up to ``to`` were mapped without a fault: the reader that was expected at the first comes later."""
    for number in range(STREAMS):
        stream = cython.address(mm.streams[number])
        if arch.load(cython.address(stream.next)) == page:
            arch.store(cython.address(stream.next), to)
            return
