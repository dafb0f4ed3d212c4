"""Reclaim: which folios leave, and how.

The limit is kept by charging pages before they are put in memory: charge() finds room or makes it (direct reclaim). A thread in
the background keeps some room ready, so that a fault seldom has to. Folios leave oldest first, as lru.py has them.

A round takes a batch of victims, entries locked, sorts them by address and gives them slots in a row, so that what is
written together lies together and comes back in few, large reads. Those that are all of a block, of whatever sizes, get
slots as one folio has them, and can be one again (folio.py). A dirty folio leaves its range by a move into an empty frame,
after which nobody can write it; a clean one that is still write-protected is dropped, its slots hold it. Words that are all
equal leave as that value.

Lock order: a victim's entry (tried, never waited for), then ``lru_lock`` or area and frame locks. Entries stay locked over
the write; nothing else does. Folios charge whether they come in or are taken out, staging frames never do.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.cache import cache_add
from cython.cimports.hotswap.engine.folio import tail_lock
from cython.cimports.hotswap.engine.frames import frame_address, frame_moved, frame_put, frame_take
from cython.cimports.hotswap.engine.guard.contract import guard_unuse_mm, guard_use_mm
from cython.cimports.hotswap.engine.lru import lru_insert, shadow_make
from cython.cimports.hotswap.engine.mm import (
    DIRECT_RECLAIMS,
    FOLIO_SPLITS,
    FRAME_EMPTY,
    FRAME_READY,
    KEPT_CLEAN,
    NO_FRAME,
    PAGES_CLEAN,
    PAGES_FILLED,
    PAGES_OUT,
    PTE_ACTIVE,
    PTE_CLEAN,
    PTE_DIRTY,
    PTE_FILLED,
    PTE_KIND,
    PTE_PASSING,
    PTE_SWAPPED,
    PTE_WORKINGSET,
    UNMOVABLE,
    WAIT_NS,
    address_of,
    mm_at,
    pte_entry,
    pte_make,
)
from cython.cimports.hotswap.engine.shm import shm_drop, shm_fill, shm_said, shm_take_out
from cython.cimports.hotswap.engine.victims import BATCH, NOBODY_YET, isolate, sort_by_page
from cython.cimports.hotswap.engine.writeout import swap_writeout, swap_writeout_parts
from cython.cimports.libc.errno import EBADF
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t


def charge_now(mm, pages):
    """Counts pages in if the limit has room for them."""
    while True:
        resident = arch.load(cython.address(mm.resident))
        budget = arch.load(cython.address(mm.budget))
        if resident + pages > budget:
            return False
        if arch.cas(cython.address(mm.resident), resident, resident + pages):
            if resident + pages + low_mark(mm) > budget:
                arch.event_wake(cython.address(mm.pressure))
            return True


def charge(mm, pages):
    """May block. Counts pages in, evicting others until there is room; false when nothing would leave for a while.

    The caller then lets go of its locks and waits: what makes room (a free, a swapon) may need them.
    """
    if charge_now(mm, pages):
        return True
    arch.add(cython.address(mm.counter[DIRECT_RECLAIMS]), 1)
    began = arch.now_ns()
    barren: cython.int = 0
    while barren < BARREN_ROUNDS and not arch.load(cython.address(mm.stop)):
        seen = arch.event_read(cython.address(mm.relief))
        charged: cython.bint = charge_now(mm, pages)
        if not charged and shrink(mm, pages * 4 if pages > 16 else 64, barren >= URGENT_ROUNDS):
            barren = 0
            continue
        if charged or charge_now(mm, pages):
            arch.add(cython.address(mm.counter[WAIT_NS]), arch.now_ns() - began)
            return True
        barren += 1
        arch.event_wait(cython.address(mm.relief), seen, 2000)
    arch.add(cython.address(mm.counter[WAIT_NS]), arch.now_ns() - began)
    return False


def uncharge(mm, pages):
    arch.check(arch.load(cython.address(mm.resident)) >= pages, b"no more pages leave than came in")
    arch.add(cython.address(mm.resident), -cython.cast(int64_t, pages))
    arch.event_wake(cython.address(mm.relief))


def low_mark(mm):
    """Pages that background reclaim keeps free: a 64th of the limit, at most 16 MiB."""
    mark = arch.load(cython.address(mm.budget)) >> 6
    return mark if mark < 4096 else 4096


def reclaim_main(index):
    """The thread in the background: below the low mark it makes room up to twice that; with small folios no more at a time than half of
    the smallest frames hold. Then the pages of those frames are left for what comes in; of a longer run they would be
    freed and made anew, each for itself."""
    mm = mm_at(index)
    small: uint64_t = 0  # pages of rounds of small folios since it last slept
    # First a pause: a child of fork may be about to become another program.
    arch.event_wait(cython.address(mm.pressure), arch.event_read(cython.address(mm.pressure)), PAUSE_US)
    while not arch.load(cython.address(mm.stop)):
        seen = arch.event_read(cython.address(mm.pressure))
        resident = arch.load(cython.address(mm.resident))
        budget = arch.load(cython.address(mm.budget))
        short: cython.bint = resident + low_mark(mm) > budget
        wants: cython.bint = short or (resident + 2 * low_mark(mm) > budget and small < smallest_frames(mm) >> 1)
        if wants and (mm.shared or arch.is_open(mm.fd)):
            used: cython.bint = guard_use_mm(index)
            # What would take a large part of a small limit at one go would take what is in use.
            freed = shrink(mm, low_mark(mm), False)
            guard_unuse_mm(index, used)
            if freed:
                small += freed if freed < BATCH_PAGES else 0
                continue
        small = 0
        arch.event_wait(cython.address(mm.pressure), seen, PAUSE_US)


def smallest_frames(mm):
    """Pages in the smallest staging frames together."""
    return cython.cast(uint64_t, mm.pools[0].count) << mm.pools[0].order


def shrink(mm, want, urgent):
    """May block. One round: takes out at least ``want`` pages if it can; how many left. Any number may run at a time.
    ``urgent``: those before freed nothing. The caller holds the mmap lock, or uses the mm (guard contract)."""
    victims = cython.declare(Victim[BATCH])
    count: cython.int = NOBODY_YET
    while count == NOBODY_YET:
        count = isolate(mm, victims, want if want < BATCH_PAGES else BATCH_PAGES, urgent)
    if count == 0:
        return 0
    sort_by_page(victims, count)
    freed = drop_clean(mm, victims, count)
    return freed + write_out(mm, victims, count)


def drop_clean(mm, victims, count):
    """Clean folios go without a write. Write protection kept every writer out since they came in; pages so freed."""
    freed: uint64_t = 0
    for number in range(count):
        victim = cython.address(victims[number])
        if victim.kept & PTE_KIND != PTE_CLEAN:
            continue
        if mm.shared:
            shm_drop(mm, victim.page, victim.order)
        else:
            arch.mmu_drop(address_of(mm, victim.page), cython.cast(uint64_t, 4096) << victim.order)
        arch.add(cython.address(mm.counter[PAGES_CLEAN]), 1 << victim.order)
        arch.add(cython.address(mm.counter[KEPT_CLEAN]), 1)
        freed += cython.cast(uint64_t, 1) << victim.order
        finish(mm, victim, PTE_SWAPPED, pte_entry(victim.kept))
    return freed


def finish(mm, victim, kind, entry):
    """The victim is out: its entry says where, and is unlocked; its pages are given back to the limit."""
    pte = cython.address(mm.ptes[victim.page])
    if kind == PTE_FILLED:
        value_set(mm, victim)
    else:
        pte.prev = left_at(mm, victim)
    arch.bit_unlock(cython.address(pte.state), pte_make(kind, victim.order, entry))
    uncharge(mm, cython.cast(uint64_t, 1) << victim.order)


def value_set(mm, victim):
    mm.ptes[victim.page].prev = cython.cast(uint32_t, victim.value >> 32)
    mm.ptes[victim.page].next = cython.cast(uint32_t, victim.value)


def said_out(mm, victim, kind, entry):
    """Of an object: its entry says where it is from now on, and its frame may be had by others (shm.py)."""
    if kind == PTE_FILLED:
        value_set(mm, victim)
    shm_said(mm, victim.page, pte_make(kind, victim.order, entry))
    mm.frames[victim.frame].holds = 0


def left_at(mm, victim):
    """A shadow: when the folio left, in pages that left before and with it."""
    return shadow_make(arch.add(cython.address(mm.clock), 1 << victim.order), victim.kept & PTE_WORKINGSET != 0)


def take_out(mm, victim):
    """Moves a dirty folio into a frame; false when there is no frame now or the kernel will not let go of its pages."""
    address = address_of(mm, victim.page)
    length = cython.cast(uint64_t, 4096) << victim.order
    victim.frame = frame_take(mm, not mm.shared, victim.order)
    if victim.frame == NO_FRAME:
        return False
    staging = frame_address(mm, victim.frame)
    if mm.shared:
        mm.frames[victim.frame].holds = victim.page + 1
        if not shm_take_out(mm, victim.page, victim.order, staging):
            mm.frames[victim.frame].holds = 0
            frame_put(mm, victim.frame, FRAME_READY)
            victim.frame = NO_FRAME
            return False
    elif mm.features & arch.MMU_MOVE:
        failed = arch.mmu_move(mm.fd, staging, address, length)
        if failed and failed != -EBADF:
            # Pages shared with a child, or pinned a moment ago, become the process's own; which protection would prevent.
            arch.mmu_protect(mm.fd, address, length, False)
            if not arch.mmu_populate(address, length):
                failed = arch.mmu_move(mm.fd, staging, address, length)
        if failed:
            arch.add(cython.address(mm.counter[UNMOVABLE]), 1)
            frame_put(mm, victim.frame, FRAME_EMPTY)
            victim.frame = NO_FRAME
            return False
    else:
        # Nobody writes from here on; then the bytes are copied and the pages dropped.
        arch.mmu_protect(mm.fd, address, length, True)
        arch.copy(staging, address, length)
        arch.mmu_drop(address, length)
    return True


def put_back(mm, victim):
    """A victim that could not leave is mapped again, as the youngest."""
    if victim.frame != NO_FRAME:
        address = address_of(mm, victim.page)
        length = cython.cast(uint64_t, 4096) << victim.order
        staging = frame_address(mm, victim.frame)
        if not mm.shared and mm.features & arch.MMU_MOVE and not arch.mmu_move(mm.fd, address, staging, length):
            frame_moved(mm, victim.frame, victim.order)
        else:
            restore(mm, victim.page, cython.cast(uint64_t, 1) << victim.order, staging)
            mm.frames[victim.frame].holds = 0
            frame_put(mm, victim.frame, FRAME_READY)
        victim.frame = NO_FRAME
    lru_insert(mm, victim.page, victim.order, 0)
    arch.bit_unlock(cython.address(mm.ptes[victim.page].state), victim.kept & ~cython.cast(uint64_t, PTE_ACTIVE | PTE_PASSING))
    # Whoever faulted on it meanwhile waits for the entry, looks again and finds it in.


def write_out(mm, victims, count):
    """Dirty folios: out of their ranges, then to slots in a row; pages so freed. Every entry is unlocked at the end."""
    freed: uint64_t = 0
    out: cython.int = 0
    for number in range(count):
        victim = cython.address(victims[number])
        if victim.kept & PTE_KIND == PTE_CLEAN:
            continue
        if not take_out(mm, victim):
            put_back(mm, victim)
            continue
        staging = frame_address(mm, victim.frame)
        if arch.same_filled(staging, cython.cast(uint64_t, 4096) << victim.order):
            victim.value = arch.first_word(staging)
            if mm.shared:
                said_out(mm, victim, PTE_FILLED, 0)
            frame_put(mm, victim.frame, FRAME_READY)
            arch.add(cython.address(mm.counter[PAGES_FILLED]), 1 << victim.order)
            freed += cython.cast(uint64_t, 1) << victim.order
            finish(mm, victim, PTE_FILLED, 0)
            continue
        if out != number:
            victims[out].page = victim.page
            victims[out].kept = victim.kept
            victims[out].order = victim.order
            victims[out].frame = victim.frame
        out += 1
    done: cython.int = 0
    while done < out:
        written = write_run(mm, cython.address(victims[done]), out - done)
        if written == 0:
            if victims[done].order:
                freed += write_parts(mm, cython.address(victims[done]))
                done += 1
                continue
            break
        for number in range(done, done + written):
            freed += cython.cast(uint64_t, 1) << victims[number].order
        done += written
    for number in range(done, out):
        put_back(mm, cython.address(victims[number]))
    return freed


def write_run(mm, victims, count):
    """Writes the first victims to slots in a row: those that are a block, else those of one order; how many, 0 when none can be."""
    least = cython.declare(cython.int)
    want = whole_block(mm, victims, count, cython.address(least))
    written: cython.int = write_row(mm, victims, want, least, mm.order) if want else 0
    if written == 0:
        order = victims[0].order
        want = 1
        while want < count and victims[want].order == order:
            want += 1
        written = write_row(mm, victims, want, order, order)
    return written


def whole_block(mm, victims, count, least):
    """How many of the first victims are all of a block, what the largest folio there can be has room for, in pieces; in ``least`` the order of the
    smallest. 0: they are not."""
    page: uint64_t = victims[0].page
    end: uint64_t = page + (cython.cast(uint64_t, 1) << mm.order)
    number: cython.int = 0
    least[0] = victims[0].order
    if mm.levels == 1 or victims[0].order == mm.order or page >> mm.order << mm.order != page:
        return 0
    while page < end and number < count and victims[number].page == page:
        order = victims[number].order
        least[0] = order if order < least[0] else least[0]
        page += cython.cast(uint64_t, 1) << order
        number += 1
    return number if page == end else 0


def write_row(mm, victims, count, order, unit):
    """Writes victims, none smaller than ``order``, to slots in a row, taken as folios of order ``unit`` have them; how many."""
    addresses = cython.declare(uint64_t[BATCH])
    first = cython.declare(uint64_t[1])
    pieces: cython.int = 0
    for number in range(count):
        staging = frame_address(mm, victims[number].frame)
        for piece in range(1 << (victims[number].order - order)):
            arch.check(pieces < BATCH, b"a block has no more pages than a round has victims")
            addresses[pieces] = staging + (cython.cast(uint64_t, piece) << (12 + order))
            pieces += 1
    got = swap_writeout(mm, victims[0].page, addresses, pieces, order, unit, first)
    if got <= 0:
        return 0
    arch.add(cython.address(mm.counter[PAGES_OUT]), got << order)
    entry: uint64_t = first[0]
    end: uint64_t = entry + (cython.cast(uint64_t, got) << order)
    written: cython.int = 0
    while entry < end:
        victim = cython.address(victims[written])
        if mm.shared:
            said_out(mm, victim, PTE_SWAPPED, entry)
        cache_add(mm, entry, 1 << victim.order, victim.frame)
        finish(mm, victim, PTE_SWAPPED, entry)
        entry += cython.cast(uint64_t, 1) << victim.order
        written += 1
    return written


def write_parts(mm, victim):
    """May block. A large folio for which no area has its slots in a row: page by page, to wherever there are some. It is split; what no
    area takes is put back. Pages so freed."""
    entries = cython.declare(uint64_t[LARGEST])
    size: uint64_t = cython.cast(uint64_t, 1) << victim.order
    staging = frame_address(mm, victim.frame)
    out = swap_writeout_parts(mm, victim.page, staging, 1 << victim.order, entries)
    if out <= 0:
        put_back(mm, victim)
        return 0
    arch.add(cython.address(mm.counter[PAGES_OUT]), out)
    if out < size:
        restore(mm, victim.page + out, size - out, staging + (out << 12))
    if not mm.shared:
        frame_put(mm, victim.frame, FRAME_READY)
    shadow = left_at(mm, victim)
    page: uint64_t = size
    while page > 0:  # the folio's own entry last
        page -= 1
        said = pte_make(PTE_SWAPPED, 0, entries[page]) if page < out else pte_make(PTE_DIRTY, 0, 0)
        pte = cython.address(mm.ptes[victim.page + page])
        if page:
            tail_lock(mm, victim.page + page)
        if page < out:
            pte.prev = shadow
        else:
            lru_insert(mm, victim.page + page, 0, 0)
        arch.bit_unlock(cython.address(pte.state), said)
    if mm.shared:  # not before: it has what the entry says is in memory
        mm.frames[victim.frame].holds = 0
        frame_put(mm, victim.frame, FRAME_READY)
    victim.frame = NO_FRAME
    arch.add(cython.address(mm.counter[FOLIO_SPLITS]), 1)
    uncharge(mm, out)
    return out


def restore(mm, page, pages, staging):
    """Bytes that were taken out are put where they were, writable; nobody can touch them meanwhile."""
    if mm.shared:
        shm_fill(mm, page, pages << 12, staging)
    else:
        arch.check(
            not arch.mmu_copy(mm.fd, address_of(mm, page), staging, pages << 12, False), b"a folio can be put back where it was"
        )
