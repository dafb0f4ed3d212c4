"""The engine as Python calls it: each call lets go of the interpreter's lock first, since it may wait for a fault that a thread
which holds that lock is stuck in. Numbers in, numbers out; sentences are made by those who call.

Longer than 400 lines: it is one door, and each call through it is short.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine import attach, commit, death, fork, heap, mmap, pin, shares, sizes, steer, swap_map, swapoff
from cython.cimports.hotswap.engine.area import SWP_EMPTYING, SWP_WRITEOK, Figures, area_row_taken
from cython.cimports.hotswap.engine.area import area_figures as area_figures_now
from cython.cimports.hotswap.engine.calm import calm_enter, calm_leave
from cython.cimports.hotswap.engine.child import child_is
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import family_size, own
from cython.cimports.hotswap.engine.guard.contract import guard_chosen
from cython.cimports.hotswap.engine.handle import handle_drop, handle_new, handle_row
from cython.cimports.hotswap.engine.join import family_begin, family_door
from cython.cimports.hotswap.engine.mm import COUNTERS, MMS, elements_set, mm_at
from cython.cimports.hotswap.engine.process import serve_start, serve_wake
from cython.cimports.hotswap.engine.shm import here, shms
from cython.cimports.hotswap.engine.swaps import (
    SWAP_DIRECT,
    SWAP_FRONT,
    SWAP_PARTITION,
    SWAP_RAM,
    Listed,
    swaps_begin,
    swaps_choose_guard,
    swaps_finish,
    swaps_forked,
    swaps_look,
    swaps_off,
    swaps_reap,
    swaps_undo,
)
from cython.cimports.libc.errno import EAGAIN, ENOSPC
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t

MOVE = arch.MMU_MOVE
POISON = arch.MMU_POISON
WRITE_PROTECT = arch.MMU_WP
SHARED = arch.MMU_SHARED
SHARED_WRITE_PROTECT = arch.MMU_SHARED_WP
UNDER_WAY = swapoff.OFF_UNDER_WAY
DONE = swapoff.OFF_DONE
FAILED = swapoff.OFF_FAILED
MAX_AREAS = AREAS
MAX_CELLS = steer.TEXT_BYTES
PARTITION = SWAP_PARTITION
DIRECT = SWAP_DIRECT
RAM = SWAP_RAM
FRONT = SWAP_FRONT
COUNTED = COUNTERS
ADAPTIVE, LARGEST_ORDER = sizes.ADAPTIVE, sizes.LARGEST_ORDER
DEBUG = bool(arch.DEBUG)
FIGURES = (
    "faults_minor", "faults_major", "faults_zero", "faults_write", "pages_in", "pages_out", "pages_clean", "pages_filled",
    "ahead_pages", "ahead_hits", "refaults", "activations", "direct_reclaims", "wait_ns", "unmovable", "poisoned",
    "wrote_clean", "kept_clean", "folio_splits", "folio_merges",
)  # fmt: skip
LEVELS = (  # what mm_figure() tells behind the counters: pages; and the nanoseconds of each stage of faults (profile.pxd)
    "resident", "limit", "pinned", "budget", "active", "inactive", "packed",
    "stage_find_ns", "stage_charge_ns", "stage_cache_ns", "stage_frame_ns", "stage_read_ns", "stage_map_ns", "stage_ahead_ns",
    "stage_other_ns",
)  # fmt: skip

BEGUN = family_begin()  # 0, or the negative errno why this process could not join a family (join.py)
if BEGUN and arch.founder():
    raise ImportError("hotswap cannot be loaded: there is no memory to note what a fork is to do.")


def joined() -> bool:
    """Did this process join the family of another one?"""
    return not arch.founder()


def door() -> tuple:
    """Lets other processes join through this one: what HOTSWAP_JOIN tells them (arch/family.h): descriptor, inode, address; or a
    negative errno alone."""
    said = cython.declare(uint64_t[3])
    with cython.nogil:
        failed = family_door(said)
    if failed:
        return (failed,)
    return said[0], said[1], said[2]


def swap_on(
    fd: cython.int,
    slots: cython.ulonglong,
    priority: cython.int,
    how: cython.int,
    bad: list,
    name: bytes,
    most: cython.ulonglong = 0,
) -> int:
    """The new area's type, or a negative errno (swaps_begin); ``fd`` is the engine's from then on. ValueError for a bad slot that is none."""
    text = cython.cast(cython.p_char, name)
    length: cython.int = len(name)
    with cython.nogil:
        type = swaps_begin(fd, slots, priority, how, cython.cast(cython.pointer(uint8_t), text), length, most)
    if type < 0:
        return type
    for slot in bad:
        if not swap_map.swap_map_mark_bad(type, slot):
            swaps_undo(type)
            raise ValueError(f"bad page {slot} is out of bounds or named twice")
    with cython.nogil:
        swaps_finish(type)
    return type


def swaps_listed() -> list:
    """The areas that are on: type, name, what it is (PARTITION, DIRECT, RAM), priority, and what area_figures() says."""
    found = cython.declare(Listed)
    figures = cython.declare(Figures)
    areas = []
    for type in range(AREAS):
        with cython.nogil:
            on: cython.bint = swaps_look(type, cython.address(found), cython.address(figures))
        if on:
            areas.append(
                {
                    "type": type,
                    "name": cython.cast(cython.p_char, found.name)[: found.length],
                    "how": found.how,
                    "priority": found.priority,
                    **figures_of(figures),
                }
            )
    return areas


def rows_left() -> bool:
    """Can another area go on?"""
    return any(not area_row_taken(type) for type in range(AREAS))


def swap_off_start(name: bytes) -> int:
    """The area's type, or why not (swaps_off). Whoever got the type waits, and after DONE reaps."""
    text = cython.cast(cython.p_char, name)
    length: cython.int = len(name)
    with cython.nogil:
        result = swaps_off(cython.cast(cython.pointer(uint8_t), text), length)
    return result


def swap_off_wait(type: cython.int, timeout_us: cython.long) -> int:
    with cython.nogil:
        result = swapoff.swapoff_wait(type, timeout_us)
    return result


def swap_off_reap(type: cython.int) -> None:
    """After DONE and once the outcome was read: closes the file, and the row may be taken again."""
    with cython.nogil:
        swaps_reap(type, own.member)


def swap_off_cancel(type: cython.int) -> None:
    swapoff.swapoff_cancel(type)


def swap_off_progress(type: cython.int) -> tuple:
    """Pages moved to other areas, pages put into memory, errno and slot of a failure, the process that is waited for or 0."""
    return (
        swapoff.swapoff_progress(type, swapoff.OFF_MOVED),
        swapoff.swapoff_progress(type, swapoff.OFF_LOADED),
        swapoff.swapoff_progress(type, swapoff.OFF_ERRNO),
        swapoff.swapoff_progress(type, swapoff.OFF_SLOT),
        swapoff.swapoff_progress(type, swapoff.OFF_WAITING),
    )


def area_figures(type: cython.int) -> dict:
    """Pages: usable, used, read, written; transfers that failed; flags; of compressed RAM the pages of memory it holds and the bytes
    that are in them as they came. All zero of one that has just gone off."""
    figures = cython.declare(Figures)
    with cython.nogil:
        on: cython.bint = area_figures_now(type, cython.address(figures))
    if not on:
        figures = Figures(
            usable=0, used=0, pages_in=0, pages_out=0, errors=0, flags=0, most=0, held=0, stored=0, packed=0, backed=0, declined=0
        )
    return {
        **figures_of(figures),
        "on": bool(area_row_taken(type)),
    }


def figures_of(found: dict) -> dict:
    """A Figures, with words for its flags."""
    flags = found.pop("flags")
    return {**found, "writeok": bool(flags & SWP_WRITEOK), "emptying": bool(flags & SWP_EMPTYING)}


def steer_open() -> int:
    """Lets callers in from now on (steer.py); 0 or a negative errno."""
    with cython.nogil:
        result = steer.steer_open()
    return result


def space_create(limit: cython.ulonglong, order: cython.int, refuse: cython.int, signal: cython.bint) -> int:
    with cython.nogil:
        granted = shares.share_begin(limit, sizes.least_limit(order))
        result: cython.int = -ENOSPC
        if granted:
            calm_enter()
            result = mmap.mm_create(granted, order, refuse, signal)
            calm_leave()
            shares.share_settle(result, granted, limit)
    return handle_new(result) if result >= 0 else result


def space_destroy(index: cython.int) -> int:
    handle: cython.int = index
    index = handle_row(index)
    with cython.nogil:
        result = mmap.mm_destroy(index)
    if result == 0:
        handle_drop(handle)
    return result


def space_map(index: cython.int, pages: cython.ulonglong, order: cython.int, element: cython.int = 0) -> int:
    """The first page of a new range, or a negative errno. ``element``: bytes of an element of its array, 0: not known."""
    index = handle_row(index)
    with cython.nogil:
        result: int64_t = mmap.mm_map(index, pages, order)
        if result >= 0:
            elements_set(mm_at(index), result, pages, element)
    return result


def space_unmap(index: cython.int, start: cython.ulonglong) -> int:
    index = handle_row(index)
    with cython.nogil:
        result = mmap.mm_unmap(index, start)
    return result


def space_dup(parent: cython.int, child: cython.int) -> int:
    parent = handle_row(parent)
    child = handle_row(child)
    with cython.nogil:
        result = fork.mm_dup(parent, child)
    return result


def space_exit(index: cython.int) -> int:
    handle: cython.int = index
    index = handle_row(index)
    with cython.nogil:
        result = fork.mm_exit(index)
    if result == 0:
        handle_drop(handle)
    return result


def space_ranges(index: cython.int) -> list:
    """Of a space that nobody else maps anything in: first page, pages and order of each range."""
    index = handle_row(index)
    mm = mm_at(index)
    return [(mm.vmas[n].start, mm.vmas[n].pages, mm.vmas[n].order) for n in range(mm.vma_count)]


def commit_drop(index: cython.int) -> None:
    index = handle_row(index)
    commit.commit_drop(index)


def commit_promise(index: cython.int, pages: cython.ulonglong) -> tuple:
    """Does it fit; pages that might have to be out then; pages that the areas hold."""
    index = handle_row(index)
    verdict = cython.declare(commit.Verdict)
    fits: cython.bint = commit.commit_promise(index, pages, cython.address(verdict))
    return bool(fits), verdict.wanted, verdict.room


def commit_take_back(index: cython.int, pages: cython.ulonglong) -> None:
    index = handle_row(index)
    commit.commit_take_back(index, pages)


def heap_calls() -> dict:
    """Addresses of what an allocator calls, from any thread and without the interpreter's lock (engine/heap.py)."""
    return {
        "map": cython.cast(uint64_t, cython.cast(cython.p_void, heap.heap_map)),
        "unmap": cython.cast(uint64_t, cython.cast(cython.p_void, heap.heap_unmap)),
        "room": cython.cast(uint64_t, cython.cast(cython.p_void, heap.heap_room)),
        "resize": cython.cast(uint64_t, cython.cast(cython.p_void, heap.heap_resize)),
        "pin": cython.cast(uint64_t, cython.cast(cython.p_void, heap.heap_pin)),
        "unpin": cython.cast(uint64_t, cython.cast(cython.p_void, heap.heap_unpin)),
        "alone": cython.cast(uint64_t, cython.cast(cython.p_void, child_is)),
    }


def heap_close(index: cython.int) -> int:
    """Gives the blocks that are kept for reuse back; how many ranges are left in the space."""
    index = handle_row(index)
    with cython.nogil:
        left = heap.heap_close(index)
    return left


def space_limit(index: cython.int, limit: cython.ulonglong) -> int:
    index = handle_row(index)
    with cython.nogil:
        result = mmap.mm_limit(index, limit)
    return result


def family_limit(limit: cython.ulonglong) -> int:
    """Pages that all spaces of the family may have together, 0: as many as their limits say; -EBUSY, -EAGAIN (no thread)."""
    with cython.nogil:
        result = shares.shares_set(limit) if serve_start() else -EAGAIN
        serve_wake()
    return result


def family_settled() -> bool:
    """Has everybody who died been cleaned up after, and has everybody let go of what is no area's any more?"""
    with cython.nogil:
        settled: cython.bint = death.family_settled()
    return settled


def family_figures() -> dict:
    """Of all spaces and shared objects of all members: the limit that they have together (0: none), what of it is given out, and what is
    resident, in pages; how many members there are."""
    resident: uint64_t = 0
    arch.mutex_lock(cython.address(shares.shares.lock))
    given = shares.shares_given()
    for index in range(MMS):
        if arch.load_acquire(cython.address(mmap.rows[index])):
            resident += arch.load(cython.address(mm_at(index).resident)) + mm_at(index).staging_pages
    arch.mutex_unlock(cython.address(shares.shares.lock))
    limit = arch.load(cython.address(shares.shares.limit))
    return {"limit": limit, "given": given, "resident": resident, "members": family_size()}


def space_pin(index: cython.int, page: cython.ulonglong, pages: cython.ulonglong) -> int:
    index = handle_row(index)
    with cython.nogil:
        result = pin.mm_pin(index, page, pages)
    return result


def space_unpin(index: cython.int, page: cython.ulonglong, pages: cython.ulonglong) -> None:
    index = handle_row(index)
    with cython.nogil:
        pin.mm_unpin(index, page, pages)


def forked() -> bool:
    """In a child of fork: is it without an engine? Then what would act on the parent's areas is closed, and nothing of the engine may
    be called any more."""
    alone: cython.bint = child_is()
    if alone:
        swaps_forked()
    return bool(alone)


def space_range(index: cython.int) -> tuple:
    """Address and bytes of its arena."""
    index = handle_row(index)
    mm = mm_at(index)
    return mm.arena, mm.arena_pages << 12


def space_base(index: cython.int) -> int:
    index = handle_row(index)
    return mmap.mm_base(index)


def space_features(index: cython.int) -> int:
    index = handle_row(index)
    return mmap.mm_features(index)


def space_figures(index: cython.int) -> dict:
    index = handle_row(index)
    figures = {name: mmap.mm_figure(index, which) for which, name in enumerate(FIGURES)}
    for which, name in enumerate(LEVELS):
        figures[name] = mmap.mm_figure(index, COUNTERS + which)
    return figures


def staging_pages(limit: cython.ulonglong, order: cython.int) -> int:
    return sizes.staging_pages(limit, order)


def least_limit(order: cython.int) -> int:
    return sizes.least_limit(order)


def guard_choose(which: cython.int) -> int:
    """-EBUSY: areas are on."""
    with cython.nogil:
        result = swaps_choose_guard(which)
    return result


def guard_now() -> int:
    return guard_chosen()


def mmu_found() -> tuple:
    """What userfaultfd offers this process: feature bits or a negative errno; whether faults inside system calls are served."""
    fd = arch.mmu_open()
    if fd < 0:
        return fd, False
    features = arch.mmu_handshake(fd, 0, False)
    arch.close_fd(fd)
    return features, bool(arch.mmu_kernel_faults())


def shared_create(pages: cython.ulonglong, limit: cython.ulonglong, order: cython.int, features: cython.int) -> int:
    """A shared object's number, among those of spaces, or a negative errno (attach.shm_create)."""
    with cython.nogil:
        granted = shares.share_begin(limit, sizes.least_limit(order))
        result: cython.int = -ENOSPC
        if granted:
            calm_enter()
            result = attach.shm_create(pages, granted, order, features)
            calm_leave()
            shares.share_settle(result, granted, limit)
    if result >= 0:
        here[result].users = 1
    return handle_new(result) if result >= 0 else result


def shared_name(shared: cython.int, name: bytes, info: bytes) -> int:
    """0; -EEXIST: an object of the family has that name; -EINVAL: too long."""
    shared = handle_row(shared)
    return attach.shm_name(
        shared,
        cython.cast(cython.pointer(uint8_t), cython.cast(cython.p_char, name)),
        len(name),
        cython.cast(cython.pointer(uint8_t), cython.cast(cython.p_char, info)),
        len(info),
    )


def shared_open(name: bytes) -> tuple:
    """An object that a member of the family named: its number, pages, order, and what its maker said of it; or a negative errno."""
    text = cython.cast(cython.p_char, name)
    length: cython.int = len(name)
    with cython.nogil:
        calm_enter()
        result = attach.shm_open_named(cython.cast(cython.pointer(uint8_t), text), length)
        calm_leave()
    if result < 0:
        return result, 0, 0, b""
    here[result].users += 1
    mm = mm_at(result)
    object = cython.address(shms[result])
    said = cython.cast(cython.p_char, cython.address(object.info[0]))[: object.info_length]
    return handle_new(result), mm.arena_pages, mm.order, said


def shared_unname(name: bytes) -> int:
    text = cython.cast(cython.p_char, name)
    return attach.shm_unname(cython.cast(cython.pointer(uint8_t), text), len(name))


def shared_attach(space: cython.int, shared: cython.int) -> int:
    space = handle_row(space)
    shared = handle_row(shared)
    with cython.nogil:
        result: int64_t = attach.mm_attach(space, shared)
    return result


def shared_destroy(shared: cython.int) -> int:
    handle: cython.int = shared
    shared = handle_row(shared)
    here[shared].users -= 1
    if here[shared].users:
        handle_drop(handle)
        return 0
    with cython.nogil:
        result = attach.shm_destroy(shared)
    if result == 0:
        handle_drop(handle)
    return result
