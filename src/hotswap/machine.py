"""What /proc and /sys say about this process and its machine. Only reads; what cannot be read is empty.

``mountinfo`` and ``membership``, the texts of /proc/self/mountinfo and /proc/self/cgroup, and ``root``, what to put before
every mount point, are arguments for tests.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_NO_LIMIT = 1 << 60  # control groups of version 1 say "none" by a number near 2**63


class Mount(NamedTuple):
    """A line of ``/proc/self/mountinfo``, proc(5)."""

    root: str  # what of the file system is shown
    point: str  # where
    kind: str
    options: list[str]  # of the file system, not of the mount


def text(path: str | Path) -> str:
    """A small file's text without the white space around it; empty when it cannot be read."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def capable(capability: int) -> bool:
    """Does this process have a capability, by its number in capability.h?"""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", text("/proc/self/status"), re.MULTILINE)
    return bool(found and int(found[1], 16) >> capability & 1)


def mounts(mountinfo: str | None = None) -> Iterator[Mount]:
    """Everything that is mounted; later ones lie over earlier ones."""
    for line in (text("/proc/self/mountinfo") if mountinfo is None else mountinfo).splitlines():
        left, _, right = line.partition(" - ")
        fields, more = left.split(), right.split()
        if len(fields) >= 5 and len(more) >= 3:
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
            yield Mount(fields[3], point, more[0], more[2].split(","))


def file_system(directory: Path, mountinfo: str | None = None) -> str:
    """The type of the file system that ``directory`` is on; empty when unknown."""
    where, deepest, kind = directory.resolve(), 0, ""
    for mount in mounts(mountinfo):
        depth = len(Path(mount.point).parts)
        if where.is_relative_to(mount.point) and depth >= deepest:
            deepest, kind = depth, mount.kind
    return kind


def memory_limits(mountinfo: str | None = None, membership: str | None = None, root: Path = Path("/")) -> Iterator[int]:
    """Limits, in bytes, of the memory control group (version 1 or 2) of this process and of those above it that show here."""
    groups: dict[str, str] = {}  # by file system type
    for line in (text("/proc/self/cgroup") if membership is None else membership).splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            groups["cgroup2"] = path
        elif "memory" in controllers.split(","):
            groups["cgroup"] = path
    for mount in mounts(mountinfo):
        if mount.kind not in groups or (mount.kind == "cgroup" and "memory" not in mount.options):
            continue
        group, top = Path(groups[mount.kind]), root / mount.point.lstrip("/")
        group = top / (group.relative_to(mount.root) if group.is_relative_to(mount.root) else "")
        name = "memory.max" if mount.kind == "cgroup2" else "memory.limit_in_bytes"
        while group.is_relative_to(top):
            with contextlib.suppress(ValueError):  # "max", or no such file
                limit = int(text(group / name))
                if limit < _NO_LIMIT:
                    yield limit
            group = group.parent


def memory(membership: str | None = None) -> int:
    """Bytes of memory that this process may have: the machine's, or the lowest limit of its control groups where that is less."""
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *memory_limits(membership=membership)])
