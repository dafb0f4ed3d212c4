"""What a run says at the end: ratios first, then where a peer wins, every figure, JSON; and the same for a page."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ..sizes import format_size
from .plan import LESS_IS_BETTER, MEANING, SYSTEMS, Row
from .progress import figure
from .verdict import DISK, goals, measures, peer_wins, peers, ratio


def by_measure(rows: Sequence[Row]) -> list[Row]:
    """``rows`` with all systems of a measure together, otherwise in the order in which they were taken."""
    order = [*dict.fromkeys(r.workload for r in rows)]
    return sorted(rows, key=lambda r: order.index(r.workload))


def to_json(rows: Sequence[Row]) -> str:
    return json.dumps([r.as_json() for r in rows], indent=2)


def show(rows: Sequence[Row], console: Console) -> None:
    """Ratios, goals, where a peer wins, figures."""
    others = peers(rows)
    if any(r.system == "hotswap" for r in rows) and others:
        console.print(ratios(rows, others))
        for line in goals(rows):
            console.print(line, highlight=False)
        console.print("Where a peer wins:", style="bold", highlight=False)
        for line in peer_wins(rows):
            console.print(f"  {line}", highlight=False, markup=False)
    console.print(figures(rows))
    for name in [*measures(rows), *(["disk"] if any(r.workload == "disk" for r in rows) else [])]:
        console.print(f"{name}: {MEANING[name]}", style="dim", highlight=False, markup=False)


def ratios(rows: Sequence[Row], others: Sequence[str]) -> Table:
    """A line a measure, a column a peer."""
    table = Table(title="hotswap is so many times as good as (above 1: better)", title_justify="left")
    table.add_column("workload")
    for peer in others:
        table.add_column(peer, justify="right")
    for measure in measures(rows):
        cells = []
        for peer in others:
            times = ratio(rows, measure, peer)
            good = "green" if times and times >= 1 else "red"
            cells.append(f"[{good}]{figure(times)}x[/]" if times else "-")
        table.add_row(measure, *cells)
    return table


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


def markdown(rows: Sequence[Row], how: str) -> str:
    """The run as a part of a page: ratios, where a peer wins, goals, figures with their spread. ``how``: a sentence on how it came about."""
    others = peers(rows)
    text = [how, "", "hotswap is so many times as good as (above 1: better):", ""]
    text += [f"| | {' | '.join(others)} |", f"| --- |{' --- |' * len(others)}"]
    for measure in measures(rows):
        cells = [_ratio_cell(rows, measure, peer) for peer in others]
        text.append(f"| {measure} | {' | '.join(cells)} |")
    text += ["", "**Where a peer wins.**", "", *(f"- {line}" for line in peer_wins(rows))]
    if judged := goals(rows):
        text += ["", "**Goals.**", "", *(f"- {' '.join(line.split())}" for line in judged)]
    systems = [s for s in (*SYSTEMS, *others) if any(r.system == s for r in rows)]
    systems = list(dict.fromkeys(systems))
    text += ["", "Medians (least to most), every result checked:", ""]
    text += [f"| | {' | '.join(systems)} |", f"| --- |{' --- |' * len(systems)}"]
    for measure in measures(rows):
        found = {r.system: r for r in rows if r.workload == measure}
        unit = next(iter(found.values())).unit
        better = "less" if unit in LESS_IS_BETTER else "more"
        cells = [_value_cell(found[s]) if s in found else "" for s in systems]
        text.append(f"| {measure}, {unit} ({better} is better) | {' | '.join(cells)} |")
    for row in rows:
        if row.workload == DISK and row.value is not None:
            note = f" ({row.note})" if row.note else ""
            text += ["", f"The disk alone, {row.system}: {figure(row.value)} {row.unit}{note}."]
    notes = [f"- {r.workload}, {r.system}: {r.note}" for r in by_measure(rows) if r.note and r.workload != DISK]
    if notes:
        text += ["", "Notes:", "", *notes]
    return "\n".join(text) + "\n"


def _ratio_cell(rows: Sequence[Row], measure: str, peer: str) -> str:
    times = ratio(rows, measure, peer)
    if times is None:
        return "-"
    return figure(times) if times >= 1 else f"**{figure(times)}**"


def _value_cell(row: Row) -> str:
    if row.value is None:
        return "left out" if row.note.startswith("left out") else "none"
    spread = f" ({figure(min(row.samples))} to {figure(max(row.samples))})" if len(row.samples) > 1 else ""
    return f"{figure(row.value)}{spread}" + ("" if row.verified else " **WRONG**")
