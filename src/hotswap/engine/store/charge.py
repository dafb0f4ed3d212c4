"""What compressed RAM holds for an address space counts as resident for it, up to three quarters of its limit: the rest is left to
work with. Counted in units of 64 bytes, as the pool gives memory; holes in the pool and rounding to pages are nobody's.

No locks: words of the address space, which others read at any time.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import mm_at
from cython.cimports.libc.stdint import int64_t, uint64_t


def share_of(mm):
    """Pages of an address space's limit that may be packed."""
    budget = arch.load(cython.address(mm_at(mm).budget))
    return budget - budget // RAM_SHARE


def charge_packed(mm, grains):
    """Counts memory in, to an address space that gives up more right after; not beyond its share."""
    space = mm_at(mm)
    packed = arch.add(cython.address(space.packed), grains)
    if cython.cast(uint64_t, pages_of(packed)) > share_of(mm):
        arch.add(cython.address(space.packed), -grains)
        return False
    arch.add(cython.address(space.resident), pages_of(packed) - pages_of(packed - grains))
    return True


def uncharge_packed(mm, grains):
    if mm == NOBODY:
        return
    space = mm_at(mm)
    packed = arch.add(cython.address(space.packed), -grains)
    change = pages_of(packed + grains) - pages_of(packed)
    if change:
        arch.add(cython.address(space.resident), -change)
        arch.event_wake(cython.address(space.relief))


def pages_of(grains):
    return cython.cast(int64_t, (grains + 63) >> 6)


def mm_near(index, part):
    packed = arch.load(cython.address(mm_at(index).packed))
    return packed != 0 and cython.cast(uint64_t, pages_of(packed)) * 16 > share_of(index) * part
