"""``hotswap limit``: how much of a process's memory may be resident, while it runs."""

import json

import click

from .. import steering
from .shown import human
from .steered import Steered


@click.command(cls=Steered)
@click.argument("pid", type=int)
@click.argument("size")
@click.option("--space", type=int, help="Which address space, where the process has several ('show --json' numbers them).")
@click.option("--json", "with_json", is_flag=True, help="Print the limit as one JSON object; bytes.")
def limit(pid: int, size: str, space: int | None, with_json: bool) -> None:
    """Set the limit of process PID: SIZE is bytes, or has a unit K, M, G or T, or % of the memory that the process may have.

    Returns when the limit holds."""
    with steering.connect(pid) as channel:
        number, now = steering.limit(channel, size, space)
    if with_json:
        click.echo(json.dumps({"pid": pid, "space": number, "limit_bytes": now}))
    else:
        click.echo(f"the limit of process {pid} is {human(now)}")
