"""What a program is given: limit, areas, and the size from which on an allocation is swappable. Knows nothing of how."""

import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .. import machine
from ..errors import AreaError, SizeError
from ..sizes import format_size, parse_size

MIN_SIZE = "256K"
_LEAST = 16 << 10  # bytes: below that, ranges of their own cost more than they give
_SHARE = 8  # a private area is that many times the limit...
_GENEROUS = 4 << 30  # ... or that many bytes...
_PART = 2  # ... and at most that part of what the disk has left
_NOT_LOCAL = {
    "9p",
    "afs",
    "ceph",
    "cifs",
    "fuse.sshfs",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
    "virtiofs",
}
_NO_DISK = {"", "ramfs", "tmpfs", "devtmpfs", "proc", "sysfs", "squashfs", "iso9660"}


class Area(NamedTuple):
    """One of ``--swap``: as ``hotswap.swapon`` takes it."""

    path: str
    size: str | None
    priority: int


class Plan(NamedTuple):
    """``limit`` and ``least`` in bytes. No ``areas``: a private one is made."""

    limit: int
    least: int
    areas: list[Area]
    preload: str | None = None  # what LD_PRELOAD was before

    def text(self) -> str:
        """For the way into the program, by ``read``."""
        return json.dumps(self)

    @classmethod
    def read(cls, text: str) -> "Plan":
        limit, least, areas, preload = json.loads(text)
        return cls(limit, least, [Area(*area) for area in areas], preload)


def make(limit: str | None = None, swap: Iterable[str] = (), min_size: str | None = None) -> Plan:
    """What is given counts, then the environment (HOTSWAP_LIMIT, HOTSWAP_SWAP, HOTSWAP_MIN_SIZE), then half of the memory there is."""
    limit = limit or os.environ.get("HOTSWAP_LIMIT")
    swap = list(swap) or shlex.split(os.environ.get("HOTSWAP_SWAP", ""))
    min_size = min_size or os.environ.get("HOTSWAP_MIN_SIZE") or MIN_SIZE
    least = parse_size(min_size, "min-size")
    if least < _LEAST:
        raise SizeError(f"min-size {min_size!r} is below {format_size(_LEAST)}, where ranges of their own do not pay; give more.")
    return Plan(parse_size(limit, "limit") if limit else memory() // 2, least, [area(text) for text in swap])


def area(text: str) -> Area:
    """``FILE[:SIZE][,pri=N]``. What follows the last colon is a size if it can be read as one."""
    rest, comma, number = text.rpartition(",pri=")
    path = rest if comma else text
    priority = 0
    if comma:
        try:
            priority = int(number)
        except ValueError:
            raise AreaError(f"{text!r}: priority {number!r} is not a whole number; write FILE[:SIZE][,pri=N].") from None
    before, colon, last = path.rpartition(":")
    size: str | None = None
    if colon and before and before != "ram":
        if last[:1].isdigit():
            parse_size(last, f"{before}: size")
            path, size = before, last
        elif not last:
            raise AreaError(f"{text!r} ends where a size should be; write FILE[:SIZE][,pri=N].")
    if not path or path.startswith(":"):
        raise AreaError(f"{text!r} names no file; write FILE[:SIZE][,pri=N].")
    return Area(path, size, priority)


def memory() -> int:
    """Bytes that this process may use: the machine's, or what its control groups allow."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([total, *machine.memory_limits()])


def private_place(limit: int) -> tuple[Path, int]:
    """Where a private area goes, and its bytes: the local disk with the most room; eight times the limit or 4 GiB, at most half of
    what is left there. Raises ``AreaError`` when there is none."""
    best: tuple[int, Path] | None = None
    seen: set[int] = set()  # disks: of two places on one, the first
    for place in _places():
        kind = machine.file_system(place)
        if kind in _NO_DISK or kind in _NOT_LOCAL or not os.access(place, os.W_OK | os.X_OK):
            continue
        if place.stat().st_dev in seen:
            continue
        seen.add(place.stat().st_dev)
        found = os.statvfs(place)
        room = found.f_bavail * found.f_frsize
        if best is None or room > best[0]:
            best = room, place
    if best is None or best[0] // _PART < 1 << 20:
        raise AreaError("no local disk with room was found for a private area; name a place with --swap FILE:SIZE.")
    return best[1], min(max(_SHARE * limit, _GENEROUS), best[0] // _PART)


def _places() -> list[Path]:
    """Directories of temporary files, and where disks are mounted."""
    named = [os.environ.get("TMPDIR"), "/tmp", "/var/tmp", os.environ.get("XDG_CACHE_HOME"), "/scratch", "/local"]
    places = [Path(name) for name in named if name] + [Path(mount.point) for mount in machine.mounts()]
    return [place for place in places if place.is_dir()]
