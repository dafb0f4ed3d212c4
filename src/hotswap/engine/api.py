"""The engine as Python calls it: each call lets go of the interpreter's lock first, since it may wait for a fault that a thread
which holds that lock is stuck in. Numbers in, numbers out; sentences are made by those who call.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine import attach, fork, mmap, pin, swap_map, swapoff, swapon
from cython.cimports.hotswap.engine.area import SWP_EMPTYING, SWP_WRITEOK, Figures, area_release_row, area_row_taken
from cython.cimports.hotswap.engine.area import area_figures as area_figures_now
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.guard.contract import choose_guard, guard_chosen
from cython.cimports.hotswap.engine.mm import COUNTERS, mm_at
from cython.cimports.hotswap.engine.store.ram import IN_RAM
from cython.cimports.libc.stdint import int64_t, uint64_t

MOVE = arch.MMU_MOVE
POISON = arch.MMU_POISON
WRITE_PROTECT = arch.MMU_WP
SHARED = arch.MMU_SHARED
SHARED_WRITE_PROTECT = arch.MMU_SHARED_WP
UNDER_WAY = swapoff.OFF_UNDER_WAY
DONE = swapoff.OFF_DONE
FAILED = swapoff.OFF_FAILED
MAX_AREAS = AREAS
RAM = IN_RAM  # to swap_on(), for a descriptor
DEBUG = bool(arch.DEBUG)
FIGURES = (
    "faults_minor", "faults_major", "faults_zero", "faults_write", "pages_in", "pages_out", "pages_clean", "pages_filled",
    "ahead_pages", "ahead_hits", "refaults", "activations", "direct_reclaims", "wait_ns", "unmovable", "poisoned",
)  # fmt: skip


def swap_on(fd: cython.int, slots: cython.ulonglong, priority: cython.int, bad: list, label: bytes) -> int:
    """``label`` names it in the log; the caller keeps the object until the area is off. The new area's type, or a negative errno (swapon.area_setup); ValueError for a bad slot that is none."""
    with cython.nogil:
        type = swapon.area_setup(fd, slots, priority)
    if type < 0:
        return type
    swapon.area_label(type, cython.cast(uint64_t, cython.cast(cython.p_char, label)))
    for slot in bad:
        if not swap_map.swap_map_mark_bad(type, slot):
            swapon.area_teardown(type)
            raise ValueError(f"bad page {slot} is out of bounds or named twice")
    with cython.nogil:
        swapon.area_publish(type)
    return type


def rows_left() -> bool:
    """Can another area go on?"""
    return any(not area_row_taken(type) for type in range(AREAS))


def swap_off_start(type: cython.int) -> int:
    with cython.nogil:
        result = swapoff.swapoff_start(type)
    return result


def swap_off_wait(type: cython.int, timeout_us: cython.long) -> int:
    with cython.nogil:
        result = swapoff.swapoff_wait(type, timeout_us)
    return result


def swap_off_reap(type: cython.int) -> None:
    """After DONE and once the outcome was read: the row may be taken again."""
    area_release_row(type)


def swap_off_cancel(type: cython.int) -> None:
    swapoff.swapoff_cancel(type)


def swap_off_progress(type: cython.int) -> tuple:
    """Pages moved to other areas, pages put into memory, errno and slot of a failure."""
    return (
        swapoff.swapoff_progress(type, swapoff.OFF_MOVED),
        swapoff.swapoff_progress(type, swapoff.OFF_LOADED),
        swapoff.swapoff_progress(type, swapoff.OFF_ERRNO),
        swapoff.swapoff_progress(type, swapoff.OFF_SLOT),
    )


def area_figures(type: cython.int) -> dict:
    """Pages: usable, used, read, written; transfers that failed; flags; of compressed RAM the pages of memory it holds and the bytes
    that are in them as they came. All zero of one that has just gone off."""
    figures = cython.declare(Figures)
    with cython.nogil:
        on: cython.bint = area_figures_now(type, cython.address(figures))
    if not on:
        figures = Figures(usable=0, used=0, pages_in=0, pages_out=0, errors=0, flags=0, held=0, stored=0)
    return {
        "usable": figures.usable,
        "used": figures.used,
        "pages_in": figures.pages_in,
        "pages_out": figures.pages_out,
        "errors": figures.errors,
        "held": figures.held,
        "stored": figures.stored,
        "writeok": bool(figures.flags & SWP_WRITEOK),
        "emptying": bool(figures.flags & SWP_EMPTYING),
        "on": bool(area_row_taken(type)),
    }


def space_create(limit: cython.ulonglong, order: cython.int, refuse: cython.int, signal: cython.bint) -> int:
    with cython.nogil:
        result = mmap.mm_create(limit, order, refuse, signal)
    return result


def space_destroy(index: cython.int) -> int:
    with cython.nogil:
        result = mmap.mm_destroy(index)
    return result


def space_map(index: cython.int, pages: cython.ulonglong, order: cython.int) -> int:
    with cython.nogil:
        result: int64_t = mmap.mm_map(index, pages, order)
    return result


def space_unmap(index: cython.int, start: cython.ulonglong) -> int:
    with cython.nogil:
        result = mmap.mm_unmap(index, start)
    return result


def space_dup(parent: cython.int, child: cython.int) -> int:
    with cython.nogil:
        result = fork.mm_dup(parent, child)
    return result


def space_exit(index: cython.int) -> int:
    with cython.nogil:
        result = fork.mm_exit(index)
    return result


def space_ranges(index: cython.int) -> list:
    """Of a space that nobody else maps anything in: first page, pages and order of each range."""
    mm = mm_at(index)
    return [(mm.vmas[n].start, mm.vmas[n].pages, mm.vmas[n].order) for n in range(mm.vma_count)]


def space_limit(index: cython.int, limit: cython.ulonglong) -> int:
    with cython.nogil:
        result = mmap.mm_limit(index, limit)
    return result


def space_pin(index: cython.int, page: cython.ulonglong, pages: cython.ulonglong) -> int:
    with cython.nogil:
        result = pin.mm_pin(index, page, pages)
    return result


def space_unpin(index: cython.int, page: cython.ulonglong, pages: cython.ulonglong) -> None:
    with cython.nogil:
        pin.mm_unpin(index, page, pages)


def forked() -> None:
    """In a child of fork: closes what would act on the parent's memory. Nothing of the engine may be called after it."""
    mmap.mm_forked()


def space_base(index: cython.int) -> int:
    return mmap.mm_base(index)


def space_features(index: cython.int) -> int:
    return mmap.mm_features(index)


def space_figures(index: cython.int) -> dict:
    figures = {name: mmap.mm_figure(index, which) for which, name in enumerate(FIGURES)}
    for which, name in enumerate(("resident", "limit", "pinned", "budget", "active", "inactive")):
        figures[name] = mmap.mm_figure(index, COUNTERS + which)
    return figures


def staging_pages(limit: cython.ulonglong, order: cython.int) -> int:
    return mmap.staging_pages(limit, order)


def least_limit(order: cython.int) -> int:
    return mmap.least_limit(order)


def guard_choose(which: cython.int) -> int:
    return choose_guard(which)


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
    """A shared object's index, among those of spaces, or a negative errno (attach.shm_create)."""
    with cython.nogil:
        result = attach.shm_create(pages, limit, order, features)
    return result


def shared_attach(space: cython.int, shared: cython.int) -> int:
    with cython.nogil:
        result: int64_t = attach.mm_attach(space, shared)
    return result


def shared_destroy(shared: cython.int) -> int:
    with cython.nogil:
        result = attach.shm_destroy(shared)
    return result
