"""The kernel's own swap for one peer: a swap file or a zram device of its own, switched on alone and taken away again.

``remove`` may be called at any time, also when ``make`` failed half way or was never called. It gets the highest
priority, so that a swap area the machine already has is not measured instead. Needs root.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from ..sizes import format_size
from .plan import BenchError

_PRIORITY = "32767"
_ZRAM_CONTROL = Path("/sys/class/zram-control")
ZRAM_MARK = "zram"  # a file in the scratch directory that has the number of the device
_ALGORITHMS = ("lz4", "lzo-rle", "lzo", "zstd")  # the first that is offered


class KernelSwap:
    """One swap area of the kernel."""

    def __init__(self) -> None:
        self.path: Path | None = None

    def make(self) -> None:
        raise NotImplementedError

    def remove(self) -> None:
        raise NotImplementedError

    def note(self) -> str:
        """What to say beside the figures; asked while the area is on."""
        return ""

    def held(self) -> float:
        """Memory that it takes, as a part of what is in it."""
        raise BenchError(f"{self.path} holds nothing in memory.")

    def switch_on(self) -> None:
        _call("mkswap", str(self.path))
        _call("swapon", "-p", _PRIORITY, str(self.path))

    def switch_off(self) -> tuple[int, float]:
        """Bytes that were in it, and the seconds that it took."""
        out, begun = used(self.path) if self.path else 0, time.perf_counter()
        self._off()
        return out, time.perf_counter() - begun

    def _off(self) -> None:
        if self.path is not None and is_on(self.path):
            _call("swapoff", str(self.path))


class SwapFile(KernelSwap):
    """A file without holes, 0600, in ``scratch``."""

    def __init__(self, scratch: Path, size: int):
        super().__init__()
        self.path: Path = scratch / "kernel.swap"
        self._size = size

    def make(self) -> None:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(fd, 0, self._size)
        finally:
            os.close(fd)
        self.switch_on()

    def remove(self) -> None:
        self._off()
        self.path.unlink(missing_ok=True)


class Zram(KernelSwap):
    """A fresh device from zram-control; its compressed pool lies in RAM outside the cgroup's limit."""

    def __init__(self, scratch: Path, size: int, number: int | None = None):
        """``number``: of a device that is there already, to be removed."""
        super().__init__()
        self._mark, self._size = scratch / ZRAM_MARK, size
        self._number = number
        self.path = None if number is None else Path(f"/dev/zram{number}")
        self._algorithm = ""

    def make(self) -> None:
        if not _ZRAM_CONTROL.is_dir():
            _call("modprobe", "zram")
        if not _ZRAM_CONTROL.is_dir():
            raise BenchError("this kernel has no zram-control; load the zram module.")
        number = int((_ZRAM_CONTROL / "hot_add").read_text())
        self._number, self.path = number, Path(f"/dev/zram{number}")
        self._mark.write_text(str(number))
        offered = re.findall(r"[\w-]+", self._sys("comp_algorithm").read_text())
        self._algorithm = next((a for a in _ALGORITHMS if a in offered), offered[0])
        self._sys("comp_algorithm").write_text(self._algorithm)
        self._sys("disksize").write_text(str(self._size))
        self.switch_on()

    def remove(self) -> None:
        self._off()
        if self._number is None:
            return
        for attempt in range(50):  # something may still look at the new device (udev)
            try:
                self._sys("reset").write_text("1")
                (_ZRAM_CONTROL / "hot_remove").write_text(str(self._number))
                break
            except OSError as error:
                if attempt == 49:
                    raise BenchError(
                        f"{self.path} could not be removed: {error.strerror}; write {self._number} to {_ZRAM_CONTROL}/hot_remove."
                    ) from error
                time.sleep(0.1)
        self._number = None

    def held(self) -> float:
        stored, _, taken = (int(n) for n in self._sys("mm_stat").read_text().split()[:3])
        return taken / max(1, stored)

    def note(self) -> str:
        stored, compressed, _, _, most = (int(n) for n in self._sys("mm_stat").read_text().split()[:5])
        ratio = f"{stored / compressed:.1f}:1 by " if compressed else ""
        return f"{ratio}{self._algorithm}; its pool, outside the limit, took up to {format_size(most)}"

    def _sys(self, name: str) -> Path:
        return Path(f"/sys/block/zram{self._number}/{name}")


def is_on(path: Path) -> bool:
    """Whether the kernel swaps to ``path``."""
    return _listed(path) is not None


def used(path: Path) -> int:
    """Bytes that the kernel has out in ``path``."""
    words = _listed(path)
    return int(words[3]) * 1024 if words else 0


def _listed(path: Path) -> list[str] | None:
    real = os.path.realpath(path).replace("\\", "\\134").replace(" ", "\\040")
    lines = [line.split() for line in Path("/proc/swaps").read_text().splitlines()[1:] if line.strip()]
    return next((words for words in lines if words[0] == real), None)


def drop_caches() -> None:
    """Write everything back and forget the page cache, so that no system reads what another left in it. Needs root."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1")


def _call(command: str, *arguments: str) -> None:
    found = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise BenchError(f"there is no {command} on this machine; install util-linux (mkswap, swapon) or kmod (modprobe).")
    # A session of its own: Ctrl-C in the terminal must not stop the swapoff that cleans up after it.
    done = subprocess.run([found, *arguments], capture_output=True, text=True, start_new_session=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise BenchError(f"{command} {' '.join(arguments)} failed: {said[-1] if said else done.returncode}.")
