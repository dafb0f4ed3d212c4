"""The swap cache's index of an area: which frame, of whichever address space, holds an entry's slots. Chains of frames, by entry.

Who calls is inside the area's guard and has its lock (cache.py). A frame that is found is some mm's whose frames have not gone: an mm sweeps its
frames out of every index before it goes.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import BUCKETS
from cython.cimports.hotswap.engine.mm import mm_at
from cython.cimports.libc.stdint import uint32_t


def bucket_of(entry):
    """Folios start at multiples of their size: multiply so that the low zeros do not leave most buckets empty."""
    return (cython.cast(uint32_t, entry * 0x45D9F3B) >> 20) % BUCKETS


def index_add(area, mm, frame):
    bucket = bucket_of(mm.frames[frame].entry)
    mm.frames[frame].chain = area.buckets[bucket]
    area.buckets[bucket] = (cython.cast(uint32_t, mm.index) + 1) << HANDLE_SHIFT | cython.cast(uint32_t, frame)


def index_find(area, entry):
    handle: uint32_t = area.buckets[bucket_of(entry)]
    while handle:
        record = cython.address(mm_at((handle >> HANDLE_SHIFT) - 1).frames[handle & ((1 << HANDLE_SHIFT) - 1)])
        if record.entry == entry:
            return handle
        handle = record.chain
    return 0


def index_remove(area, mm, frame):
    bucket = bucket_of(mm.frames[frame].entry)
    wanted: uint32_t = (cython.cast(uint32_t, mm.index) + 1) << HANDLE_SHIFT | cython.cast(uint32_t, frame)
    handle: uint32_t = area.buckets[bucket]
    if handle == wanted:
        area.buckets[bucket] = mm.frames[frame].chain
        return
    while handle:
        record = cython.address(mm_at((handle >> HANDLE_SHIFT) - 1).frames[handle & ((1 << HANDLE_SHIFT) - 1)])
        if record.chain == wanted:
            record.chain = mm.frames[frame].chain
            return
        handle = record.chain
    arch.check(False, b"a frame of the cache is in its index")
