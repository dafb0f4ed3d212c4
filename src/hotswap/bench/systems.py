"""Where an array lives on each system. Runs in the child; all use of hotswap's own API is in this file."""

import mmap
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .data import Floats
from .plan import Settings
from .workloads import Memory

# The folio size that suits each workload: large where access is sequential or dense, a page where it is sparse.
FOLIO = {"W1": "1M", "W2": "4K", "W3": "4K", "W4": "1M"}
# Who serves a fault, likewise: with single touches the hand-over to another thread would cost most.
FAULTS = {"W1": "thread", "W2": "signal", "W3": "signal", "W4": "thread"}


class Ram:
    """Plain NumPy; the kernel's swap is the same code inside a memory cgroup."""

    def empty(self, nbytes: int) -> Floats:
        return np.empty(nbytes // 4, dtype=np.float32)

    def before_check(self) -> None:
        pass


class MemMap:
    """``numpy.memmap`` on a file of its own, unlinked at once so that nothing stays behind."""

    def __init__(self, scratch: Path, advice: int):
        self._scratch, self._advice = scratch, advice
        self._last: Any = None

    def empty(self, nbytes: int) -> Floats:
        self._last = None
        fd, name = tempfile.mkstemp(dir=self._scratch, suffix=".memmap")
        try:
            with os.fdopen(fd, "w+b") as file:
                array: Any = np.memmap(file, dtype=np.float32, mode="w+", shape=(nbytes // 4,))
        finally:
            os.unlink(name)
        self._last = array._mmap
        self._last.madvise(self._advice)
        plain: Floats = array.view(np.ndarray)
        return plain

    def before_check(self) -> None:
        self._last.madvise(mmap.MADV_NORMAL)


class Hotswap:
    """A ``hotswap.Space``: the resident limit is the space's own."""

    def __init__(self, space: Any):
        self._space = space

    def empty(self, nbytes: int) -> Floats:
        array: Floats = self._space.empty((nbytes // 4,), dtype="f4")
        return array

    def before_check(self) -> None:
        pass


def prepare(system: str) -> None:
    """Import what the system needs, before the child is put into its cgroup."""
    if system == "hotswap":
        import hotswap

        for name in ("swapon", "swapoff", "Space"):
            if not hasattr(hotswap, name):
                raise ImportError(f"hotswap has no {name} yet")


@contextmanager
def opened(system: str, workload: str, settings: Settings) -> Iterator[Memory]:
    """The system's memory; what it needs on disk lies in ``settings.scratch``."""
    if system == "hotswap":
        import hotswap

        api: Any = hotswap
        area = str(settings.scratch / "bench.swap")
        api.swapon(area, size=f"{area_bytes(settings.size) >> 10}K")
        try:
            yield Hotswap(api.Space(limit=f"{settings.limit >> 10}K", folio=FOLIO[workload], faults=_faults(workload)))
        finally:
            api.swapoff(area)
            Path(area).unlink(missing_ok=True)
    elif system in ("memmap", "memmap-random"):
        yield MemMap(settings.scratch, mmap.MADV_RANDOM if system == "memmap-random" else mmap.MADV_NORMAL)
    else:
        yield Ram()


def _faults(workload: str) -> str:
    return os.environ.get("HOTSWAP_FAULTS") or (FAULTS[workload] if platform.machine() == "x86_64" else "thread")


def area_bytes(size: int) -> int:
    """Bytes of swap for data of ``size``: all of it and a quarter more, so that no system is short."""
    return size * 5 // 4 + (8 << 20)
