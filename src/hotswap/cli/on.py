"""``hotswap on``: another area for a process that runs."""

import json

import click

from .. import config, steering
from .shown import bar, human
from .steered import Steered, area_as_json


@click.command(cls=Steered)
@click.argument("pid", type=int)
@click.argument("area", metavar="FILE[:SIZE][,pri=N][,compressed=SIZE]")
@click.option("--json", "with_json", is_flag=True, help="Print the area as one JSON object; bytes.")
def on(pid: int, area: str, with_json: bool) -> None:
    """Switch an area on in process PID; a file that does not exist is made with SIZE, mode 0600."""
    spec = config.parse_area(area)
    with steering.connect(pid) as channel, bar("allocating", "allocated") as progress:
        swap = steering.on(channel, spec.path, spec.size, spec.priority, compressed=spec.compressed, progress=progress)
    if with_json:
        click.echo(json.dumps(area_as_json(swap)))
    else:
        click.echo(f"{swap.path} is on in process {pid}: {human(swap.size)}, priority {swap.priority}")
