"""``hotswap bench guards``: what each guard costs whom, in one run; the table of docs/guards.md.

Each guard is measured in a child of its own, all guards in turn and that again for each repeat. ``none`` may die on the way: that
is its figure. A value is the median of the repeats; ratios are taken within one child, before the median.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from ..control import GUARDS
from .plan import BenchError, Row
from .progress import Progress, figure
from .source import SOURCE

# measure of the child -> what the row is called, its unit; the table has these columns
MEASURES: dict[str, tuple[str, str]] = {
    "enter + exit": ("enter + exit, 1 thread", "ns"),
    "ratio": ("that, of a plain increment + decrement", "times"),
    "enter + exit, 2 threads": ("enter + exit, 2 threads", "ns"),
    "ratio, 2 threads": ("that, of a plain increment + decrement on 2 threads", "times"),
    "retire": ("retiring an area while another is in use", "µs"),
    "pause": ("longest pause of a bystander in 2 ms", "µs"),
    "pause, no swapoffs": ("the same without swapoffs", "µs"),
    "swapoff": ("swapoff under faults", "ms"),
    "touches": ("random touches while swapoffs go on", "1/s"),
    "kept": ("that, of the touches without swapoffs", "times"),
    "may sleep": ("a reader may sleep", "0 or 1"),
}
BEST_AT_MOST = 1.5  # times a plain increment and decrement, for the best of those that guard by themselves
OTHERWISE = ("none", "mmlist")  # nothing is guarded, and by the mmap lock that the caller holds


def run_guards(seconds: float, repeat: int, scratch: Path, progress: Progress, rows: list[Row]) -> None:
    """Appends to ``rows`` when all repeats are over; ``seconds`` of touching in each of them."""
    if not scratch.is_dir() or not os.access(scratch, os.W_OK | os.X_OK):
        raise BenchError(f"the scratch directory {scratch} cannot be written to; give another with --scratch.")
    progress.plan([seconds + 3.0] * repeat * len(GUARDS))
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in GUARDS}
    ends: dict[str, list[str]] = {name: [] for name in GUARDS}
    for turn in range(repeat):
        for name in GUARDS:
            progress.begin(f"{name}, turn {turn + 1} of {repeat}")
            found = _child(name, seconds, scratch)
            if isinstance(found, str):
                ends[name].append(found)
                progress.end([Row("guard", name, "", note=found)])
            else:
                samples[name].append(found)
                progress.end([Row("enter + exit", name, "ns", found["enter + exit"], True)])
    for measure in MEASURES:
        rows += [_row(measure, name, samples[name], ends[name]) for name in GUARDS]


def _row(measure: str, name: str, samples: Sequence[dict[str, float]], ends: Sequence[str]) -> Row:
    called, unit = MEASURES[measure]
    row = Row(called, name, unit, note="; ".join(dict.fromkeys(ends)))
    row.samples = [sample[measure] for sample in samples]
    if row.samples:
        row.value, row.verified = median(row.samples), True
    return row


def _child(name: str, seconds: float, scratch: Path) -> dict[str, float] | str:
    """Its figures, or a sentence of how it ended without."""
    path = os.pathsep.join(p for p in (str(SOURCE), os.environ.get("PYTHONPATH", "")) if p)
    with tempfile.TemporaryDirectory(prefix="hotswap-bench-", dir=scratch) as place:
        words = [sys.executable, "-m", "hotswap.bench.guard_worker", name, str(seconds), place]
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120 + 10 * seconds,
                env=os.environ | {"PYTHONPATH": path},
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return f"gave up after {late.timeout:.0f} s"
    if done.returncode < 0:
        return f"died by {signal.Signals(-done.returncode).name}"
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return f"ended with status {done.returncode}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
    answer = json.loads(lines[-1])
    if "error" in answer:
        return str(answer["error"])
    found: dict[str, float] = answer["samples"]
    found["ratio"] = found["enter + exit"] / found["plain"]
    found["ratio, 2 threads"] = found["enter + exit, 2 threads"] / found["plain, 2 threads"]
    found["kept"] = found["touches"] / found["touches, no swapoffs"]
    return found


def failed(rows: Sequence[Row]) -> bool:
    """Whether a guard that is meant to guard has no figure, or ended badly in a repeat."""
    return any(row.system != "none" and (row.value is None or row.note) for row in rows)


def goal(rows: Sequence[Row]) -> str:
    """Whether the best is as cheap as it should be."""
    called = MEASURES["ratio"][0]
    found = [(row.value, row.system) for row in rows if row.workload == called and row.value and row.system not in OTHERWISE]
    if not found:
        return "nothing was measured"
    times, name = min(found)
    verdict = "reached" if times <= BEST_AT_MOST else "MISSED "
    return f"{verdict}  the best ({name}) costs {times:.2f} of at most {BEST_AT_MOST:g} times a plain increment + decrement"


def _cell(row: Row) -> str:
    if row.value is None:
        return row.note or "-"
    if row.unit == "0 or 1":
        return "yes" if row.value else "no"
    text = f"{row.value:.2f}" if row.unit == "times" else figure(row.value)
    return f"{text} ({row.note})" if row.note and row.workload == MEASURES["touches"][0] else text


def show(rows: Sequence[Row], console: Console) -> None:
    """A line a measure, a column a guard; medians."""
    console.print(goal(rows), highlight=False)
    table = Table(title="medians of the repeats", title_justify="left")
    table.add_column("")
    for name in GUARDS:
        table.add_column(name, justify="right", overflow="fold")
    for called, unit in MEASURES.values():
        table.add_row(f"{called}, {unit}" if unit not in ("times", "0 or 1") else called, *_cells(rows, called))
    console.print(table)


def markdown(rows: Sequence[Row]) -> str:
    """The table for a page."""
    lines = [f"| | {' | '.join(f'`{name}`' for name in GUARDS)} |", f"| --- |{' --- |' * len(GUARDS)}"]
    for called, unit in MEASURES.values():
        title = f"{called}, {unit}" if unit not in ("times", "0 or 1") else called
        lines.append(f"| {title} | {' | '.join(_cells(rows, called))} |")
    return "\n".join(lines) + "\n"


def _cells(rows: Sequence[Row], called: str) -> list[str]:
    return [_cell(next(row for row in rows if (row.workload, row.system) == (called, name))) for name in GUARDS]
