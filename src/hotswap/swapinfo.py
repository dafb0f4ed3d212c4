"""What is told of areas, inside a process and from outside: records of what the engine lists, and sentences for what it refuses."""

import errno
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from . import areafile
from .engine import api
from .errors import AreaError
from .sizes import PAGE, format_size


class Swap(NamedTuple):
    """An area that is on; ``size`` and ``used`` in bytes, ``errors`` in transfers that failed.

    Of compressed RAM, as an area or in front of one, in bytes and 0 elsewhere: ``compressed`` is the memory that it may take, ``held`` what
    it takes, ``stored`` what is in there as it came and ``packed`` as it is kept, so that ``overhead`` is lost to rounding and holes;
    ``written_back`` went on to where there is more room, ``declined`` did not compress, since it was switched on.
    """

    path: str
    kind: str
    size: int
    used: int
    priority: int
    flags: str
    bytes_in: int
    bytes_out: int
    errors: int
    held: int = 0
    stored: int = 0
    packed: int = 0
    compressed: int = 0
    written_back: int = 0
    declined: int = 0

    @property
    def overhead(self) -> int:
        """Bytes of ``held`` that hold no data."""
        return max(0, self.held - self.packed)


class SwapoffProgress(NamedTuple):
    """How far a swapoff is: pages of 4 KiB, pages a second, seconds (None while nothing has moved). ``waiting_for`` is another process
    of the family (parent, child) that has not done its part for a second, because it is stopped most likely; None: there is none."""

    path: str
    left: int
    moved: int
    rate: float
    seconds_left: float | None
    waiting_for: int | None = None


class Swapoff(NamedTuple):
    """What a swapoff did: pages moved to other areas and pages kept in memory, their sum, and the seconds it took."""

    path: str
    pages: int
    moved: int
    loaded: int
    seconds: float


def as_swap(area: Mapping[str, Any]) -> Swap:
    """From what the engine lists."""
    kind = areafile.RAM if area["how"] & api.RAM else "partition" if area["how"] & api.PARTITION else "file"
    transfers = "compressed" if kind == areafile.RAM else "direct" if area["how"] & api.DIRECT else "buffered"
    if area["how"] & api.FRONT:
        transfers += " compressed"
    return Swap(
        os.fsdecode(area["name"]),
        kind,
        area["usable"] * PAGE,
        area["used"] * PAGE,
        area["priority"],
        f"{'emptying' if area['emptying'] else 'active'} {transfers}",
        area["pages_in"] * PAGE,
        area["pages_out"] * PAGE,
        area["errors"],
        area["held"] * PAGE,
        area["stored"],
        area["packed"],
        area["most"] * PAGE,
        area["backed"] * PAGE,
        area["declined"] * PAGE,
    )


def how_far(name: str, done: int, left: int, seconds: float, late: int = 0) -> SwapoffProgress:
    """``done`` and ``left`` in pages; ``late``: the process that is waited for."""
    rate = done / seconds if seconds > 0 else 0.0
    return SwapoffProgress(name, left, done, rate, left / rate if rate else None, late or None)


def why_not(name: str, error: int, slot: int, pages: int) -> str:
    """Why a swapoff was given up with ``pages`` left."""
    left = format_size(pages * PAGE)
    stays = "the area stays on, as usable as before"
    if error == errno.ENOSPC:
        return (
            f"{name} is not switched off: {left} of its data fit neither in the other areas nor in memory within the "
            f"limits; {stays}. Add an area, raise a limit or free arrays, then try again."
        )
    if error == errno.EIO:
        return f"{name} is not switched off: slot {slot} cannot be read, {left} remain; {stays}. Free the array it is part of."
    if error == errno.EINTR:
        return f"{name} is not switched off: it was cancelled with {left} left; {stays}."
    return f"{name} is not switched off: {os.strerror(error)}, {left} remain; {stays}."


def refused(path: str, error: int) -> AreaError:
    """Why the engine did not take an area in."""
    if error == errno.EBUSY:
        return AreaError(f"{path} is on already (the file of that name was replaced); switch it off first.", error)
    if error == errno.EPERM:
        return AreaError(f"{path} is refused: {api.MAX_AREAS} areas are on already; switch one off first.", error)
    if error == errno.ENAMETOOLONG:
        return AreaError(f"{path} is refused: its path is too long; use a shorter one.", error)
    return AreaError(f"{path} is refused: its tables do not fit in memory; free some, or use a smaller area.", error)


def not_started(name: str, error: int) -> AreaError:
    """Why a swapoff did not even begin."""
    if error == errno.EBUSY:
        return AreaError(f"{name} is being switched off already; wait for that.", error)
    if error == errno.EINVAL:
        return AreaError(f"{name} is not on; hotswap.swaps() lists the areas that are.", error)
    return AreaError(f"{name} is not switched off: no thread can be had for that ({os.strerror(error)}); try again.", error)
