"""Folios: how large they are, how one becomes several, and several one.

A folio is an aligned block of a range, a power of two of pages. The entry of its first page is its own (mm.py); those of the others
are tails. Every entry, tails too, says the folio's order, so from any page of it the first is found without a search: round down.
``folio_lock`` does that, takes the lock there, and looks whether the page is still in that folio: sizes change under that lock only.
A page that was never touched is a folio of its own.

Size follows use, by three rules (levels: 4 KiB, 64 KiB, and what the limit allows up to 1 MiB; decision 12):

- **First touches** grow: next to a folio that was touched before, one a level larger is made, else a single page.
- **A swapped-out folio** comes in whole for a reader that was expected there (readahead.py), or if it was read ahead. Anybody else
  gets the part he touched: a single page where faults are scattered, 64 KiB where most faults belong to scans, as they are then likely to
  begin another (``dense``), or all of it if it left so lately that the cache still has it. The next fault of whoever was given 64 KiB is a
  trial (stream.py): one page, as who goes in steps of 64 KiB would be there too. What remains is as it was, in smaller folios. So is
  what a write to a clean folio leaves clean.
- **Readahead** makes large ones again: neighbours that are out, in slots that are neighbours too, become one before they are read. So that they
  get there, parts of what can be one folio are kept or not together (lru.py), and leave to slots in a row (reclaim.py; decision 25).

Where a space is given a size of folios there is one level and no rule applies. A folio of any size is still split where no area has its
slots in a row (writeout.py).

Lock order: one entry may be waited for; others are tried while it is held. A tail's lock is taken by who came too late, for a look,
and by who holds the folio's own, to change it: neither waits for anything meanwhile. ``lru_lock`` is inside.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import CLUSTER_SLOTS
from cython.cimports.hotswap.engine.cache import cache_has, cache_shed
from cython.cimports.hotswap.engine.entry import entry_offset
from cython.cimports.hotswap.engine.family import family
from cython.cimports.hotswap.engine.lru import lru_link_behind
from cython.cimports.hotswap.engine.mm import (
    FOLIO_MERGES,
    FOLIO_SPLITS,
    PTE_ACTIVE,
    PTE_CLEAN,
    PTE_DIRTY,
    PTE_FILLED,
    PTE_KIND,
    PTE_NONE,
    PTE_PINNED,
    PTE_SWAPPED,
    PTE_TAIL,
    PTE_USE,
    pte_entry,
    pte_make,
    pte_order,
)
from cython.cimports.hotswap.engine.sizes import before_order, largest_order, next_order
from cython.cimports.hotswap.engine.stream import STREAM_NONE, stream_expected, stream_on_trial
from cython.cimports.libc.stdint import uint32_t, uint64_t


def folio_lock(mm, page):
    """May block. Locks the entry of the folio that ``page`` is in; its first page. NO_FOLIO: of an object, which somebody may have locked
    who died; the caller lets go of its locks, so that everybody can rest, and comes again."""
    while True:
        order = pte_order(arch.load(cython.address(mm.ptes[page].state)))
        folio: uint64_t = page >> order << order
        pte = cython.address(mm.ptes[folio])
        if not lock_waits(mm, folio):
            return NO_FOLIO
        state = arch.load(cython.address(pte.state))
        if state & PTE_KIND != PTE_TAIL and page - folio < cython.cast(uint64_t, 1) << pte_order(state):
            return folio
        arch.bit_unlock(cython.address(pte.state), state)  # it was split or merged meanwhile


def folio_fit(mm, vma, page, write, all):
    """May block. Locks the folio that ``page`` is in, made the size that suits the fault; its first page, or NO_FOLIO. ``all``: all of
    what is around is wanted too. Caller: mmap lock."""
    if vma.order and arch.load(cython.address(mm.ptes[page].state)) >> 2 == 0:  # never touched, apart from the lock
        folio_begin(mm, vma, page, largest_order(mm, vma) if all else touch_order(mm, vma, page))
    folio = folio_lock(mm, page)
    while vma.order and folio != NO_FOLIO and folio_divides(mm, folio):
        have = pte_order(arch.load(cython.address(mm.ptes[folio].state)))
        order = largest_order(mm, vma) if all else wanted_order(mm, vma, folio, page, write)
        if order >= have:
            break
        # Halfway first: what nobody asked for stays as large as it can.
        step = before_order(mm, have)
        folio_split(mm, folio, order if order > step else step)
        folio = folio_lock(mm, page)
    return folio


def folio_begin(mm, vma, page, order):
    """May block. The untouched pages around ``page`` become a folio as large as they allow, up to that order."""
    while order > 0 and not folio_grow(mm, vma, page, order):
        order = before_order(mm, order)


def folio_divides(mm, folio):
    """May a fault split it? What is dirty, pinned or poisoned stays as it is. Caller: its entry."""
    kind = arch.load(cython.address(mm.ptes[folio].state)) & PTE_KIND
    return mm.levels > 1 and (kind == PTE_NONE or kind == PTE_FILLED or kind == PTE_SWAPPED or kind == PTE_CLEAN)


def wanted_order(mm, vma, folio, page, write):
    """Of the folio that the fault is for. Caller: its entry."""
    state = arch.load(cython.address(mm.ptes[folio].state))
    kind = state & PTE_KIND
    have = pte_order(state)
    most = largest_order(mm, vma)
    if kind == PTE_CLEAN and write:
        last: uint64_t = folio + (cython.cast(uint64_t, 1) << have) - 1
        follows: cython.bint = page == folio and (folio == vma.start or kind_at(mm, folio - 1) == PTE_DIRTY)
        precedes: cython.bint = page == last and (last + 1 == vma.start + vma.pages or kind_at(mm, last + 1) == PTE_DIRTY)
        return have if follows or precedes else sparse_order(mm, vma, have)
    if kind == PTE_SWAPPED or kind == PTE_FILLED:
        number = stream_expected(mm, page)
        scan: cython.bint = number != STREAM_NONE
        trial: cython.bint = scan and stream_on_trial(mm, number, folio, cython.cast(uint64_t, 1) << have)
        left: cython.bint = arch.load(cython.address(vma.dense)) >= DENSE
        whole: cython.bint = (
            have == 0 or (scan and not trial) or (kind == PTE_SWAPPED and cache_has(mm, pte_entry(state), 1 << have, left))
        )
        order = have if whole else (0 if trial else sparse_order(mm, vma, have))
        order = order if order < most else most
        if order == have and not trial:  # the last look: once a fault
            scan_noted(vma, scan)
        return order
    return have if have < most or kind != PTE_NONE else most


def kind_at(mm, page):
    """What is said of the folio that a page is in: a hint, without its lock."""
    order = pte_order(arch.load(cython.address(mm.ptes[page].state)))
    return arch.load(cython.address(mm.ptes[page >> order << order].state)) & PTE_KIND


def touch_order(mm, vma, page):
    """Of a first touch: a level more than what is next to it. The beginning of a range is taken for the beginning of a scan."""
    if mm.levels == 1:
        return vma.order
    if page == vma.start:
        return next_order(mm, vma, 0)
    before = arch.load(cython.address(mm.ptes[page - 1].state))
    if before & PTE_KIND != PTE_NONE:
        return next_order(mm, vma, pte_order(before))
    if page + 1 < vma.start + vma.pages:
        behind = arch.load(cython.address(mm.ptes[page + 1].state))
        if behind & PTE_KIND != PTE_NONE:
            return next_order(mm, vma, pte_order(behind))
    return 0


def sparse_order(mm, vma, order):
    """What a fault gets that nobody expected, of a folio of that order."""
    if arch.load(cython.address(vma.dense)) < DENSE:
        return 0
    middle = mm.pools[1].order if mm.levels > 2 else 0
    return middle if middle < order else order


def scan_noted(vma, scan):
    """A hint; two faults at once may count as one."""
    dense = arch.load(cython.address(vma.dense))
    arch.store(cython.address(vma.dense), dense + ((256 - dense) >> DENSE_SHIFT) if scan else dense - (dense >> DENSE_SHIFT))


def folio_part(mm, page):
    """What the entry of ``page`` says, made a folio of its own (as small as the space has them), if it is out and nobody has it in hand;
    else 0. Locks are only tried. Caller: mmap lock."""
    least = mm.pools[0].order
    while True:
        state = arch.load(cython.address(mm.ptes[page].state))
        order = pte_order(state)
        folio: uint64_t = page >> order << order
        pte = cython.address(mm.ptes[folio])
        state = arch.load(cython.address(pte.state))
        if state & PTE_KIND != PTE_SWAPPED or pte_order(state) != order:
            return 0
        if order <= least:
            return state
        if not arch.bit_trylock(cython.address(pte.state)):
            return 0
        state = arch.load(cython.address(pte.state))
        if state & PTE_KIND != PTE_SWAPPED or pte_order(state) != order:
            arch.bit_unlock(cython.address(pte.state), state)
            return 0
        step = before_order(mm, order)
        folio_split(mm, folio, step if step > least else least)


def folio_grow(mm, vma, page, order):
    """May block. Makes the untouched pages around ``page`` one folio. False, and nothing has changed: the range does not have all of it,
    or some of it was touched. Caller: mmap lock, and no entry.

    Entries are waited for from the first page on, which every other who would do the same begins with. Those who have one of a
    page that was not touched yet wait for none.
    """
    folio: uint64_t = page >> order << order
    end: uint64_t = folio + (cython.cast(uint64_t, 1) << order)
    if folio < vma.start or end > vma.start + vma.pages:
        return False
    got: uint64_t = folio
    untouched: cython.bint = True
    while got < end and untouched:
        pte = cython.address(mm.ptes[got])
        untouched = arch.load(cython.address(pte.state)) >> 2 == 0  # apart from the lock
        if untouched and not lock_waits(mm, got):
            untouched = False
        elif untouched:
            state = arch.load(cython.address(pte.state))
            untouched = state >> 2 == 0
            if not untouched:
                arch.bit_unlock(cython.address(pte.state), state)
            else:
                got += 1
    while got > folio:  # the folio's own last: who finds a tail finds its folio
        got -= 1
        if not untouched:
            arch.bit_unlock(cython.address(mm.ptes[got].state), 0)
        else:
            arch.bit_unlock(cython.address(mm.ptes[got].state), pte_make(PTE_TAIL if got != folio else PTE_NONE, order, 0))
    return untouched


def folio_split(mm, folio, order):
    """Makes a folio, whose entry is the caller's, folios of that order, with the same said of each, and unlocks it."""
    pte = cython.address(mm.ptes[folio])
    state = arch.load(cython.address(pte.state))
    have = pte_order(state)
    said = pte_make(state & PTE_KIND, order, pte_entry(state)) | (state & (PTE_PINNED | PTE_USE))
    size: uint64_t = cython.cast(uint64_t, 1) << order
    entry: uint64_t = size if pte_entry(state) else 0
    listed: cython.bint = state & PTE_KIND == PTE_CLEAN or (state & PTE_KIND == PTE_DIRTY and not state & PTE_PINNED)
    end: uint64_t = folio + (cython.cast(uint64_t, 1) << have)
    arch.add(cython.address(mm.counter[FOLIO_SPLITS]), 1)
    page: uint64_t = end
    while page > folio + size:  # from behind, so that each is linked right behind the first
        page -= size
        tails_set(mm, page, order)
        piece = said + pte_make(0, 0, ((page - folio) >> order) * entry)
        if listed:
            # Locked over the linking: reclaim tries it as soon as it is on the list.
            tail_lock(mm, page)
            lru_link_behind(mm, cython.cast(uint32_t, page), cython.cast(uint32_t, folio), state & PTE_ACTIVE != 0)
            arch.bit_unlock(cython.address(mm.ptes[page].state), piece)
        else:
            piece_set(mm, page, piece, pte.prev, pte.next)
    tails_set(mm, folio, order)
    arch.bit_unlock(cython.address(pte.state), said)


def folio_merge(mm, first, order):
    """Makes what begins at page ``first`` one swapped-out folio of that order, if all of it is out, in slots in a row, and little of it
    in the cache. Locks are only tried. Caller: mmap lock, the block is within a range."""
    end = cython.declare(uint64_t)
    state = merge_lock(mm, first, order, cython.address(end))
    size: uint64_t = cython.cast(uint64_t, 1) << order
    whole: cython.bint = state != 0 and end == first + size and pte_order(state) < order
    whole = whole and entry_offset(pte_entry(state)) % CLUSTER_SLOTS + size <= CLUSTER_SLOTS
    whole = whole and cache_shed(mm, pte_entry(state), 1 << order)
    page: uint64_t = end
    while page > first:  # the folio's own last
        page -= 1
        said = arch.load(cython.address(mm.ptes[page].state))
        kept: cython.bint = said & PTE_KIND != PTE_TAIL
        if whole and page != first:
            if kept:
                arch.bit_unlock(cython.address(mm.ptes[page].state), pte_make(PTE_TAIL, order, 0))
            else:
                entry_set(mm, page, pte_make(PTE_TAIL, order, 0))
        elif kept:
            arch.bit_unlock(cython.address(mm.ptes[page].state), pte_make(PTE_SWAPPED, order, pte_entry(said)) if whole else said)
    if whole:
        arch.add(cython.address(mm.counter[FOLIO_MERGES]), 1)
    return whole


def merge_lock(mm, first, order, end):
    """Locks the swapped-out folios from ``first`` on, as far as their slots are in a row and nobody else has one; what the first
    says (0: none), and in ``end`` the page behind the last."""
    limit: uint64_t = first + (cython.cast(uint64_t, 1) << order)
    page: uint64_t = first
    head: uint64_t = 0
    while page < limit:
        pte = cython.address(mm.ptes[page])
        state = arch.load(cython.address(pte.state))
        if state & PTE_KIND != PTE_SWAPPED or state & arch.LOCKED or not arch.bit_trylock(cython.address(pte.state)):
            break
        state = arch.load(cython.address(pte.state))
        size: uint64_t = cython.cast(uint64_t, 1) << pte_order(state)
        if head == 0 and state & PTE_KIND == PTE_SWAPPED:
            head = state
        if state & PTE_KIND != PTE_SWAPPED or pte_entry(state) != pte_entry(head) + (page - first) or page + size > limit:
            arch.bit_unlock(cython.address(pte.state), state)
            break
        page += size
    end[0] = page
    return head


def lock_waits(mm, page):
    """May block. Locks an entry. False, of an object only: everybody is asked to rest."""
    if mm.shared:
        return arch.bit_lock_unless(cython.address(mm.ptes[page].state), cython.address(family.rest))
    arch.bit_lock(cython.address(mm.ptes[page].state))
    return True


def tail_lock(mm, page):
    """The lock of an entry that is no folio's own, which is only had for a look: who does not give it up has died, and it is ours."""
    lock_waits(mm, page)


def entry_set(mm, page, state):
    """Changes an entry that is no folio's own, or not yet: under its lock, which who came too late may have for a look."""
    tail_lock(mm, page)
    arch.bit_unlock(cython.address(mm.ptes[page].state), state)


def tails_set(mm, folio, order):
    for page in range(folio + 1, folio + (cython.cast(uint64_t, 1) << order)):
        entry_set(mm, page, pte_make(PTE_TAIL, order, 0))


def piece_set(mm, page, state, prev, next):
    """The same with what goes along: the shadow, or the value."""
    pte = cython.address(mm.ptes[page])
    tail_lock(mm, page)
    pte.prev = prev
    pte.next = next
    arch.bit_unlock(cython.address(pte.state), state)
