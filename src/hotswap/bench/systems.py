"""Where an array lives on each system. Runs in the child; all use of hotswap's own API is in this file."""

import importlib
import mmap
import os
import platform
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .data import Floats
from .plan import MIB, NEEDS, SWAPPING, BenchError, Settings
from .workloads import Memory

# With --folio suited: large where access is sequential or dense, a page where it is sparse. None, as by default, where all sizes side by
# side do best: single touches then go through few frames, which stay in the processor's caches.
FOLIO: dict[str, str | None] = {
    "W1": "1M",
    "W2": None,
    "W3": None,
    "W4": "1M",
    "W5": "256K",
    "W6": "64K",
    "W7": "256K",
    "W8": "1M",
    "W9": "64K",
    "W10": "64K",
    "W11": "64K",
    "W12": "4K",
    "W13": "4K",
}
SPARSE = frozenset({"W2", "W3"})  # single touches, where handing the fault over to another thread would cost most
AREAS = ("a.swap", "b.swap")  # in the scratch directory
CACHE_LEAST = 64 * MIB  # of a limit for W12: with less the swap cache holds too few folios to go by
Ask = Callable[[str], dict[str, Any]]  # something only the parent can do


class Ram:
    """Plain NumPy; the kernel's swap is the same code inside a memory cgroup."""

    def __init__(self, ask: Ask | None = None):
        self._ask = ask
        self.how = ""

    def empty(self, nbytes: int) -> Floats:
        return np.empty(nbytes // 4, dtype=np.float32)

    def timed_begins(self) -> None:
        pass

    def before_check(self) -> None:
        pass

    def switch_off(self, load: Callable[[], object]) -> tuple[int, float]:
        assert self._ask is not None
        told = self._ask("swapoff")
        if error := told.get("error"):
            raise BenchError(error)
        self.how = "into free RAM, nothing else going on"
        return told["bytes"], told["seconds"]

    def held(self) -> float:
        return float(self._ask("held")["held"]) if self._ask is not None else 1.0

    def stats(self) -> dict[str, int]:
        return {}


class MemMap(Ram):
    """``numpy.memmap`` on a file of its own, unlinked at once so that nothing stays behind."""

    def __init__(self, scratch: Path, advice: int):
        super().__init__()
        self._scratch, self._advice = scratch, advice
        self._maps: list[weakref.ref[mmap.mmap]] = []

    def empty(self, nbytes: int) -> Floats:
        fd, name = tempfile.mkstemp(dir=self._scratch, suffix=".memmap")
        try:
            with os.fdopen(fd, "w+b") as file:
                array: Any = np.memmap(file, dtype=np.float32, mode="w+", shape=(nbytes // 4,))
        finally:
            os.unlink(name)
        array._mmap.madvise(self._advice)
        self._maps.append(weakref.ref(array._mmap))
        plain: Floats = array.view(np.ndarray)
        return plain

    def before_check(self) -> None:
        for known in self._maps:
            if (found := known()) is not None:
                found.madvise(mmap.MADV_NORMAL)


class Hotswap:
    """A ``hotswap.Space``: the resident limit is the space's own."""

    def __init__(self, api: Any, space: Any, areas: tuple[str, str], size: str):
        """``areas``: the one that is on, and the one that takes its place in W9."""
        self._api, self._space, self.areas, self._size = api, space, areas, size
        self.how = ""

    def empty(self, nbytes: int) -> Floats:
        array: Floats = self._space.empty((nbytes // 4,), dtype="f4")
        return array

    def timed_begins(self) -> None:
        pass

    def before_check(self) -> None:
        pass

    def switch_off(self, load: Callable[[], object]) -> tuple[int, float]:
        first, second = self.areas
        used = next(swap.used for swap in self._api.swaps() if swap.path == first)
        self._api.swapon(second, size=self._size)
        self.areas = second, first
        over = threading.Event()

        def go_on() -> None:
            while not over.is_set():
                load()

        loader = threading.Thread(target=go_on)
        begun = time.perf_counter()
        loader.start()
        try:
            self._api.swapoff(first)
            seconds = time.perf_counter() - begun
        finally:
            over.set()
            loader.join()
        Path(first).unlink(missing_ok=True)
        self.how = "limit kept, under random touches"
        return used, seconds

    def held(self) -> float:
        swaps = self._api.swaps()
        return sum(swap.held for swap in swaps) / max(1, sum(swap.used for swap in swaps))

    def stats(self) -> dict[str, int]:
        found: dict[str, int] = self._space.stats()
        return found


def prepare(system: str, workload: str = "") -> None:
    """Import what the system and the workload need, before the child is put into its cgroup."""
    for name in (*NEEDS.get(system, ()), *NEEDS.get(workload, ())):
        importlib.import_module(name)
    if system == "hotswap":
        import hotswap

        for name in ("swapon", "swapoff", "swaps", "Space", "arrays"):
            if not hasattr(hotswap, name):
                raise ImportError(f"hotswap has no {name} yet")


@contextmanager
def opened(system: str, workload: str, settings: Settings, ask: Ask | None = None) -> Iterator[Memory]:
    """The system's memory; what it needs on disk lies in ``settings.scratch``."""
    if system == "hotswap":
        with _hotswap(workload, settings) as memory:
            yield memory
    elif system in ("memmap", "memmap-random"):
        yield MemMap(settings.scratch, mmap.MADV_RANDOM if system == "memmap-random" else mmap.MADV_NORMAL)
    else:
        yield Ram(ask if system in SWAPPING else None)


@contextmanager
def _hotswap(workload: str, settings: Settings) -> Iterator[Hotswap]:
    import hotswap

    api: Any = hotswap
    areas = ("ram:", "ram:second") if workload == "W10" else (str(settings.scratch / AREAS[0]), str(settings.scratch / AREAS[1]))
    limit = max(settings.limit, CACHE_LEAST) if workload == "W12" else settings.limit
    size = f"{area_bytes(max(settings.size, limit * 3 // 2)) >> 10}K"
    options: dict[str, str | None] = {"limit": f"{limit >> 10}K"}
    if settings.folio == "suited":
        options |= {"folio": FOLIO[workload]}
    memory = None
    api.swapon(areas[0], size=size)
    try:
        if workload == "W7":  # what pandas makes on the way is to lie there too
            with api.arrays(**options) as space:
                memory = Hotswap(api, space, areas, size)
                yield memory
        else:
            memory = Hotswap(api, api.Space(**options, **_faults(workload, settings)), areas, size)
            yield memory
    finally:
        on = memory.areas[0] if memory else areas[0]
        api.swapoff(on)
        if not on.startswith("ram:"):
            Path(on).unlink(missing_ok=True)


def _faults(workload: str, settings: Settings) -> dict[str, str]:
    """Who serves faults: said only where it is to suit the workload."""
    suited = settings.folio == "suited" and workload in SPARSE and platform.machine() == "x86_64"
    return {"faults": "signal"} if suited and not os.environ.get("HOTSWAP_FAULTS") else {}


def area_bytes(size: int) -> int:
    """Bytes of swap for data of ``size``: all of it and a quarter more, so that no system is short."""
    return size * 5 // 4 + 8 * MIB
