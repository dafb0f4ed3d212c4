"""What is shown on standard error during a run: a bar with the time left on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from .plan import Row


def figure(value: float | None) -> str:
    """A rate or a time with three significant digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


class Progress:
    """Tells of steps. The estimates it is given are corrected by how long the steps before really took."""

    def __init__(self, console: Console):
        self._console = console
        self._expected: list[float] = []
        self._at, self._taken, self._begun, self._name = 0, 0.0, 0.0, ""
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def plan(self, seconds: Sequence[float]) -> None:
        """Seconds that each step should take."""
        self._expected = list(seconds)
        self._say(f"{len(seconds)} steps, about {duration(sum(seconds))}")
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[left]}"),
                TimeElapsedColumn(),
            )
            self._bar = Bar(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=sum(seconds), left="")
            self._bar.start()

    def begin(self, name: str) -> None:
        self._name, self._begun = name, time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=name, left=f"{duration(self._left())} left")

    def sample(self, measure: str, value: float) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"{self._name}: {figure(value)}")

    def end(self, rows: Sequence[Row]) -> None:
        seconds = time.monotonic() - self._begun
        self._taken += seconds
        self._at += 1
        told = ", ".join(self._tell(r) for r in rows if r.value is not None) or f"nothing: {rows[0].note}"
        left = f"; about {duration(self._left())} left" if self._at < len(self._expected) else ""
        self._say(f"[{self._at}/{len(self._expected)}] {self._name}: {told} ({duration(seconds)}{left})")
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=sum(self._expected[: self._at]))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _tell(self, row: Row) -> str:
        return f"{figure(row.value)} {row.unit}" + ("" if row.verified else " WRONG RESULT")

    def _left(self) -> float:
        before, after = sum(self._expected[: self._at]), sum(self._expected[self._at :])
        if before <= 0:
            return after
        # Early on the plan says more than a few short steps do.
        weight = before / (before + after)
        return after * (weight * self._taken / before + 1 - weight)

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
