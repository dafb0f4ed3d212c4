"""Swap entries: which slot of which area, packed into 45 bits.

Type (the area's index, 0 to 31) above a 40-bit slot offset. Slot 0 of every area is its header, so entry 0 (area 0, slot 0)
never names a page and serves as "none". A folio of several slots is named by its first.
"""

import cython
from cython.cimports.hotswap import arch


def make_entry(type, offset):
    """The entry of slot ``offset`` in area ``type``; both in bounds, asserted."""
    arch.check(0 <= type and type < AREAS, b"the type of an entry is below 32")
    arch.check(offset < (cython.cast(cython.ulonglong, 1) << TYPE_SHIFT), b"the offset of an entry has 40 bits")
    return (cython.cast(cython.ulonglong, type) << TYPE_SHIFT) | offset


def entry_type(entry):
    return entry >> TYPE_SHIFT


def entry_offset(entry):
    return entry & ((cython.cast(cython.ulonglong, 1) << TYPE_SHIFT) - 1)
