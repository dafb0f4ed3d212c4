"""Sizes as people write them: ``8G``, ``512M``, ``64K``, ``1.5GiB``, a plain number of bytes (units are powers of 1024), and
where there is a whole that they can be a part of, ``25%``."""

import re
from collections.abc import Callable

from .errors import SizeError

PAGE = 4096  # bytes: the unit of slots, areas and limits
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(?:([KMGT]?)(?:i?B)?|(%))\s*", re.IGNORECASE)


def parse_size(size: int | str, what: str = "size", *, whole: Callable[[], int] | None = None) -> int:
    """Bytes in ``size``; ``what`` names it in the error. ``whole()`` tells what a percentage is a part of, in bytes; without it
    there are none. Raises ``SizeError`` for what is not a size above zero."""
    if isinstance(size, bool) or not isinstance(size, (int, str)):
        raise SizeError(f"{what} {size!r} is not a size; give bytes as an integer or text such as '512M'.")
    if isinstance(size, str):
        match = _SIZE.fullmatch(size)
        if not match or (match[3] and not whole):
            units = "an optional unit K, M, G or T" + (" or %" if whole else "")
            raise SizeError(f"{what} {size!r} is not a size; give a number with {units}, such as '512M'.")
        number = float(match[1])
        size = int(number * whole() / 100 if match[3] and whole else number * _UNITS[match[2].upper()])
    if size <= 0:
        raise SizeError(f"{what} {size} is not above zero; give a positive number of bytes.")
    return size


def format_size(nbytes: float) -> str:
    """``nbytes`` for people, in the largest unit that leaves at least one: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(nbytes) < 1024:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} TiB"
