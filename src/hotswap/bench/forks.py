"""``hotswap bench fork``: what a fork costs against how much is swapped out, for folios of 64 and of 4 KiB.

The time is the parent's, from before os.fork() to after it: the page table's copy, the kernel's own copying of what is in memory, and the
child's set-up, which the parent waits for. A value is the median.
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

from ..sizes import format_size
from .plan import BenchError, Row
from .progress import Progress, figure
from .source import SOURCE

SIZES = (256 << 20, 512 << 20, 1 << 30, 2 << 30)
FOLIOS = ("64K", "4K")
LIMIT = "64M"
AT_MOST = 50.0  # milliseconds, for the largest
_PROGRAM = str(Path(__file__).with_name("fork_program.py"))


def run_forks(seconds: float, repeat: int, scratch: Path, progress: Progress, rows: list[Row]) -> None:
    """Appends to ``rows``. ``seconds`` is of no use here: ``repeat`` forks of each size and folio are timed."""
    cases = [(size, folio) for folio in FOLIOS for size in SIZES]
    progress.plan([size / (256 << 20) * 2 for size, _ in cases])
    for size, folio in cases:
        progress.begin(f"{format_size(size)} in folios of {folio}")
        found = _once(size, folio, repeat, scratch)
        row = Row(format_size(size), f"folios of {folio}", "ms", verified=found["right"])
        row.samples = found["milliseconds"]
        row.value = median(row.samples)
        rows.append(row)
        progress.end([row])


def _once(size: int, folio: str, times: int, scratch: Path) -> dict[str, Any]:
    area = scratch / f"hotswap-fork-{os.getpid()}.swap"
    path = os.pathsep.join(p for p in (str(SOURCE), os.environ.get("PYTHONPATH", "")) if p)
    words = [sys.executable, _PROGRAM, str(area), str(size), LIMIT, folio, str(times)]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=600, env=os.environ | {"PYTHONPATH": path}, check=False
        )
    finally:
        area.unlink(missing_ok=True)
    if done.returncode:
        raise BenchError(f"the program ended with status {done.returncode} ({folio}): {done.stderr.strip()[-300:]}")
    return dict(json.loads(done.stdout))


def failed(rows: Sequence[Row]) -> bool:
    """Whether a byte was wrong."""
    return not rows or not all(row.verified for row in rows)


def goal(rows: Sequence[Row]) -> str:
    largest = [row for row in rows if row.workload == format_size(SIZES[-1])]
    return " ".join(
        f"{row.workload} swapped out, {row.system}: {row.value:.1f} ms, at most {AT_MOST:.0f} wanted: "
        f"{'reached' if row.value is not None and row.value <= AT_MOST else 'MISSED'}."
        for row in largest
    )


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table("swapped out", *FOLIOS, title="fork(), milliseconds")
    for line in _lines(rows):
        table.add_row(*line)
    console.print(table)
    console.print(goal(rows))


def markdown(rows: Sequence[Row]) -> str:
    head = ["fork() with so much swapped out, ms", *(f"folios of {folio}" for folio in FOLIOS)]
    lines = [head, ["---"] * len(head), *_lines(rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{goal(rows)}\n"


def _lines(rows: Sequence[Row]) -> list[list[str]]:
    by = {(row.workload, row.system): row for row in rows}
    sizes = list(dict.fromkeys(row.workload for row in rows))
    return [
        [size, *(figure(by[size, f"folios of {folio}"].value) if (size, f"folios of {folio}") in by else "-" for folio in FOLIOS)]
        for size in sizes
    ]
