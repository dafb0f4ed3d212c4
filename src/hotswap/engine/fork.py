"""Fork of an address space: a child that has every byte the parent has, and shares its slots until either writes.

``mm_dup`` gives a child its parent's ranges and entries. What is out is shared by count, what was one value over and over is
that value again. What is in memory and dirty is written back first: the parent keeps it CLEAN, write-protected, and both
refer to its slots. From then on counts do it all: a first write lets the writer's reference go (write_clean), a fault reads the
slots for whoever faulted, and the last to let go frees them. No page of memory is ever shared, so moving one in stays possible.

What the child has is what the parent had at one moment, the end of the call: each folio is write-protected before it is
copied, and the parent's mmap lock, held for writing, keeps faults from lifting that. The parent's threads may go on
reading and may write what was not copied yet.

A pinned folio is refused: a device writes past write protection, and a system call on one that is protected may fail.

``mm_exit`` is the opposite: an mm that goes with all it has, while it can still be found on the mmlist.

Lock order: the parent's mmap lock, the child's, entries of the parent (a second one is only tried). The child's entries are not
locked: nobody can come to them while its mmap lock is held. Those who only have entries (reclaim, a swapoff) go on meanwhile.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.lru import lru_link_behind
from cython.cimports.hotswap.engine.mm import (
    FOLIO_SPLITS,
    MM_NIL,
    PAGES_OUT,
    PTE_ACTIVE,
    PTE_CLEAN,
    PTE_DIRTY,
    PTE_FILLED,
    PTE_KIND,
    PTE_PINNED,
    PTE_SWAPPED,
    PTE_TAIL,
    PTE_USE,
    address_of,
    mm_at,
    pte_entry,
    pte_make,
    pte_order,
)
from cython.cimports.hotswap.engine.mmap import mm_destroy, unmap_range
from cython.cimports.hotswap.engine.swap_map import (
    add_swap_count_continuation,
    swap_duplicate,
    swap_free,
    swapcache_free,
)
from cython.cimports.hotswap.engine.writeout import swap_writeout, swap_writeout_parts
from cython.cimports.libc.errno import EBUSY, EINVAL, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP
from cython.cimports.libc.stdint import uint32_t, uint64_t


def mm_dup(parent_index, child_index):
    """May block. The child, new from mm_create() with the parent's folio order and on the mmlist behind it (R14), gets all that
    the parent has. On an error the child is as empty as before, and the parent has what it had.

    -EBUSY: a folio is pinned; -ENOSPC: no area takes what has to be written back; -ENOMEM: no memory for a count or a buffer;
    -EINVAL: the child is not new or too small; -EOPNOTSUPP: a shared object is attached, of which there is no copy on write.
    """
    parent = mm_at(parent_index)
    child = mm_at(child_index)
    copies = cython.declare(Copies)
    copies.buffer = arch.reserve(cython.cast(uint64_t, COPY_PAGES) << 12)
    if not copies.buffer:
        return -ENOMEM
    arch.write_lock(cython.address(parent.mmap_lock))
    arch.write_lock(cython.address(child.mmap_lock))
    result: cython.int = -EINVAL
    if child.vma_count == 0 and (child.levels > 1 or child.order == parent.order):
        result = dup_ranges(parent, child, cython.address(copies))
        while result and child.vma_count:
            unmap_range(child, child.vma_count - 1)
    arch.write_unlock(cython.address(child.mmap_lock))
    arch.write_unlock(cython.address(parent.mmap_lock))
    arch.release(copies.buffer, cython.cast(uint64_t, COPY_PAGES) << 12)
    return result


def mm_exit(index):
    """May block. Everything of an mm goes, then the mm. Its entries go under its mmap lock while it is on the mmlist and can be
    held (R15); mm_destroy() then takes it off the list, when it holds nothing."""
    mm = mm_at(index)
    arch.write_lock(cython.address(mm.mmap_lock))
    while mm.vma_count:
        unmap_range(mm, mm.vma_count - 1)
    arch.write_unlock(cython.address(mm.mmap_lock))
    return mm_destroy(index)


def dup_ranges(parent, child, copies):
    result: cython.int = 0
    for number in range(parent.vma_count):
        if parent.vmas[number].shm != MM_NIL:
            return -EOPNOTSUPP
        if parent.vmas[number].start + parent.vmas[number].pages > child.arena_pages:
            return -EINVAL
        child.vmas[number].start = parent.vmas[number].start
        child.vmas[number].pages = parent.vmas[number].pages
        child.vmas[number].order = parent.vmas[number].order
        arch.store(cython.address(child.vmas[number].dense), arch.load(cython.address(parent.vmas[number].dense)))
        child.vmas[number].shm = MM_NIL
        child.vma_count = number + 1
        result = dup_range(parent, child, number, copies)
        if result:
            break
    return result


def dup_range(parent, child, number, copies):
    copies.order = 0
    copies.count = 0
    page: uint64_t = parent.vmas[number].start
    end: uint64_t = page + parent.vmas[number].pages
    result: cython.int = 0
    while page < end and not result:
        size: uint64_t = 1
        if arch.load(cython.address(parent.ptes[page].state)):
            result = lock_folio(parent, child, page, copies)
            if not result:
                # It may become smaller ones while it waits, but nobody makes larger ones under the mmap lock.
                size = cython.cast(uint64_t, 1) << pte_order(arch.load(cython.address(parent.ptes[page].state)))
                result = dup_folio(parent, child, page, copies)
            if not result and (copies.count + 1) << copies.order > COPY_PAGES:
                result = write_back(parent, child, copies)
        page += size
    failed = write_back(parent, child, copies)
    return result if result else failed


def lock_folio(parent, child, page, copies):
    """May block. Who waits for an entry holds none: what is in hand is written back before."""
    pte = cython.address(parent.ptes[page])
    if copies.count:
        if arch.bit_trylock(cython.address(pte.state)):
            return 0
        failed = write_back(parent, child, copies)
        if failed:
            return failed
    arch.bit_lock(cython.address(pte.state))
    return 0


def dup_folio(parent, child, page, copies):
    """Gives the child what one entry says. The caller locked it; it is unlocked here, or in hand (``copies``) from now on."""
    pte = cython.address(parent.ptes[page])
    state = arch.load(cython.address(pte.state))
    kind = state & PTE_KIND
    order = pte_order(state)
    result: cython.int = 0
    if kind == PTE_DIRTY:
        if state & PTE_PINNED:
            result = -EBUSY
        elif copies.count and copies.order != order:  # another size: what is in hand goes first
            result = write_back(parent, child, copies)
        copies.order = copies.order if copies.count else order
        if not result and copy_dirty(parent, child, page, copies):
            return 0
    elif kind == PTE_SWAPPED or kind == PTE_CLEAN:
        result = share_entry(pte_entry(state), 1 << order)
        if not result:
            set_child(child, page, pte_make(PTE_SWAPPED, order, pte_entry(state)), COLD, 0)
    elif kind == PTE_FILLED:
        set_child(child, page, pte_make(kind, order, 0), pte.prev, pte.next)
    else:  # POISON; NONE may still have the folio's order
        set_child(child, page, pte_make(kind, order, 0), 0, 0)
    arch.bit_unlock(cython.address(pte.state), state)
    return result


def set_child(child, page, state, prev, next):
    order = pte_order(state)
    for tail in range(page + 1, page + (cython.cast(uint64_t, 1) << order)):
        arch.store(cython.address(child.ptes[tail].state), pte_make(PTE_TAIL, order, 0))
    child.ptes[page].prev = prev
    child.ptes[page].next = next
    arch.store(cython.address(child.ptes[page].state), state)


def share_entry(entry, slots):
    """May block. One more reference to all slots of a folio whose entry is locked; -ENOMEM when there is no memory to count on."""
    result = swap_duplicate(entry, slots)
    if result == -ENOMEM:
        result = add_swap_count_continuation(entry, slots)
        if not result:
            result = swap_duplicate(entry, slots)
    arch.check(result != -ENOENT, b"a locked entry keeps its slots")
    return result


def copy_dirty(parent, child, page, copies):
    """Takes a dirty folio in hand: nobody writes it from here on, and its bytes are in the buffer. False: its words were all
    equal, and the child has that value; the parent's stays dirty, and its next write lifts the protection."""
    address = address_of(parent, page)
    length = cython.cast(uint64_t, 4096) << copies.order
    to: uint64_t = copies.buffer + cython.cast(uint64_t, copies.count) * length
    arch.mmu_protect(parent.fd, address, length, True)
    arch.copy(to, address, length)
    if arch.same_filled(to, length):
        value = arch.first_word(to)
        filled = pte_make(PTE_FILLED, copies.order, 0)
        set_child(child, page, filled, cython.cast(uint32_t, value >> 32), cython.cast(uint32_t, value))
        return False
    copies.pages[copies.count] = page
    copies.count += 1
    return True


def write_back(parent, child, copies):
    """May block. Writes what is in hand to slots in a row, best area first; the parent is CLEAN then, and both refer to them. All
    entries in hand are unlocked at the end. -ENOSPC: those that found no slots are DIRTY as before."""
    done: cython.int = 0
    got: cython.int = 1
    while done < copies.count and got:
        got = write_some(parent, child, copies, done)
        if got == 0 and copies.order:
            got = write_parts(parent, child, copies, done)
        done += got
    for number in range(done, copies.count):
        pte = cython.address(parent.ptes[copies.pages[number]])
        arch.bit_unlock(cython.address(pte.state), arch.load(cython.address(pte.state)))
    failed: cython.bint = done < copies.count
    copies.count = 0
    return -ENOSPC if failed else 0


def write_some(parent, child, copies, done):
    """May block. As many from number ``done`` on as find slots in a row; how many."""
    source = cython.declare(uint64_t[COPY_PAGES])
    first = cython.declare(uint64_t[1])
    for number in range(done, copies.count):
        source[number - done] = copies.buffer + (cython.cast(uint64_t, number) << (12 + copies.order))
    got = swap_writeout(parent, copies.pages[done], source, copies.count - done, copies.order, copies.order, first)
    if got <= 0:
        return 0
    swapcache_free(first[0], got << copies.order)
    arch.add(cython.address(parent.counter[PAGES_OUT]), got << copies.order)
    for number in range(got):
        page = copies.pages[done + number]
        entry = first[0] + (cython.cast(uint64_t, number) << copies.order)
        arch.check(not swap_duplicate(entry, 1 << copies.order), b"a new slot can be shared")
        set_child(child, page, pte_make(PTE_SWAPPED, copies.order, entry), COLD, 0)
        pte = cython.address(parent.ptes[page])
        kept = arch.load(cython.address(pte.state)) & PTE_USE
        arch.bit_unlock(cython.address(pte.state), pte_make(PTE_CLEAN, copies.order, entry) | kept)
    return got


def write_parts(parent, child, copies, number):
    """May block. A large folio for which no area has slots in a row: page by page, as in reclaim.py; it is split in both. 1, or 0 when
    not all of it found slots, and it is as before."""
    entries = cython.declare(uint64_t[COPY_PAGES])
    size = 1 << copies.order
    out = swap_writeout_parts(
        parent, copies.pages[number], copies.buffer + (cython.cast(uint64_t, number) << (12 + copies.order)), size, entries
    )
    if out < size:
        for page in range(out):
            swap_free(entries[page], 1)
        return 0
    arch.add(cython.address(parent.counter[PAGES_OUT]), out)
    first = copies.pages[number]
    kept = arch.load(cython.address(parent.ptes[first].state)) & PTE_USE
    place: cython.int = size
    while place > 0:  # the folio's own entry last
        place -= 1
        arch.check(not swap_duplicate(entries[place], 1), b"a new slot can be shared")
        set_child(child, first + place, pte_make(PTE_SWAPPED, 0, entries[place]), COLD, 0)
        pte = cython.address(parent.ptes[first + place])
        if place:
            arch.bit_lock(cython.address(pte.state))
            lru_link_behind(parent, cython.cast(uint32_t, first + place), cython.cast(uint32_t, first), kept & PTE_ACTIVE != 0)
        arch.bit_unlock(cython.address(pte.state), pte_make(PTE_CLEAN, 0, entries[place]) | kept)
    arch.add(cython.address(parent.counter[FOLIO_SPLITS]), 1)
    return 1
