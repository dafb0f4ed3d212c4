"""What the user sees while a run goes on: a table that is redrawn on a terminal, a line a second elsewhere.

Reads the run's fields and changes nothing. Everything goes to standard error, so that standard output is the result.
"""

import time
from collections import deque
from pathlib import Path
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..sizes import PAGE, format_size
from .residency import EXTRA
from .run import Run
from .verdict import MEGABYTE

MIB = 1 << 20
_WINDOW = 2.0  # seconds over which rates are taken
_RATES = (  # what it is called, the counter, what a unit is worth, how it is shown
    ("major", "faults_major", 1, "{:,.0f}/s"),
    ("minor", "faults_minor", 1, "{:,.0f}/s"),
    ("zero", "faults_zero", 1, "{:,.0f}/s"),
    ("in", "pages_in", PAGE / MEGABYTE, "{:,.0f} MB/s"),
    ("out", "pages_out", PAGE / MEGABYTE, "{:,.0f} MB/s"),
    ("clean drops", "pages_clean", PAGE / MEGABYTE, "{:,.0f} MB/s"),
)


class View:
    """Shows ``run``: call ``show`` a few times a second between entering and leaving."""

    def __init__(self, run: Run, console: Console) -> None:
        self.run, self.console = run, console
        self.bar = 34 if console.width >= 100 else 18  # columns
        self.live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._said = 0.0
        self._last_line = ""
        self._past: deque[tuple[float, dict[str, Any]]] = deque()

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def show(self) -> None:
        rates = self._rates()
        if self.live:
            self.live.update(self.table(rates), refresh=True)
        elif (line := self.line(rates)) and time.monotonic() - self._said >= 1 and line != self._last_line:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)
            self._said, self._last_line = time.monotonic(), line

    def line(self, rates: dict[str, str]) -> str:
        """All that matters in one line."""
        run, now = self.run, self.run.progress.snapshot()
        if not run.engine or not run.churn or not run.residency:
            part = f" {run.stage_fraction:.0%}" if run.stage_fraction is not None else ""
            return f"{run.stage}{part}"
        return (
            f"{time.monotonic() - run.begun:5.1f} s  round {now.round}, {now.phase} {now.fraction:.0%}  "
            f"resident {run.residency.current / MIB:.1f} of {run.outcome.limit_bytes / MIB:.1f} + {EXTRA / MIB:.0f} MiB  "
            f"swapoffs {len(run.churn.done)}, {run.churn.pages_moved:,} pages  lost {run.ledger.lost}  "
            + (f"major faults {rates['major']}" if "major" in rates else "")
        ).rstrip()

    def table(self, rates: dict[str, str]) -> RenderableType:
        """The whole picture."""
        parts: list[RenderableType] = [self._job()]
        if self.run.engine and self.run.churn:
            parts += [Text(), self._areas(), Text(), self._facts(rates)]
        title = "[bold]hotswap demo[/]: a sorted index of the standard library's 8-grams"
        return Panel(Group(*parts), title=title, title_align="left", padding=(1, 2), width=min(self.console.width, 100))

    def _job(self) -> RenderableType:
        run, now, grid = self.run, self.run.progress.snapshot(), Table.grid(padding=(0, 2))
        grid.add_column(width=8)
        grid.add_column(width=self.bar)
        grid.add_column(ratio=1, no_wrap=True)
        if not run.engine or not run.residency:
            bar = ProgressBar(1.0, run.stage_fraction or 0.0, width=self.bar) if run.stage_fraction is not None else Text("")
            grid.add_row("prepare", bar, f"{run.stage_fraction:.0%}" if run.stage_fraction is not None else "")
            return Group(grid, Text(run.stage, style="dim"))
        elapsed, limit = time.monotonic() - run.begun, run.outcome.limit_bytes
        of = f"of about {run.options.seconds:.0f} s"
        grid.add_row("job", ProgressBar(1.0, now.round_fraction, width=self.bar), f"round {now.round}, {elapsed:.0f} s {of}")
        step = f"{now.fraction:>4.0%}  {now.phase} ({now.phase_number} of {now.phases})"
        grid.add_row("phase", ProgressBar(1.0, now.fraction, width=self.bar), step)
        current, allowed = run.residency.current, limit + EXTRA
        style = "yellow" if run.residency.peak <= allowed else "red"
        peak, mib = run.residency.peak / MIB, f"{limit / MIB:.1f} + {EXTRA / MIB:.0f} MiB"
        resident = f"{current / MIB:.1f} of {mib}, peak {peak:.1f}"
        grid.add_row("resident", ProgressBar(allowed, min(current, allowed), width=self.bar, complete_style=style), resident)
        live = run.ledger.live
        grid.add_row("arrays", "", f"{format_size(live)} now, {live / limit:.1f} times the limit")
        return grid

    def _areas(self) -> RenderableType:
        run = self.run
        assert run.churn and run.engine
        table = Table(box=None, padding=(0, 2), pad_edge=False, header_style="dim")
        for name in ("area", "used", "size", "", "state"):
            table.add_column(name, justify="right" if name in ("used", "size") else "left", no_wrap=True)
        seen = {Path(area.path): area for area in run.engine.areas()}
        doing = run.churn.now
        for path in run.churn.paths:
            area = seen.get(path)
            state, style = ("on", "green") if area else ("off", "red")
            if doing and doing[1] == path:
                state, style = ("going off", "yellow") if doing[0] == "off" else ("going on", "cyan")
            if area and area.flags and style == "green":
                state = f"on  {area.flags}" if area.flags != "on" else "on"
            used, size = (area.used, area.size) if area else (0, run.area_bytes)
            bar = ProgressBar(size, used, width=self.bar, complete_style=style, finished_style=style)
            table.add_row(path.name, format_size(used), format_size(size), bar, Text(state, style=style))
        return table

    def _facts(self, rates: dict[str, str]) -> RenderableType:
        run, grid = self.run, Table.grid(padding=(0, 2))
        assert run.churn
        churn, ledger = run.churn, run.ledger
        speed = churn.pages_moved * PAGE / MEGABYTE / churn.seconds_moving if churn.seconds_moving else 0.0
        last = ""
        if churn.done:
            done = churn.done[-1]
            last = f"; last {done.pages:,} in {done.seconds:.2f} s"
        grid.add_row("swapoffs", f"{len(churn.done)}, {churn.pages_moved:,} pages at {speed:,.0f} MB/s{last}")
        lost = f"[red]{ledger.lost:,} LOST[/]" if ledger.lost else "none lost"
        grid.add_row("pages", f"{ledger.checked:,} checked, {lost}")
        grid.add_row("faults", ", ".join(f"{name} {rate}" for name, rate in rates.items()) or "no figures")
        for failure in churn.failures[-2:]:
            grid.add_row("[red]refused[/]", Text(failure))
        return grid

    def _rates(self) -> dict[str, str]:
        """Each known counter of the space per second, over the last two seconds."""
        engine = self.run.engine
        if not engine:
            return {}
        self._past.append((time.monotonic(), engine.stats()))
        while len(self._past) > 2 and self._past[-1][0] - self._past[0][0] > _WINDOW:
            self._past.popleft()
        (then, old), (now, new) = self._past[0], self._past[-1]
        span = max(now - then, 1e-3)
        known = [rate for rate in _RATES if rate[1] in new and rate[1] in old]
        return {name: shape.format((new[key] - old[key]) * worth / span) for name, key, worth, shape in known}
