"""What a run consists of: the names, the settings, the rows, and how long a step should take."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import HotswapError

SEED = 20260  # one seed for all systems: the same data and the same touches
MIB = 1 << 20
SMALLEST = 4 * MIB  # bytes: below this a run measures the interpreter


class BenchError(HotswapError):
    """A run was refused: an unknown name, a size that makes no sense, no room."""


# workload -> (name in the rows, unit) of each measure it gives; DESIGN section 4 has the same columns
WORKLOADS: dict[str, tuple[tuple[str, str], ...]] = {
    "W1": (("W1 seq write", "GB/s"), ("W1 seq read", "GB/s")),
    "W2": (("W2 random", "touches/s"),),
    "W3": (("W3 zipf", "touches/s"),),
    "W4": (("W4 sort", "s"),),
}
ALIASES = {"SEQ": "W1", "RANDOM": "W2", "ZIPF": "W3", "SORT": "W4"}
MEANING = {
    "W1 seq write": "first write of a fresh float32 array, 1 MiB at a time",
    "W1 seq read": "sum of that array, 1 MiB at a time; two passes after each write",
    "W2 random": "words[index] += 1, 128 indices at a time, each in a uniformly chosen 4 KiB page",
    "W3 zipf": "the same, pages chosen by Zipf's law with exponent 0.99, the hot ones scattered",
    "W4 sort": "ndarray.sort() of float32 in place, half of --size",
    "disk": "O_DIRECT from Python: sequential 1 MiB transfers, 4 KiB random reads at depth 1",
}

SYSTEMS: dict[str, str] = {
    "ram": "plain NumPy, no limit",
    "hotswap": "a Space with the limit and a swap file",
    "memmap": "numpy.memmap",
    "memmap-random": "numpy.memmap with MADV_RANDOM",
    "kernel-file": "plain NumPy in a memory cgroup, the kernel's swap on a file",
    "kernel-zram": "plain NumPy in a memory cgroup, the kernel's swap on zram",
}
SWAPPING = frozenset({"kernel-file", "kernel-zram"})  # need root and the kernel's swap
CAGED = SWAPPING | {"memmap", "memmap-random"}  # held to the limit by a memory cgroup

# Only to say how long a run takes: write GB/s, read GB/s, sort s per GiB (DESIGN section 4, the slow end).
_RATES: dict[str, tuple[float, float, float]] = {
    "ram": (0.65, 6.5, 1.5),
    "hotswap": (0.8, 0.7, 11.0),
    "memmap": (0.7, 0.9, 17.0),
    "memmap-random": (0.6, 0.15, 40.0),
    "kernel-file": (0.4, 0.2, 25.0),
    "kernel-zram": (0.25, 0.14, 35.0),
}


@dataclass(frozen=True)
class Settings:
    """What the user chose; sizes in bytes, ``seconds`` of timed touching in W2 and W3."""

    size: int
    limit: int
    workloads: tuple[str, ...] = tuple(WORKLOADS)
    systems: tuple[str, ...] = tuple(SYSTEMS)
    repeat: int = 3
    seconds: float = 10.0
    data: str = "random"
    scratch: Path = Path("/var/tmp")
    seed: int = SEED
    corrupt: bool = False  # tests only: the child damages one word before its check

    def as_json(self) -> dict[str, Any]:
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items() if k != "corrupt"}


@dataclass
class Row:
    """One figure. ``value`` is None when there is none, and then ``note`` says why; ``verified`` is None with it."""

    workload: str
    system: str
    unit: str
    value: float | None = None
    verified: bool | None = None
    note: str = ""
    peak_rss: int | None = None  # bytes
    samples: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "workload": self.workload,
            "system": self.system,
            "unit": self.unit,
            "value": self.value,
            "verified": self.verified,
        }
        if self.note:
            row["note"] = self.note
        if self.peak_rss is not None:
            row["peak_rss"] = self.peak_rss
        if self.samples:
            row["spread"] = [min(self.samples), max(self.samples)]
            row["samples"] = self.samples
        return row


def empty_rows(workload: str, system: str, note: str = "") -> list[Row]:
    """A row without a value for each measure of ``workload``."""
    return [Row(name, system, unit, note=note) for name, unit in WORKLOADS[workload]]


def choose(names: Sequence[str], known: Sequence[str], what: str) -> tuple[str, ...]:
    """``names`` (each may hold several, with commas) in the order of ``known``; unknown ones are refused."""
    wanted = [n.strip() for text in names for n in text.split(",") if n.strip()]
    canonical = {k.upper(): k for k in known}
    chosen = set()
    for name in wanted:
        key = name.upper()
        key = ALIASES.get(key, key) if what == "workload" else key
        if key not in canonical:
            raise BenchError(f"there is no {what} {name!r}; choose from {', '.join(known)}.")
        chosen.add(canonical[key])
    return tuple(k for k in known if k in chosen) if wanted else tuple(known)


def whole_mib(size: int, what: str) -> int:
    """``size`` rounded down to whole MiB, at least ``SMALLEST``."""
    if size < SMALLEST:
        raise BenchError(f"{what} {size} bytes is too small to measure anything; give at least {SMALLEST // MIB}M.")
    return size // MIB * MIB


def sort_bytes(size: int) -> int:
    """W4 sorts half of ``--size`` (1 GiB of 2 GiB in DESIGN)."""
    return max(MIB, size // 2 // MIB * MIB)


def estimate(settings: Settings, workload: str, system: str) -> float:
    """Seconds that a step should take."""
    write, read, sort = _RATES[system]
    size = settings.size / 1e9
    overhead = 1.0
    if workload == "W1":
        return overhead + settings.repeat * (size / write + 2 * size / read) + size / read
    if workload == "W4":
        half = size / 2
        return overhead + settings.repeat * (half / write + sort * half * 1e9 / 2**30 + half / read)
    return overhead + size / write + 1.3 * settings.seconds + size / read


def give_up_after(seconds: float) -> float:
    """Seconds after which a step that should take ``seconds`` is taken to hang, or to be hopeless."""
    return max(180.0, 10 * seconds)
