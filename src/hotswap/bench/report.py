"""What a run says at the end: ratios first, then every figure, JSON."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ..sizes import format_size
from .plan import MEANING, SYSTEMS, Row
from .progress import figure

# (measure, peer, least ratio): what issue 2 sets as the goal
GOALS = (
    ("W1 seq read", "kernel-file", 3.0),
    ("W1 seq read", "memmap", 1.0),
    ("W2 random", "kernel-file", 1.0),
)


def ratio(rows: Sequence[Row], measure: str, peer: str) -> float | None:
    """How many times as good hotswap is as ``peer``: above 1 is better, for rates and for seconds alike."""
    ours, theirs = (_row(rows, measure, system) for system in ("hotswap", peer))
    if not ours or not theirs or not ours.value or not theirs.value:
        return None
    return theirs.value / ours.value if ours.unit == "s" else ours.value / theirs.value


def _row(rows: Sequence[Row], measure: str, system: str) -> Row | None:
    return next((r for r in rows if (r.workload, r.system) == (measure, system)), None)


def measures(rows: Sequence[Row]) -> list[str]:
    """Names of the workloads' measures in ``rows``, in order, without the disk's."""
    return list(dict.fromkeys(r.workload for r in rows if r.workload != "disk"))


def by_measure(rows: Sequence[Row]) -> list[Row]:
    """``rows`` with all systems of a measure together, otherwise in the order in which they were taken."""
    order = [*dict.fromkeys(r.workload for r in rows)]
    return sorted(rows, key=lambda r: order.index(r.workload))


def to_json(rows: Sequence[Row]) -> str:
    return json.dumps([r.as_json() for r in rows], indent=2)


def show(rows: Sequence[Row], console: Console) -> None:
    """Ratios, goals, figures."""
    peers = [s for s in SYSTEMS if s != "hotswap" and any(r.system == s for r in rows)]
    if any(r.system == "hotswap" for r in rows) and peers:
        console.print(ratios(rows, peers))
        for line in goals(rows):
            console.print(line, highlight=False)
    console.print(figures(rows))
    for name in [*measures(rows), *(["disk"] if any(r.workload == "disk" for r in rows) else [])]:
        console.print(f"{name}: {MEANING[name]}", style="dim", highlight=False, markup=False)


def ratios(rows: Sequence[Row], peers: Sequence[str]) -> Table:
    """A line a measure, a column a peer."""
    table = Table(title="hotswap is so many times as good as (above 1: better)", title_justify="left")
    table.add_column("workload")
    for peer in peers:
        table.add_column(peer, justify="right")
    for measure in measures(rows):
        cells = []
        for peer in peers:
            times = ratio(rows, measure, peer)
            good = "green" if times and times >= 1 else "red"
            cells.append(f"[{good}]{figure(times)}x[/]" if times else "-")
        table.add_row(measure, *cells)
    return table


def goals(rows: Sequence[Row]) -> list[str]:
    """A line for each goal that this run can judge."""
    lines = []
    for measure, peer, least in GOALS:
        times = ratio(rows, measure, peer)
        if times:
            verdict = "reached" if times >= least else "MISSED "
            lines.append(f"{verdict}  {measure}: {figure(times)} of at least {least:g} times {peer}")
    return lines


def figures(rows: Sequence[Row]) -> Table:
    """A line a row."""
    table = Table(title="median of the samples (least to most)", title_justify="left")
    for name in ("workload", "system"):
        table.add_column(name, no_wrap=True)
    for name in ("value", "spread"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("checked", no_wrap=True)
    table.add_column("peak RSS", justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    last = ""
    for row in by_measure(rows):
        if last and row.workload != last:
            table.add_section()
        last = row.workload
        spread = f"{figure(min(row.samples))}-{figure(max(row.samples))}" if len(row.samples) > 1 else ""
        checked = {True: "right", False: "[bold red]WRONG[/]", None: "-"}[row.verified]
        peak = format_size(row.peak_rss) if row.peak_rss else ""
        value = f"{figure(row.value)} {row.unit}" if row.value is not None else "-"
        table.add_row(row.workload, row.system, value, spread, checked, peak, row.note.replace("[", "\\["))
    return table
