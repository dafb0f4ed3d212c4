"""What a program is given: limit, areas, and the size from which on an allocation is swappable. Knows nothing of how."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .. import machine
from ..config import NONE, AreaSpec, children_bytes, resolve
from ..errors import AreaError

MIN_SIZE = "256K"
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


class Plan(NamedTuple):
    """``limit`` and ``least`` in bytes. No ``areas``: a private one is made. ``children``: bytes in the limit of each child process; 0:
    those that are executed go without hotswap, those that are forked keep the limit."""

    limit: int
    least: int
    areas: list[AreaSpec]
    children: int

    def text(self) -> str:
        """For the way into the program, by ``read``."""
        return json.dumps(self)

    @classmethod
    def read(cls, text: str) -> "Plan":
        limit, least, areas, children = json.loads(text)
        return cls(limit, least, [AreaSpec(*area) for area in areas], children)

    def of_child(self) -> "Plan":
        """What a child that is executed is given. It shares the areas; where it cannot, it has a private one."""
        return Plan(self.children, self.least, [], self.children)


def make(
    limit: str | None = None,
    swap: Iterable[str] = (),
    min_size: str | None = None,
    config: str | None = None,
    children_limit: str | None = None,
) -> Plan:
    """What is given counts, then the environment, then the file of settings (``hotswap.config``), then half of the memory there is."""
    given = {"limit": limit, "swap": tuple(swap), "min_size": min_size, "children_limit": children_limit}
    settings = resolve(given, config=config)
    most = settings.limit or machine.memory() // 2
    children = most if settings.children_limit is None else 0
    if settings.children_limit not in (None, NONE):
        children = children_bytes(settings.children_limit or "", most)
    return Plan(most, settings.min_size, list(settings.swap), children)


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
