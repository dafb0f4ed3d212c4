"""Where the demo's area files go: a fresh directory of its own on a disk, that goes away again whatever happens."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import HotswapError
from ..sizes import format_size

_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs"}  # swap there would be no swap
_SPARE = 64 << 20  # bytes to leave free for others


def filesystem(directory: Path) -> str:
    """The type of the file system that ``directory`` is on, from ``/proc/self/mountinfo``; empty when unknown."""
    device = os.stat(directory).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kind = ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            left, _, right = line.partition(" - ")
            if left.split()[2] == wanted:
                kind = right.split()[0]
    return kind


def choose() -> Path:
    """The first that can be written and is on a disk: ``$TMPDIR``, ``/var/tmp``, the current directory, ``/tmp``."""
    named = os.environ.get("TMPDIR")
    candidates = [Path(named)] if named else []
    candidates += [Path("/var/tmp"), Path.cwd(), Path("/tmp")]
    usable = [path for path in candidates if path.is_dir() and os.access(path, os.W_OK | os.X_OK)]
    on_disk = [path for path in usable if filesystem(path) not in _IN_MEMORY]
    if not on_disk:
        tried = ", ".join(map(str, candidates))
        raise HotswapError(f"No directory on a disk can be written (tried {tried}); name one with --scratch.")
    return on_disk[0]


@contextlib.contextmanager
def scratch(parent: Path | None, need: int) -> Iterator[Path]:
    """A fresh directory below ``parent``, or below the best one found, with ``need`` bytes free; removed at the end."""
    parent = parent or choose()
    if not parent.is_dir():
        raise HotswapError(f"{parent} is not a directory; name one that exists with --scratch.")
    free = shutil.disk_usage(parent).free
    if free < need + _SPARE:
        raise HotswapError(
            f"{parent} has {format_size(free)} free and the areas take {format_size(need)}; "
            "name another directory with --scratch, or give a shorter --seconds."
        )
    try:
        made = Path(tempfile.mkdtemp(prefix="hotswap-demo-", dir=parent))
    except OSError as error:
        raise HotswapError(f"{parent} cannot be written ({error.strerror}); name another with --scratch.") from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
