"""The version 1 swap header (``SWAPSPACE2``): the first page of every area, byte for byte as util-linux writes it.

Layout, from ``union swap_header`` in Linux ``include/linux/swap.h`` (offsets in bytes, numbers 32 bits, in the byte
order of the machine)::

       0  bootbits[1024]   left to boot loaders and disk labels; written as zeros
    1024  version          1
    1028  last_page        the number of pages less one: page 0 is this header, slots are 1..last_page
    1032  nr_badpages
    1036  uuid[16]
    1052  volume label[16] padded with zeros
    1068  padding[117]
    1536  badpages[]       at most (page_size - 1024 - 512 - 10) / 4 of them
    page_size - 10         the signature

Pure: no files, no locks, nothing sleeps. The caller hands ``unpack`` the first ``PROBE`` bytes of the area where it has
that many, so that an area made for larger pages is told from one that is none.
"""

import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple

from .errors import AreaError
from .sizes import PAGE

MAGIC = b"SWAPSPACE2"
MAGIC_V0 = b"SWAP-SPACE"
VERSION = 1
MIN_PAGES = 10  # header included: what util-linux and we take for the smallest area worth having
MAX_PAGES = 1 << 32  # last_page has 32 bits
PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)  # bytes: the page sizes Linux runs with
PROBE = PAGE_SIZES[-1]  # bytes of an area that show any signature

# What suspend tools write over the signature (the last is TuxOnIce's, the kernel's own is LINHIB0001 or S1SUSPEND).
_HIBERNATION = (b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001", b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c")
_FIELDS = struct.Struct("=III16s16s")
_FIELDS_AT = 1024
_BADPAGES_AT = 1536


class Header(NamedTuple):
    """What a header says. ``badpages`` are page numbers in 1..``last_page``; ``page_size`` is in bytes."""

    last_page: int
    uuid: bytes
    label: str = ""
    badpages: tuple[int, ...] = ()
    version: int = VERSION
    page_size: int = PAGE


def max_badpages(page_size: int = PAGE) -> int:
    """How many bad pages a header of ``page_size`` bytes has room for: 637 for 4096."""
    return (page_size - _BADPAGES_AT - len(MAGIC)) // 4


def signature(block: bytes) -> tuple[bytes, int] | None:
    """The swap or hibernation signature in ``block`` and the page size (bytes) at whose end it stands; None without one.

    Small pages first: behind the header of a 4 KiB area any bytes may stand, signatures of larger pages too.
    """
    for page_size in PAGE_SIZES:
        end = block[page_size - len(MAGIC) : page_size]
        for magic in (MAGIC, MAGIC_V0, *_HIBERNATION):
            if end.startswith(magic):
                return magic, page_size
    return None


def is_swap(block: bytes) -> bool:
    """Whether ``block`` starts a swap area of any version, page size and byte order (a hibernation image is none)."""
    found = signature(block)
    return found is not None and found[0] in (MAGIC, MAGIC_V0)


def pack(header: Header) -> bytes:
    """``header`` as one page of ``header.page_size`` bytes; bad pages sorted, each once. Raises ``AreaError``."""
    label = header.label.encode()
    badpages = sorted(set(header.badpages))
    if header.version != VERSION:
        raise AreaError(f"a swap header of version {header.version} cannot be written; use version {VERSION}.")
    if header.page_size not in PAGE_SIZES:
        raise AreaError(f"a page size of {header.page_size} bytes is not one of Linux; use one of {PAGE_SIZES}.")
    if len(header.uuid) != 16:
        raise AreaError(f"a UUID of {len(header.uuid)} bytes does not fit the header; give one of 16 bytes.")
    if len(label) > 16 or "\0" in header.label:
        raise AreaError(f"label {header.label!r} does not fit the header; give at most 16 bytes of text without NUL.")
    _check(header.last_page, badpages, len(badpages), header.page_size, "the new area")

    block = bytearray(header.page_size)
    _FIELDS.pack_into(block, _FIELDS_AT, VERSION, header.last_page, len(badpages), header.uuid, label)
    struct.pack_into(f"={len(badpages)}I", block, _BADPAGES_AT, *badpages)
    block[-len(MAGIC) :] = MAGIC
    return bytes(block)


def unpack(block: bytes, name: str = "the area") -> Header:
    """The header at the start of ``block``: ``PROBE`` bytes, or as many as the area has.

    ``name`` is how the area is called in the error. Raises ``AreaError`` where there is no header, or one that hotswap
    does not take. What is returned holds between 10 and 2**32 pages, and each bad page once, in order.
    """
    found = signature(block)
    if found is None:
        raise AreaError(f"{name} has no swap signature, so it is not a swap area; format it with 'hotswap mkswap'.")
    magic, page_size = found
    if magic == MAGIC_V0:
        raise AreaError(f"{name} is a swap area of the old version 0 (SWAP-SPACE); format it anew with 'hotswap mkswap'.")
    if magic != MAGIC:
        shown = magic.decode() if magic.isascii() else "TuxOnIce"
        raise AreaError(
            f"{name} holds a hibernation image ({shown}), which swapping would destroy; "
            "resume that system first, or give the image up with 'hotswap mkswap --force'."
        )
    if page_size != PAGE:
        raise AreaError(
            f"{name} was made for pages of {page_size // 1024} KiB, but hotswap's slots are {PAGE // 1024} KiB; "
            "format it anew with 'hotswap mkswap'."
        )
    version, last_page, count, uuid, label = _FIELDS.unpack_from(block, _FIELDS_AT)
    if version == int.from_bytes(VERSION.to_bytes(4, "little"), "big"):
        other = "big" if sys.byteorder == "little" else "little"
        raise AreaError(f"{name} has a header in the other byte order ({other}-endian); format it anew with 'hotswap mkswap'.")
    if version != VERSION:
        raise AreaError(f"{name} has a swap header of version {version}, not {VERSION}; format it anew with 'hotswap mkswap'.")
    # The count comes from the disk: bounded before anything is read by it.
    badpages = struct.unpack_from(f"={min(count, max_badpages())}I", block, _BADPAGES_AT)
    _check(last_page, badpages, count, PAGE, name)
    text = label.partition(b"\0")[0].decode(errors="replace")
    return Header(last_page, uuid, text, tuple(sorted(set(badpages))))


def _check(last_page: int, badpages: Sequence[int], count: int, page_size: int, name: str) -> None:
    """Hold for what is written and what is read alike: enough pages, few enough bad ones, each inside, one left over."""
    pages = last_page + 1
    if pages < MIN_PAGES:
        raise AreaError(
            f"{name} has {max(pages, 0)} pages, fewer than the {MIN_PAGES} that an area needs; "
            f"make it {MIN_PAGES * page_size // 1024} KiB or larger."
        )
    if pages > MAX_PAGES:
        raise AreaError(f"{name} has {pages} pages, more than the {MAX_PAGES} that a header can count; make it smaller.")
    if count > max_badpages(page_size):
        raise AreaError(
            f"{name} lists {count} bad pages, too many for its header (at most {max_badpages(page_size)}); use a sound disk."
        )
    for page in badpages:
        if not 1 <= page <= last_page:
            raise AreaError(
                f"{name} lists bad page {page}, which is outside 1..{last_page}; correct the list and format it anew."
            )
    if len(set(badpages)) == last_page:
        raise AreaError(f"{name} has no good page, all {last_page} are listed as bad; use a sound disk.")
