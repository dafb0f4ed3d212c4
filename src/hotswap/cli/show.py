"""``hotswap show``: the areas of a process, in the columns of ``swapon --show`` or of /proc/swaps."""

import json

import click

from .. import steering
from ..swapinfo import Swap
from .shown import short, table
from .steered import Steered, as_json

_HEADINGS = ("NAME", "TYPE", "SIZE", "USED", "PRIO")
_PACKED = ("STORED", "PACKED", "HELD")  # where there is compressed memory: as it came, as it is kept, what that takes


@click.command(cls=Steered)
@click.argument("pid", type=int, required=False)
@click.option("-s", "--summary", is_flag=True, help="Print what /proc/swaps would show, sizes in KiB.")
@click.option("--bytes", "in_bytes", is_flag=True, help="Print sizes in bytes.")
@click.option("--noheadings", is_flag=True, help="Print no headings.")
@click.option(
    "--json", "with_json", is_flag=True, help="Print one JSON object: areas, address spaces with all their figures; bytes."
)
def show(pid: int | None, summary: bool, in_bytes: bool, noheadings: bool, with_json: bool) -> None:
    """Show the areas of process PID (of the only one that runs with hotswap)."""
    with steering.connect(steering.only_one() if pid is None else pid) as channel:
        look = steering.look(channel)
    if with_json:
        click.echo(json.dumps(as_json(look), indent=2))
    elif summary:
        click.echo("".join(proc_swaps(look.areas)), nl=False)
    elif look.areas:
        size = str if in_bytes else short
        rows = [[area.path, area.kind, size(area.size), size(area.used), str(area.priority)] for area in look.areas]
        headings: tuple[str, ...] = _HEADINGS
        if any(area.compressed for area in look.areas):
            headings += _PACKED
            for row, area in zip(rows, look.areas, strict=True):
                row += [size(area.stored), size(area.packed), size(area.held)] if area.compressed else ["", "", ""]
        table(headings, rows, ("SIZE", "USED", "PRIO", *_PACKED), head=not noheadings)


def proc_swaps(areas: list[Swap]) -> list[str]:
    """As the kernel writes it (``swap_show()``, mm/swapfile.c): the name filled up to 40 columns, then tabs; KiB."""
    lines = ["Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"]
    for area in areas:
        kib, used = area.size >> 10, area.used >> 10
        name = area.path.translate({ord(c): f"\\{ord(c):03o}" for c in " \t\n\\"})
        fill = " " * (40 - len(name) if len(name) < 40 else 1)
        kind = "partition" if area.kind == "partition" else "file\t"
        far = ["\t" if number < 10_000_000 else "" for number in (kib, used)]
        lines.append(f"{name}{fill}{kind}\t{kib}\t{far[0]}{used}\t{far[1]}{area.priority}\n")
    return lines
