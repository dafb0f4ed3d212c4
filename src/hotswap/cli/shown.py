"""How commands show sizes, tables and progress: the same everywhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..sizes import format_size

_EVERY = 2.0  # seconds between plain progress lines


def human(nbytes: float) -> str:
    """``nbytes`` as util-linux writes it: one decimal, and none where that is 0 (``1020 KiB``, ``1.5 MiB``)."""
    return format_size(nbytes).replace(".0 ", " ")


def short(nbytes: float) -> str:
    """The same in a narrow column, as ``swapon --show`` has it: ``1.5G``."""
    return human(nbytes).replace(" ", "").replace("iB", "")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = (), *, head: bool = True) -> None:
    """Columns under headings, two spaces apart; those named in ``right`` are numbers."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines if head else lines[1:]:
        cells = [
            cell.rjust(width) if heading in right else cell.ljust(width) for cell, width, heading in zip(line, widths, headings)
        ]
        click.echo(" ".join(cells).rstrip())


@contextmanager
def bar(doing: str, done: str) -> Iterator[Callable[[int, int], None]]:
    """A callback that is told bytes done and of how many: a bar with rate and time left on a terminal, a line every two seconds
    elsewhere."""
    if not sys.stderr.isatty():
        yield _PlainLines(done)
        return
    columns = (TextColumn(doing), BarColumn(), DownloadColumn(True), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None)
        yield lambda now, total: shown.update(task, completed=now, total=total)


class _PlainLines:
    """Progress for logs: silent while the work is short."""

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.start = self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.last < _EVERY:
            return
        self.last = now
        rate = done / (now - self.start)
        left = (total - done) / rate if rate else 0.0
        click.echo(f"{self.verb} {format_size(done)} of {format_size(total)}, {format_size(rate)}/s, {left:.0f} s left", err=True)
