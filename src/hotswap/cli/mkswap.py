"""``hotswap mkswap``: make a swap area, as mkswap(8) of util-linux does and says.

Exit codes: 0 made, 1 refused or failed, 2 wrong usage (click's). Errors and progress go to stderr, the result to stdout.
"""

import json
import sys
import time
import uuid as uuids
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from .. import areafile
from ..errors import HotswapError
from ..sizes import PAGE, format_size

_EVERY = 2.0  # seconds between plain progress lines


def _page_numbers(ctx: click.Context, param: click.Parameter, text: str) -> tuple[int, ...]:
    """Page numbers separated by commas, as integers."""
    try:
        return tuple(int(number) for number in text.split(",")) if text else ()
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of page numbers; give them as in 5,17,18.", ctx, param) from None


@click.command()
@click.argument("file", type=click.Path())
@click.option("--size", help="Bytes, or with a unit K, M, G or T; an existing file or device keeps its own without.")
@click.option("-L", "--label", default="", help="A label of at most 16 bytes.")
@click.option("-U", "--uuid", help="The UUID to use; random by default.")
@click.option(
    "--bad-pages",
    "badpages",
    callback=_page_numbers,
    default="",
    metavar="N,N..",
    help="Pages never to use: their numbers, by commas.",
)
@click.option("-f", "--force", is_flag=True, help="Format over what is not a swap area; its data is lost.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def mkswap(
    file: str, size: str | None, label: str, uuid: str | None, badpages: tuple[int, ...], force: bool, as_json: bool
) -> None:
    """Make FILE (mode 0600) a swap area, with all its blocks, for hotswap or the kernel's own swapon."""
    try:
        with _progress() as progress:
            made = areafile.format_area(file, size, label=label, uuid=uuid, badpages=badpages, force=force, progress=progress)
    except HotswapError as error:
        raise click.ClickException(str(error)) from error

    usable = (made.last_page - len(made.badpages)) * PAGE
    ident = str(uuids.UUID(bytes=made.uuid))
    if as_json:
        shown = {
            "path": file,
            "size": usable,
            "pages": made.last_page,
            "label": made.label,
            "uuid": ident,
            "bad_pages": list(made.badpages),
        }
        click.echo(json.dumps(shown))
        return
    click.echo(f"Setting up swapspace version {made.version}, size = {_human(usable)} ({usable} bytes)")
    click.echo(f"{f'LABEL={made.label}' if made.label else 'no label'}, UUID={ident}")


def _human(nbytes: int) -> str:
    """``nbytes`` as util-linux writes it: one decimal, and none where that is 0 (``1020 KiB``, ``1.5 MiB``)."""
    return format_size(nbytes).replace(".0 ", " ")


@contextmanager
def _progress() -> Iterator[areafile.Progress]:
    """A callback for ``format_area``: a bar with rate and time left on a terminal, a line every two seconds elsewhere."""
    if not sys.stderr.isatty():
        yield _PlainLines()
        return
    columns = (TextColumn("allocating"), BarColumn(), DownloadColumn(True), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _PlainLines:
    """Progress for logs: silent while the work is short."""

    def __init__(self) -> None:
        self.start = self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.last < _EVERY:
            return
        self.last = now
        rate = done / (now - self.start)
        left = (total - done) / rate if rate else 0.0
        click.echo(f"allocated {format_size(done)} of {format_size(total)}, {format_size(rate)}/s, {left:.0f} s left", err=True)
