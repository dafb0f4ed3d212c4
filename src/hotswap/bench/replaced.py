"""``hotswap bench reclaim``: pages that had to be read anew because the wrong ones had left, on touches recorded from real work.

For each trace a child (``reclaim_program.py``) records, replays on the engine and works out what FIFO, LRU and Belady's MIN would have missed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from .plan import MIB, SEED, BenchError, Row
from .progress import Progress, figure
from .source import SOURCE

TRACES = ("sequential", "random", "zipf", "loop", "hot set and scan", "moving set", "sort", "join")
SYSTEMS = ("hotswap", "fifo", "lru", "min")
VAIN = "read ahead in vain"
LIMIT = 8 * MIB
AT_MOST = 1.1  # times FIFO's misses
_PROGRAM = str(Path(__file__).with_name("reclaim_program.py"))


def run_reclaim(seconds: float, repeat: int, scratch: Path, progress: Progress, rows: list[Row]) -> None:
    """Appends to ``rows``, in pages. ``seconds`` is of no use here; each trace is recorded and replayed ``repeat`` times, another seed each."""
    progress.plan([4.0 * repeat for _ in TRACES])
    for trace in TRACES:
        progress.begin(trace)
        found = [once(trace, LIMIT, SEED + turn, scratch) for turn in range(repeat)]
        new = []
        for system in (*SYSTEMS, VAIN):
            row = Row(trace, system, "pages", verified=all(one["engine"]["right"] for one in found))
            row.samples = [float(one["vain"] if system == VAIN else one["misses"][system]) for one in found]
            row.value = median(row.samples)
            new.append(row)
        rows += new
        progress.end(new)


def once(trace: str, limit: int, seed: int, scratch: Path) -> dict[str, Any]:
    """One recording and its replay: ``misses`` by system, ``vain``, ``touches``, ``pages`` that they were of, and what the ``engine`` did."""
    area = scratch / f"hotswap-reclaim-{os.getpid()}.swap"
    path = os.pathsep.join(p for p in (str(SOURCE), os.environ.get("PYTHONPATH", "")) if p)
    words = [sys.executable, _PROGRAM, trace, str(area), str(limit), str(seed)]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=600, env=os.environ | {"PYTHONPATH": path}, check=False
        )
    finally:
        area.unlink(missing_ok=True)
    if done.returncode:
        raise BenchError(f"{trace}: the program ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    return dict(json.loads(done.stdout))


def failed(rows: Sequence[Row]) -> bool:
    """Whether a byte was wrong."""
    return not rows or not all(row.verified for row in rows)


def goal(rows: Sequence[Row]) -> str:
    by = {(row.workload, row.system): row.value or 0 for row in rows}
    worse = [trace for trace, system in by if system == "fifo" and by[trace, "hotswap"] > AT_MOST * by[trace, "fifo"]]
    return f"At most {AT_MOST} times FIFO's misses wanted: " + (f"MISSED by {', '.join(worse)}." if worse else "reached.")


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table(*_HEAD, title=f"pages read, {LIMIT // MIB} MiB of memory, data of two and a half times that")
    for line in _lines(rows):
        table.add_row(*line)
    console.print(table)
    console.print(goal(rows))


def markdown(rows: Sequence[Row]) -> str:
    lines = [_HEAD, ["---"] * len(_HEAD), *_lines(rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{goal(rows)}\n"


_HEAD = ["trace", "hotswap", "FIFO", "LRU", "MIN", "of FIFO's", "of MIN's", VAIN]


def _lines(rows: Sequence[Row]) -> list[list[str]]:
    by = {(row.workload, row.system): row.value or 0 for row in rows}
    return [
        [
            trace,
            *(figure(by[trace, system]) for system in SYSTEMS),
            *(figure(by[trace, "hotswap"] / by[trace, peer]) for peer in ("fifo", "min")),
            figure(by[trace, VAIN]),
        ]
        for trace in dict.fromkeys(row.workload for row in rows)
    ]
