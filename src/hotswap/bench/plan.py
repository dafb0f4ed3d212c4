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
    "W5": (("W5 pagerank", "s"),),
    "W6": (("W6 matmul", "s"),),
    "W7": (("W7 merge", "s"),),
    "W8": (("W8 kmeans", "s"),),
    "W9": (("W9 swapoff", "GB/s"),),
    "W10": (
        ("W10 tier write", "GB/s"),
        ("W10 tier read", "GB/s"),
        ("W10 tier random", "touches/s"),
        ("W10 tier held", "of the bytes"),
    ),
    "W11": (("W11 within", "s"),),
    "W12": (("W12 scan fault", "µs"), ("W12 fault", "µs")),
    "W13": (("W13 columns", "touches/s"),),
}
LESS_IS_BETTER = frozenset({"s", "µs", "of the bytes"})  # units
ALIASES = {
    "SEQ": "W1",
    "RANDOM": "W2",
    "ZIPF": "W3",
    "SORT": "W4",
    "PAGERANK": "W5",
    "MATMUL": "W6",
    "MERGE": "W7",
    "KMEANS": "W8",
    "SWAPOFF": "W9",
    "TIER": "W10",
    "WITHIN": "W11",
    "FAULT": "W12",
    "COLUMNS": "W13",
}
MEANING = {
    "W1 seq write": "first write of a fresh float32 array, 1 MiB at a time",
    "W1 seq read": "sum of that array, 1 MiB at a time; two passes after each write",
    "W2 random": "words[index] += 1, 128 indices at a time, each in a uniformly chosen 4 KiB page",
    "W3 zipf": "the same, pages chosen by Zipf's law with exponent 0.99, the hot ones scattered",
    "W4 sort": "ndarray.sort() of float32 in place, half of --size",
    "W5 pagerank": "two rounds of PageRank, 12 edges a node read in a row, ranks gathered at random; half of --size in all",
    "W6 matmul": "product of two square float32 matrices in 4 by 4 blocks; the three have 3/8 of --size",
    "W7 merge": "pandas.merge of two tables on a key; the left one has 1/8 of --size, result and indices as much again and more",
    "W8 kmeans": "two rounds of k-means, 8 centres in 16 dimensions; points of --size",
    "W9 swapoff": "a full area is switched off: hotswap's into another area, limit kept, under random touches; the kernel's into free RAM",
    "W10 tier write": "W1's write on smooth data, with compressed memory for swap",
    "W10 tier read": "W1's read likewise",
    "W10 tier random": "W2's touches likewise",
    "W10 tier held": "memory that the compressed data took, as a part of what they are uncompressed",
    "W11 within": "a program that stays far below its limit, from start to end: as it is (ram) and under hotswap run",
    "W12 scan fault": "touch of a folio that a scan's readahead has in memory; peer: as many bytes copied in by 40 lines on userfaultfd",
    "W12 fault": "touch of a page, at random, that left the array and is still in memory; peer: 4 KiB likewise",
    "W13 columns": "sums of columns of a matrix with rows of 64 KiB, an element of each row",
    "disk": "O_DIRECT from Python: sequential 1 MiB transfers, the better of one and four at a time; 4 KiB random reads one at a time",
}

SYSTEMS: dict[str, str] = {
    "ram": "plain NumPy, no limit",
    "hotswap": "a Space with the limit and a swap file",
    "memmap": "numpy.memmap",
    "memmap-random": "numpy.memmap with MADV_RANDOM",
    "kernel-file": "plain NumPy in a memory cgroup, the kernel's swap on a file",
    "kernel-zram": "plain NumPy in a memory cgroup, the kernel's swap on zram",
    "dask": "dask.array on a worker of dask.distributed in the process, which spills to disk at the limit",
}
SWAPPING = frozenset({"kernel-file", "kernel-zram"})  # need root and the kernel's swap
CAGED = SWAPPING | {"memmap", "memmap-random", "dask"}  # held to the limit by a memory cgroup
RAW, RAW_TOGETHER = "userfaultfd", "userfaultfd-1cpu"  # the systems of W12's other rows

# Who takes part, where that is not everybody. A step of W11 or W12 gives the rows of both that it compares.
TAKES_PART: dict[str, frozenset[str]] = {
    "W9": frozenset({"hotswap"}) | SWAPPING,
    "W10": frozenset({"ram", "hotswap", "kernel-zram"}),
    "W11": frozenset({"hotswap"}),
    "W12": frozenset({"hotswap"}),
    "W13": frozenset(SYSTEMS) - {"dask"},
}
# Where a system has no way to do the work it gets rows that say so.
NO_WAY: dict[tuple[str, str], str] = {
    ("W2", "dask"): "dask arrays cannot be changed in place: a touch would copy a whole chunk",
    ("W3", "dask"): "dask arrays cannot be changed in place: a touch would copy a whole chunk",
    ("W4", "dask"): "dask.array has no sort",
    ("W7", "dask"): "dask.array has no merge",
}
NEEDS: dict[str, tuple[str, ...]] = {"W7": ("pandas",), "dask": ("dask", "distributed")}  # of a workload or a system

# Only to say how long a run takes: write GB/s, read GB/s, sort s per GiB (DESIGN section 4, the slow end), and how many times
# as long as in RAM the jobs take.
_RATES: dict[str, tuple[float, float, float, float]] = {
    "ram": (0.65, 6.5, 1.5, 1.0),
    "hotswap": (0.8, 0.7, 11.0, 2.0),
    "memmap": (0.7, 0.9, 17.0, 2.0),
    "memmap-random": (0.6, 0.15, 40.0, 5.0),
    "kernel-file": (0.4, 0.2, 25.0, 4.0),
    "kernel-zram": (0.25, 0.14, 35.0, 4.0),
    "dask": (0.3, 0.5, 1.0, 3.0),
}
_JOBS = {"W5": 8.0, "W6": 37.0, "W7": 4.0, "W8": 6.0}  # seconds a round of 2 GiB in RAM


@dataclass(frozen=True)
class Settings:
    """What the user chose; sizes in bytes, ``seconds`` of timed touching in W2, W3, W10 and W13. ``timeout``: seconds a step may take, 0
    for four times the estimate, at least 180. ``folio``: ``default``, or ``suited``: hotswap is given the folio size that suits the workload."""

    size: int
    limit: int
    workloads: tuple[str, ...] = tuple(WORKLOADS)
    systems: tuple[str, ...] = tuple(SYSTEMS)
    repeat: int = 3
    seconds: float = 10.0
    data: str = "random"
    scratch: Path = Path("/var/tmp")
    seed: int = SEED
    folio: str = "default"
    timeout: float = 0.0
    profile: bool = False
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
    stages: dict[str, Any] = field(default_factory=dict)  # with --profile: where the time of the faults went

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
        if self.stages:
            row["stages"] = self.stages
        return row

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Row":
        return cls(**{name: value for name, value in row.items() if name != "spread"})


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


def steps_of(settings: Settings) -> list[tuple[str, str]]:
    """(workload, system), in the order in which they are done: all systems of a workload together."""
    return [(w, s) for w in settings.workloads for s in settings.systems if s in TAKES_PART.get(w, SYSTEMS)]


def estimate(settings: Settings, workload: str, system: str) -> float:
    """Seconds that a step should take."""
    write, read, sort, slower = _RATES[system]
    size = settings.size / 1e9
    overhead = 1.0 if system != "dask" else 4.0
    if workload == "W1":
        return overhead + settings.repeat * (size / write + 2 * size / read) + size / read
    if workload == "W4":
        half = size / 2
        return overhead + settings.repeat * (half / write + sort * half * 1e9 / 2**30 + half / read)
    if workload in _JOBS:
        times = (settings.size / 2**31) ** (1.5 if workload == "W6" else 1.0)
        return overhead + size / write + settings.repeat * slower * _JOBS[workload] * times + size / read
    if workload == "W9":
        return overhead + size / write + settings.repeat * 2 * size / write + size / read
    if workload == "W10":
        return overhead + 2 * size / write + 4 * size / read + 1.3 * settings.seconds
    if workload == "W11":
        return overhead + 14.0 * settings.repeat
    if workload == "W12":
        return 3 + 22.0 * settings.repeat
    return overhead + size / write + 1.3 * settings.seconds + size / read


def give_up_after(settings: Settings, workload: str, system: str) -> float:
    """Seconds after which a step is taken to hang, or to be hopeless."""
    return settings.timeout or max(180.0, 4 * estimate(settings, workload, system))
