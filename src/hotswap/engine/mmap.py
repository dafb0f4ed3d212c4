"""Address spaces come and go, and so do the ranges in them. Longer than 400 lines: what is set up is taken down beside it.

``mm_create`` reserves addresses, opens a userfaultfd, registers the arena (missing and write-protect faults) and the staging
frames (write-protect only, so that the kernel itself fills holes there), starts the threads and joins the mmlist. The
descriptor stays open as long as the arena exists: closing it would make missing pages read as zeros.

Limits and sizes are in pages of 4096 bytes; errors are negative errnos. Nothing here runs on a handler thread.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.cache import EVERY_AREA, cache_sweep
from cython.cimports.hotswap.engine.calm import calm_enter, calm_leave
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import NO_MEMBER, own
from cython.cimports.hotswap.engine.fault import WATCH_NS, fault_main, kept, release_entry, waiters
from cython.cimports.hotswap.engine.folio import entry_set
from cython.cimports.hotswap.engine.frames import frames_setup
from cython.cimports.hotswap.engine.guard.contract import guard_unuse_mm, guard_use_mm
from cython.cimports.hotswap.engine.lru import lru_remove, lru_setup
from cython.cimports.hotswap.engine.mm import (
    AHEADERS,
    COUNTERS,
    HANDLERS,
    MM_NIL,
    MMS,
    POISONED,
    PTE_CLEAN,
    PTE_DIRTY,
    PTE_KIND,
    PTE_PINNED,
    PTE_SWAPPED,
    PTE_TAIL,
    STREAMS,
    STRIDES,
    TURNS,
    VMAS,
    Element,
    Frame,
    Pte,
    Vma,
    address_of,
    find_vma,
    mm_at,
    mmlist_add,
    mmlist_remove,
    pte_entry,
    pte_order,
    vma_insert,
    vma_remove,
)
from cython.cimports.hotswap.engine.profile import profile_figure, profile_reset
from cython.cimports.hotswap.engine.readahead import readahead_main
from cython.cimports.hotswap.engine.reclaim import reclaim_main, shrink, uncharge
from cython.cimports.hotswap.engine.shares import own_shares, share_less, share_more
from cython.cimports.hotswap.engine.shm import here_close, shm_detach
from cython.cimports.hotswap.engine.sigbus import sigbus_add, sigbus_remove
from cython.cimports.hotswap.engine.sizes import FOLIOS_LEAST, kept_pages, set_up_pools
from cython.cimports.hotswap.engine.store.ram import ram_disown, rams_wake
from cython.cimports.hotswap.engine.waking import waking_ask
from cython.cimports.libc.errno import EAGAIN, EBUSY, EINVAL, EMFILE, ENOMEM, ENOSPC, ENOSYS
from cython.cimports.libc.stdint import int64_t, uint64_t

rows = cython.cast(cython.pointer(arch.word), arch.table(MMS, cython.sizeof(arch.word)))


def mm_create(limit, order, refuse, signal):
    """A new address space, with folios of 2**order pages, or of what suits (ADAPTIVE); ``refuse`` masks MMU features out (for tests of the next best way), with ``signal`` faults are served
    in the thread that faulted. Its index.

    -EMFILE: 64 exist; -ENOMEM: no addresses or no threads to be had; -ENOSYS: the kernel lacks write-protect faults; else what
    userfaultfd said.
    """
    mm = mm_new(limit, order)
    return mm_begin(mm, set_up(mm, refuse, signal)) if mm else -EMFILE


def mm_new(limit, order):
    """A row that is the caller's, or NULL."""
    for index in range(MMS):
        if arch.cas(cython.address(rows[index]), 0, 1):
            mm = mm_at(index)
            mm.index = index
            set_up_words(mm, limit, order)
            return mm
    return cython.NULL


def row_give(mm):
    """The row is free, and counts for nothing and nobody until it has been set up anew."""
    mm.member = NO_MEMBER
    mm.settled = False
    mm.staging_pages = 0
    arch.store(cython.address(mm.resident), 0)
    arch.store_release(cython.address(rows[mm.index]), 0)


def mm_begin(mm, failed):
    """Joins the mmlist; or goes again, when it could not be set up."""
    if failed:
        tear_down(mm)
        row_give(mm)
        return failed
    mmlist_add(mm)
    return mm.index


def set_up_words(mm, limit, order):
    mm.shared = False
    mm.settled = False
    mm.lru_cut = False
    mm.frames_cut = False
    mm.member = own.member
    mm.fd = -1
    mm.stopper = -1
    mm.arena = 0
    mm.staging = 0
    mm.thread_count = 0
    mm.vma_count = 0
    mm.request_head = 0
    mm.request_count = 0
    set_up_pools(mm, limit, order)
    arch.rwlock_init(cython.address(mm.mmap_lock))
    arch.mutex_init(cython.address(mm.lru_lock))
    arch.mutex_init(cython.address(mm.frame_lock))
    arch.mutex_init(cython.address(mm.request_lock))
    profile_reset(mm.index)
    arch.store(cython.address(mm.stop), 0)
    arch.store(cython.address(mm.resident), 0)
    arch.store(cython.address(mm.pinned), 0)
    arch.store(cython.address(mm.packed), 0)
    mm.active_pages = 0
    mm.passing = 0
    mm.turn = 0
    mm.since_exchange = 0
    for number in range(TURNS):
        mm.turns[number].left = 0
    arch.store(cython.address(mm.clock), 0)
    arch.store(cython.address(mm.full_said), 0)
    arch.store(cython.address(mm.stray), -1)
    arch.store(cython.address(mm.forgotten), 0)
    arch.store(cython.address(mm.budget), limit - mm.staging_pages)
    arch.store(cython.address(mm.share), limit)
    arch.store(cython.address(mm.wish), limit)
    arch.store(cython.address(mm.need), 0)
    lru_setup(cython.address(mm.active))
    lru_setup(cython.address(mm.inactive))
    for which in range(COUNTERS):
        arch.store(cython.address(mm.counter[which]), 0)
    for number in range(STREAMS):
        arch.store(cython.address(mm.streams[number].first), 0)
        arch.store(cython.address(mm.streams[number].next), 0)
        arch.store(cython.address(mm.streams[number].window), 0)
        arch.store(cython.address(mm.streams[number].run), 0)
        arch.store(cython.address(mm.streams[number].trial), 0)
        arch.store(cython.address(mm.streams[number].ahead), 0)
    for number in range(STRIDES):
        arch.store(cython.address(mm.strides[number].last), 0)
        arch.store(cython.address(mm.strides[number].step), 0)
        arch.store(cython.address(mm.strides[number].times), 0)


def set_up(mm, refuse, signal):
    mm.fd = arch.mmu_open()
    if mm.fd < 0:
        return mm.fd
    mm.features = arch.mmu_handshake(mm.fd, refuse, signal)
    if mm.features < 0:
        return mm.features
    if not mm.features & arch.MMU_WP:
        return -ENOSYS
    mm.stopper = arch.stopper()
    if mm.stopper < 0:
        return mm.stopper
    bits: cython.int = ARENA_BITS
    while mm.arena == 0 and bits >= ARENA_LEAST:  # a limit on address space (ulimit -v) may allow a smaller one
        mm.arena_pages = cython.cast(uint64_t, 1) << bits
        mm.arena = arch.reserve(mm.arena_pages << 12)
        if mm.arena:
            mm.ptes = cython.cast(cython.pointer(Pte), arch.table(mm.arena_pages, cython.sizeof(Pte)))
            if not mm.ptes:
                arch.release(mm.arena, mm.arena_pages << 12)
                mm.arena = 0
        bits -= 1
    failed = set_up_tables(mm)
    if not failed:
        failed = arch.mmu_register(mm.fd, mm.arena, mm.arena_pages << 12, True)
    if not failed:
        failed = staging_begin(mm)
    if not failed and signal:
        failed = sigbus_add(mm)
    return failed if failed else start_threads(mm, 0 if signal else HANDLERS)


def set_up_tables(mm):
    """Ranges and frames."""
    mm.vmas = cython.cast(cython.pointer(Vma), arch.table(VMAS, cython.sizeof(Vma)))
    mm.frames = cython.cast(cython.pointer(Frame), arch.table(mm.frame_count, cython.sizeof(Frame)))
    mm.staging = arch.table_room(mm.staging_pages << 12) if mm.shared else arch.reserve(mm.staging_pages << 12)
    mm.elements = cython.cast(cython.pointer(Element), arch.table((mm.arena_pages >> 9) + 1, cython.sizeof(Element)))
    if not mm.ptes or not mm.vmas or not mm.frames or not mm.staging or not mm.elements:
        return -ENOMEM
    frames_setup(mm)
    return 0


def staging_begin(mm):
    """What is moved in and out of frames needs their memory registered; what stays in huge pages must not be."""
    kept = kept_pages(mm) << 12
    if kept:
        arch.huge(mm.staging, kept)
    return arch.mmu_register(mm.fd, mm.staging + kept, (mm.staging_pages << 12) - kept, False)


def start_threads(mm, handlers):
    arch.store(cython.address(mm.watched), 0)  # in a child of fork one of its parent's may have
    if mm.fd >= 0 and arch.keep_begin(cython.address(kept[mm.index]), mm.fd, mm.stopper):
        return -EAGAIN
    if handlers:
        if WATCH_NS:
            waking_ask()  # before there are handlers, who would disturb each other
        waiter = arch.mmu_waiter(mm.fd, mm.stopper)
        if waiter < 0:
            return waiter
        waiters[mm.index] = waiter
    for _handler in range(handlers):
        if not start_one(mm, fault_main, mm.index, b"hotswap-fault"):
            return -EAGAIN
    for _reader in range(AHEADERS):
        if not start_one(mm, readahead_main, mm.index, b"hotswap-ahead"):
            return -EAGAIN
    return 0 if start_one(mm, reclaim_main, mm.index, b"hotswap-reclaim") else -EAGAIN


def start_one(mm, main, argument, name):
    mm.thread[mm.thread_count] = arch.thread_start(main, argument, name)
    if not mm.thread[mm.thread_count]:
        return False
    mm.thread_count += 1
    return True


def stop_threads(mm):
    arch.store_release(cython.address(mm.stop), 1)
    arch.keep_stop(cython.address(kept[mm.index]))
    arch.event_wake(cython.address(mm.relief))
    arch.event_wake(cython.address(mm.pressure))
    arch.event_wake(cython.address(mm.request_event))
    for number in range(mm.thread_count):
        arch.thread_join(mm.thread[number])
    arch.keep_end(cython.address(kept[mm.index]))
    mm.thread_count = 0
    waiter = waiters[mm.index]
    waiters[mm.index] = 0  # first: a child of fork closes what it finds here
    if waiter:
        arch.close_fd(waiter)


def waiters_forked():
    """In a child of fork: what its parent's handlers wait on is closed, and nobody keeps anything open yet."""
    for index in range(MMS):
        if waiters[index]:
            arch.close_fd(waiters[index])
        waiters[index] = 0
        arch.keep_forked(cython.address(kept[index]))


def tear_down(mm):
    """Also of one that was set up in part."""
    stop_threads(mm)
    sigbus_remove(mm)
    if mm.arena:
        arch.release(mm.arena, mm.arena_pages << 12)
    if mm.shared:
        here_close(mm)
    elif mm.staging:
        arch.release(mm.staging, mm.staging_pages << 12)
    if mm.fd >= 0:
        arch.close_fd(mm.fd)
    if mm.stopper >= 0:
        arch.close_fd(mm.stopper)
    tables_free(mm)


def tables_free(mm):
    """Of a space that goes, by its own process or by who cleans up after that. Forgotten before they are freed: who is killed in between leaks
    some, where the next one, who ends this for him, would free them a second time, and two tables could be one."""
    ptes = mm.ptes
    vmas = mm.vmas
    frames = mm.frames
    elements = mm.elements
    staging = mm.staging
    mm.arena = 0
    mm.staging = 0
    mm.ptes = cython.NULL
    mm.vmas = cython.NULL
    mm.frames = cython.NULL
    mm.elements = cython.NULL
    arch.table_free(ptes, False)
    arch.table_free(vmas, False)
    arch.table_free(frames, False)
    arch.table_free(elements, False)
    if mm.shared and staging:
        arch.table_room_free(staging, mm.staging_pages << 12)


def mm_destroy(index):
    """May block. -EBUSY while it has ranges."""
    mm = mm_at(index)
    arch.read_lock(cython.address(mm.mmap_lock))
    busy: cython.bint = mm.vma_count != 0
    arch.read_unlock(cython.address(mm.mmap_lock))
    if busy:
        return -EBUSY
    stop_threads(mm)
    # Threads are gone and no entry is left; frames on standby are given back so that no slot stays taken. Under the mmap lock and
    # before the mm is gone: a swapoff that walks the mmlist to see its users off has to find this one (R15).
    arch.write_lock(cython.address(mm.mmap_lock))
    cache_sweep(mm, EVERY_AREA)
    arch.write_unlock(cython.address(mm.mmap_lock))
    mmlist_remove(mm)
    calm_enter()  # not while it is copied for a child, or everything is counted
    if arch.load(cython.address(mm.packed)):
        for type in range(AREAS):
            ram_disown(type, index)
    tear_down(mm)
    row_give(mm)
    calm_leave()
    return 0


def mm_map(index, pages, order):
    """A range of ``pages`` pages in folios of up to 2**order: its first page, or -ENOMEM when the arena has no room."""
    mm = mm_at(index)
    arch.write_lock(cython.address(mm.mmap_lock))
    start = vma_insert(mm, pages, order)
    if start >= 0 and arch.load(cython.address(mm.counter[POISONED])):
        # A wild access, or the late message of a fault, may have marked pages while they belonged to nobody.
        arch.mmu_drop(address_of(mm, start), pages << 12)
        if not mm.features & arch.MMU_POISON:
            arch.mmu_allow(address_of(mm, start), pages << 12)
    arch.write_unlock(cython.address(mm.mmap_lock))
    return start if start >= 0 else -ENOMEM


def mm_unmap(index, start):
    """May block. Takes a range away, with its memory and its slots; of a shared object only the view. -EINVAL: no range starts there."""
    mm = mm_at(index)
    arch.write_lock(cython.address(mm.mmap_lock))
    number = find_vma(mm, start)
    if number < 0 or mm.vmas[number].start != start:
        arch.write_unlock(cython.address(mm.mmap_lock))
        return -EINVAL
    unmap_range(mm, number)
    arch.write_unlock(cython.address(mm.mmap_lock))
    return 0


def unmap_range(mm, number):
    """Caller: mmap lock for writing."""
    if mm.vmas[number].shm != MM_NIL:
        shm_detach(mm_at(mm.vmas[number].shm), mm, mm.vmas[number].start)
        vma_remove(mm, number)
        return
    start = mm.vmas[number].start
    pages = mm.vmas[number].pages
    unmap_folios(mm, start, start + pages)
    arch.mmu_drop(address_of(mm, start), pages << 12)
    vma_remove(mm, number)


def unmap_folios(mm, page, end):
    """Takes down the entries of whole folios. Caller: mmap lock for writing."""
    while page < end:
        if arch.load(cython.address(mm.ptes[page].state)):
            page += unmap_folio(mm, page)
        else:
            page += 1


def unmap_folio(mm, page):
    """Waits for whoever works on the folio (reclaim, a swapoff), then takes its entries down; how many. The drop comes after."""
    pte = cython.address(mm.ptes[page])
    arch.bit_lock(cython.address(pte.state))
    state = arch.load(cython.address(pte.state))
    kind = state & PTE_KIND
    order = pte_order(state)
    arch.check(kind != PTE_TAIL, b"a range has whole folios")
    if kind == PTE_CLEAN or kind == PTE_DIRTY:
        if state & PTE_PINNED:
            arch.add(cython.address(mm.pinned), -(cython.cast(int64_t, 1) << order))
        else:
            lru_remove(mm, page, order, state)
        uncharge(mm, cython.cast(uint64_t, 1) << order)
    if kind == PTE_CLEAN or kind == PTE_SWAPPED:
        release_entry(pte_entry(state), order)
    pages: uint64_t = cython.cast(uint64_t, 1) << order
    for tail in range(page + 1, page + pages):
        entry_set(mm, tail, 0)
    arch.bit_unlock(cython.address(pte.state), 0)
    return pages


def mm_limit(index, limit):
    """May block. A new limit; on its way down folios leave until it holds. Where the family has a limit (shares.py) it is as much of it
    as is free, and grows when more is.

    -EINVAL: below what frames, pinned folios and faults need. -ENOSPC: the areas could not take what had to leave; the limit is
    as before then.
    """
    mm = mm_at(index)
    if limit < mm_least(index):
        return -EINVAL
    arch.mutex_lock(cython.address(own_shares.changing))
    limit = share_more(mm, limit)
    before = arch.swap(cython.address(mm.budget), limit - mm.staging_pages)
    rams_wake()
    barren: cython.int = 0
    while arch.load(cython.address(mm.resident)) > arch.load(cython.address(mm.budget)):
        used: cython.bint = guard_use_mm(index)
        freed = shrink(mm, arch.load(cython.address(mm.resident)) - arch.load(cython.address(mm.budget)), barren > 0)
        guard_unuse_mm(index, used)
        if freed:
            barren = 0
            continue
        barren += 1
        if barren > 500:
            arch.store(cython.address(mm.budget), before)
            arch.mutex_unlock(cython.address(own_shares.changing))
            arch.event_wake(cython.address(mm.relief))
            return -ENOSPC
        arch.nap_us(1000)
    share_less(mm)
    arch.mutex_unlock(cython.address(own_shares.changing))
    arch.event_wake(cython.address(mm.relief))
    return 0


def mm_least(index):
    """The lowest limit, in pages, that can be set now."""
    mm = mm_at(index)
    return mm.staging_pages + (cython.cast(uint64_t, FOLIOS_LEAST) << mm.pools[0].order) + arch.load(cython.address(mm.pinned))


def mm_base(index):
    """Address of page 0 of the arena."""
    return mm_at(index).arena


def mm_features(index):
    return mm_at(index).features


def mm_figure(index, which):
    """A counter by its name in mm.pxd; after those, in pages, what api.LEVELS names, resident and limit with staging frames; and the
    stages of faults (profile.py), in nanoseconds."""
    if which >= COUNTERS + 7:
        return profile_figure(index, which - COUNTERS - 7)
    mm = mm_at(index)
    staging = mm.staging_pages
    if which < COUNTERS:
        return arch.load(cython.address(mm.counter[which]))
    if which == COUNTERS:
        return arch.load(cython.address(mm.resident)) + staging
    if which == COUNTERS + 1:
        return arch.load(cython.address(mm.budget)) + staging
    if which == COUNTERS + 2:
        return arch.load(cython.address(mm.pinned))
    if which == COUNTERS + 3:
        return arch.load(cython.address(mm.budget))
    if which == COUNTERS + 4 or which == COUNTERS + 5:
        return mm.active.pages if which == COUNTERS + 4 else mm.inactive.pages
    return (arch.load(cython.address(mm.packed)) + 63) >> 6
