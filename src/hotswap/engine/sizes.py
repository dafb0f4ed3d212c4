"""The sizes that a space's folios have, smallest first (levels), and its staging frames, of which each level has a pool.

A space is given one size, or has what suits (ADAPTIVE): single pages, 64 KiB, and the largest that the limit allows, up to 1 MiB.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.libc.stdint import uint64_t


def staging_pages(limit, order):
    """What of a limit is staging frames: a 16th, but at least 16 folios and at most 32 MiB or 16 folios. Where folios have the
    size that suits (ADAPTIVE): a 16th, 256 KiB to 32 MiB."""
    least: uint64_t = cython.cast(uint64_t, STAGING_LEAST) if order == ADAPTIVE else cython.cast(uint64_t, FRAMES_LEAST) << order
    unit: uint64_t = least // FRAMES_LEAST
    pages: uint64_t = limit >> 4
    pages = pages if pages < STAGING_MOST else cython.cast(uint64_t, STAGING_MOST)
    pages = pages & ~(unit - 1)
    return pages if pages > least else least


def least_limit(order):
    """The lowest limit, in pages, with which folios of this order can be served."""
    if order == ADAPTIVE:
        return 4 * STAGING_LEAST
    return cython.cast(uint64_t, FRAMES_LEAST + FOLIOS_LEAST) << order


def set_up_pools(mm, limit, order):
    """The sizes of folios, and how many frames each has. Of several, the largest is what 16 frames of fit into the staging memory, up
    to 1 MiB; single pages and 64 KiB have an 8th of it each, at least 16 and 8 frames. Where the largest is 1 MiB half of its frames keep
    their pages, which are huge ones: the kernel reads into those twice as fast as into 256 single ones (decision 17)."""
    pages = staging_pages(limit, order)
    mm.levels = 1
    mm.pools[0].order = order
    if order == ADAPTIVE:
        largest: cython.int = 0
        while largest < LARGEST_ORDER and cython.cast(uint64_t, FRAMES_LEAST) << (largest + 1) <= pages:
            largest += 1
        mm.pools[0].order = 0
        mm.pools[0].count = cython.cast(cython.int, pages >> 3 if pages >> 3 > FRAMES_LEAST else FRAMES_LEAST)
        if largest > MIDDLE_ORDER:
            mm.pools[1].order = MIDDLE_ORDER
            mm.pools[1].count = cython.cast(cython.int, pages >> 3 >> MIDDLE_ORDER)
            mm.pools[1].count = mm.pools[1].count if mm.pools[1].count > FRAMES_LEAST >> 1 else FRAMES_LEAST >> 1
            mm.levels = 2
        mm.pools[mm.levels].order = largest
        mm.levels += 1
    mm.order = mm.pools[mm.levels - 1].order
    left: uint64_t = pages
    mm.frame_count = 0
    for level in range(mm.levels - 1):
        left -= cython.cast(uint64_t, mm.pools[level].count) << mm.pools[level].order
        mm.frame_count += mm.pools[level].count
    mm.pool_count = mm.levels
    kept: uint64_t = left >> 1 & ~cython.cast(uint64_t, HUGE - 1) if mm.levels > 1 and mm.order == LARGEST_ORDER else 0
    if kept:
        mm.pools[mm.levels].order = mm.order
        mm.pools[mm.levels].count = cython.cast(cython.int, kept >> mm.order)
        mm.pool_count += 1
        mm.frame_count += mm.pools[mm.levels].count
        left -= kept
    mm.pools[mm.levels - 1].count = cython.cast(cython.int, left >> mm.order)
    mm.frame_count += mm.pools[mm.levels - 1].count
    for level in range(mm.pool_count):
        mm.pools[level].kept = level == mm.levels
    mm.staging_pages = pages


def kept_pages(mm):
    """Pages of staging memory, the first ones, whose frames keep theirs."""
    if mm.pool_count == mm.levels:
        return 0
    return cython.cast(uint64_t, mm.pools[mm.levels].count) << mm.order


def pools_copy(mm, source):
    """The same sizes and as many frames as another space has."""
    mm.levels = source.levels
    mm.order = source.order
    mm.frame_count = source.frame_count
    mm.staging_pages = source.staging_pages
    mm.pool_count = source.pool_count
    for level in range(source.pool_count):
        mm.pools[level].kept = source.pools[level].kept
        mm.pools[level].order = source.pools[level].order
        mm.pools[level].count = source.pools[level].count


def largest_order(mm, vma):
    """The largest folio that the range and the limit, as it is now, allow."""
    level: cython.int = mm.levels - 1
    if level == 0:
        return vma.order
    part = arch.load(cython.address(mm.budget)) // PAGE_SHARE
    while level > 0 and cython.cast(uint64_t, 1) << mm.pools[level].order > part:
        level -= 1
    return mm.pools[level].order if mm.pools[level].order < vma.order else vma.order


def next_order(mm, vma, order):
    """A level more, as far as that goes."""
    most = largest_order(mm, vma)
    for level in range(mm.levels):
        if mm.pools[level].order > order:
            return mm.pools[level].order if mm.pools[level].order < most else most
    return most


def before_order(mm, order):
    """A level less; orders between levels, which small ranges have, count as the level above."""
    level: cython.int = mm.levels - 1
    while level > 0 and mm.pools[level].order >= order:
        level -= 1
    return mm.pools[level].order if mm.pools[level].order < order else 0


def whole_order(mm, order):
    """What ranges are multiples of: their folios' size where one is given."""
    return order if order < mm.pools[0].order else mm.pools[0].order
