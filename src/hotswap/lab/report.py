"""What a run of the lab shows: progress while it explores, a table of cases at the end."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from .rows import Row, count
from .runs import Coverage, Scenario

EVERY = 10.0  # seconds between plain lines about one case


class Watch:
    """Tells of cases: a bar on a terminal, elsewhere a line for each, and another every ten seconds of a long one."""

    def __init__(self, console: Console, cases: int):
        self._console = console
        self._cases = cases
        self._at = 0
        self._name = ""
        self._said = 0.0
        self.coverage: Coverage | None = None  # of the case under way
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[doing]}", markup=False),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("", total=cases, doing="")
            self._bar.start()

    def begin(self, name: str) -> None:
        self._at += 1
        self._name, self._said, self.coverage = name, time.monotonic(), None
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=name, doing="", completed=self._at - 1)

    def __call__(self, coverage: Coverage) -> None:
        self.coverage = coverage
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, doing=covered(coverage))
        elif time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            self._say(f"{self._name}: {covered(coverage)}")

    def end(self, row: Row) -> None:
        wrong = "" if row.as_expected else f", expected {row.expected}"
        self._say(f"[{self._at}/{self._cases}] {row.case}: {row.extent}{wrong} ({count(row.schedules)}, {row.seconds:.1f} s)")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def covered(coverage: Coverage) -> str:
    """``1,234 schedules, 5,678 pruned, 321 a second``."""
    rate = f", {coverage.schedules / coverage.seconds:,.0f} a second" if coverage.seconds >= 0.5 else ""
    found = ", found" if coverage.found else ""
    return f"{count(coverage.schedules)}, {coverage.pruned:,} pruned{rate}{found}"


def cases(rows: Sequence[Row]) -> Table:
    """A line a case."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("scenario", "guard", "switch", "model", "expected", "verdict"):
        table.add_column(heading, overflow="fold")
    for heading in ("schedules", "s"):
        table.add_column(heading, justify="right")
    table.add_column("replay", overflow="fold")
    for row in rows:
        verdict = Text(row.extent, style="green" if row.as_expected else "bold red")
        figures = (Text(f"{row.schedules:,}"), Text(f"{row.seconds:.1f}"), Text(row.replay))
        table.add_row(*map(Text, (row.scenario, row.guard, row.switch, row.model, row.expected)), verdict, *figures)
    return table


def catalogue(scenarios: Sequence[Scenario]) -> Table:
    """A line a scenario."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("scenario", "question", "guards", "switches"):
        table.add_column(heading, overflow="fold")
    for scenario in scenarios:
        table.add_row(*map(Text, (scenario.name, scenario.question, listed(scenario, "guard"), listed(scenario, "switch"))))
    return table


def listed(scenario: Scenario, what: str) -> str:
    """The guards or switches that a scenario has cases of."""
    return ", ".join(dict.fromkeys(filter(None, (getattr(case, what) for case in scenario.cases))))
