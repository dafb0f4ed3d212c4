"""``hotswap top``: a live screen of one process: memory against the limit, faults by kind, hit rates, areas and how full they are where.

Off a terminal it prints a block of lines each time; ``--once`` is one such block, ``--json`` an object. Rates are those of the last
interval.
"""

import json
import time
from typing import Any, NamedTuple

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .. import counts, steering
from ..sizes import PAGE
from ..steering import Look, Space
from .shown import human
from .steered import Steered, area_as_json, space_as_json

_LEVELS = " ▁▂▃▄▅▆▇█"
_CELLS = 64  # of a map off a terminal
_BAR = 40
_KINDS = {"faults_major": "major", "faults_minor": "minor", "faults_zero": "zero", "faults_write": "write"}
_MOVED = {"pages_in": "in", "pages_out": "out", "pages_clean": "dropped", "readahead_pages": "ahead"}


class Sample(NamedTuple):
    """A look, and the one before it."""

    look: Look
    before: Look

    @property
    def seconds(self) -> float:
        return self.look.seconds - self.before.seconds

    def rates(self, space: Space) -> dict[str, float]:
        """Of an address space, a second; none for one that is new."""
        earlier = next((old for old in self.before.spaces if old.number == space.number), None)
        return counts.rates(earlier.stats, space.stats, self.seconds) if earlier else {}


@click.command(cls=Steered)
@click.argument("pid", type=int, required=False)
@click.option("-d", "--delay", type=click.FloatRange(min=0.05), default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="One look (two, a delay apart, for the rates), and that is it.")
@click.option("--json", "with_json", is_flag=True, help="Print JSON objects, one a line; bytes and rates a second.")
def top(pid: int | None, delay: float, once: bool, with_json: bool) -> None:
    """Watch process PID (the only one that runs with hotswap) until Ctrl-C or its end."""
    with steering.connect(steering.only_one() if pid is None else pid) as channel:
        console = Console()
        live_screen = console.is_terminal and not (once or with_json)
        cells = max(16, console.width - 4) if live_screen else _CELLS
        before = steering.look(channel, cells)
        if not live_screen:
            while True:
                time.sleep(delay)
                look = steering.look(channel, cells)
                sample, before = Sample(look, before), look
                click.echo(json.dumps(as_json(sample)) if with_json else plain(sample))
                if once:
                    return
        with Live(screen(Sample(before, before)), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(delay)
                look = steering.look(channel, cells)
                live.update(screen(Sample(look, before)), refresh=True)
                before = look


def as_json(sample: Sample) -> dict[str, Any]:
    look = sample.look
    spaces = [
        {**space_as_json(space), "rates": sample.rates(space), "hit_rates": counts.hit_rates(space.stats)}
        for space in look.spaces
    ]
    areas = [{**area_as_json(area), "map": list(look.pictures.get(area.path, b""))} for area in look.areas]
    return {
        "pid": look.pid,
        "user": look.user,
        "command": look.command,
        "seconds": sample.seconds,
        "areas": areas,
        "spaces": spaces,
    }


def picture(cells: bytes) -> str:
    """A character a stretch of the area, the fuller the higher."""
    return "".join(_LEVELS[(cell * (len(_LEVELS) - 1) + 254) // 255] for cell in cells)


def lines(sample: Sample) -> list[str]:
    """What is shown of the spaces and areas, a line each; the screen adds only colour."""
    shown = [f"process {sample.look.pid}, {sample.look.user}: {sample.look.command}"]
    for space in sample.look.spaces:
        stats, rates = space.stats, sample.rates(space)
        resident, limit = stats["resident_bytes"], stats["limit_bytes"]
        filled = min(_BAR, round(_BAR * resident / limit)) if limit else 0
        shown.append(
            f"space {space.number}  [{'#' * filled}{'.' * (_BAR - filled)}] {human(resident)} of {human(limit)} resident"
            + (f", {human(stats['pinned_bytes'])} pinned" if stats["pinned_bytes"] else "")
        )
        shown.append("  faults/s  " + "  ".join(f"{name} {rates.get(key, 0):,.0f}" for key, name in _KINDS.items()))
        shown.append("  moved/s   " + "  ".join(f"{name} {human(rates.get(key, 0) * PAGE)}" for key, name in _MOVED.items()))
        hits = counts.hit_rates(rates) if rates else {"cache": None, "readahead": None}
        shown.append("  hits      " + "  ".join(f"{name} {'-' if hit is None else f'{hit:.0%}'}" for name, hit in hits.items()))
    for area in sample.look.areas:
        state = "" if area.flags.startswith("active") else " " + area.flags.split()[0]
        shown.append(
            f"{area.path}  {human(area.used)} of {human(area.size)}, priority {area.priority}{state}"
            + (f", {human(area.stored)} in {human(area.held)}" if area.compressed else "")
            + (f", {area.errors} errors" if area.errors else "")
        )
        shown.append(f"  |{picture(sample.look.pictures.get(area.path, b''))}|")
    return shown


def plain(sample: Sample) -> str:
    return "\n".join(lines(sample))


def screen(sample: Sample) -> RenderableType:
    """The same in colour: bars and pictures stand out."""
    grid = Table.grid()
    for line in lines(sample):
        text = Text(line, no_wrap=True, overflow="ellipsis")
        if line.startswith("process"):
            text.stylize("bold")
        elif line.startswith("space"):
            start, end = line.index("["), line.index("]") + 1
            text.stylize("green", start, end)
        elif line.startswith("  |"):
            text.stylize("cyan")
        grid.add_row(text)
    return Group(grid, Text(f"every {sample.seconds:.1f} s; Ctrl-C ends" if sample.seconds else "Ctrl-C ends", style="dim"))
