"""``hotswap bench --profile``: where the time of a fault goes, by stage, from what the engine always counts (engine/profile.py).

``Watch`` runs in the child, between workload and report: what was counted from the beginning of a timed part to its sample belongs to
the measure. The rest is the table.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

from .plan import Row
from .progress import figure
from .workloads import Memory, Report

MISSING = "no stages: this engine does not count them"
# figure of Space.stats() -> what it is; in the order in which a fault comes to them
STAGES = {
    "stage_find_ns": "range found, folio locked",
    "stage_charge_ns": "charged, room made",
    "stage_cache_ns": "swap cache looked up, transfers waited for",
    "stage_frame_ns": "frame taken",
    "stage_read_ns": "read",
    "stage_map_ns": "mapped, woken",
    "stage_ahead_ns": "read ahead, neighbours mapped",
    "stage_other_ns": "faults without a page to bring in",
}
FAULTS = ("faults_minor", "faults_major", "faults_zero", "faults_write")


class Watch:
    """A ``Report`` that also adds up what the space counted meanwhile."""

    def __init__(self, memory: Memory, report: Report):
        self.found: dict[str, dict[str, float]] = {}
        self._memory, self._report = memory, report
        self._before: dict[str, int] = {}
        self._begun = 0.0
        memory.timed_begins = self._begins  # type: ignore[method-assign]

    def _begins(self) -> None:
        self._before, self._begun = self._memory.stats(), perf_counter()

    def __call__(self, measure: str, value: float, system: str = "") -> None:
        seconds, after = perf_counter() - self._begun, self._memory.stats()
        if self._before and not system:
            told = self.found.setdefault(measure, {"seconds": 0.0})
            told["seconds"] += seconds
            for name in (*STAGES, *FAULTS):
                if name in after:
                    told[name] = told.get(name, 0) + after[name] - self._before[name]
        self._before = {}
        self._report(measure, value, *([system] if system else []))


def profiled(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.stages]


def lines(row: Row) -> list[tuple[str, float, float]]:
    """Of a measure: stage, microseconds a fault that brings something in, share of the wall clock. The first line is what the program
    waited or worked outside of the engine, where one thread did all the touching. What comes after the mapping is done beside it."""
    told: dict[str, Any] = row.stages
    wall = told["seconds"] * 1e9
    faults = max(1.0, sum(told.get(name, 0) for name in FAULTS))
    spent = [(what, float(told[name])) for name, what in STAGES.items() if name in told]
    outside = max(0.0, wall - sum(ns for _, ns in spent))  # handlers also work side by side, and beside the program
    named = [("program, and wake-ups there and back", outside), *spent]
    return [(what, ns / faults / 1000, ns / wall) for what, ns in named]


def table(rows: Sequence[Row]) -> Table:
    """A line a stage, two columns a measure."""
    found = Table(title="where the time goes: µs a fault (share of the wall clock)", title_justify="left")
    found.add_column("stage")
    columns = [lines(row) for row in rows]
    for row in rows:
        found.add_column(row.workload, justify="right")
    for number, (what, _, _) in enumerate(columns[0]):
        found.add_row(what, *(_cell(column[number]) for column in columns))
    found.add_section()
    for name in FAULTS:
        found.add_row(name, *(f"{row.stages.get(name, 0):,}" for row in rows))
    return found


def _cell(line: tuple[str, float, float]) -> str:
    return f"{figure(line[1])} ({line[2]:.0%})"


def show(rows: Sequence[Row], console: Console) -> None:
    found = profiled(rows)
    if not found:
        return
    if all(name not in row.stages for row in found for name in STAGES):
        console.print(MISSING)
        return
    console.print(table(found))


def markdown(rows: Sequence[Row]) -> str:
    """The same for a page."""
    found = [row for row in profiled(rows) if any(name in row.stages for name in STAGES)]
    if not found:
        return ""
    columns = [lines(row) for row in found]
    text = [
        f"| µs a fault (share of the time) | {' | '.join(row.workload for row in found)} |",
        f"| --- |{' --- |' * len(found)}",
    ]
    text += [f"| {what} | {' | '.join(_cell(column[n]) for column in columns)} |" for n, (what, _, _) in enumerate(columns[0])]
    return "\n".join(text) + "\n"
