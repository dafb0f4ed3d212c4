"""``hotswap ps``: the processes of this user (of everybody, for root) that run with hotswap."""

import json

import click

from .. import steering
from ..errors import SteeringError
from .shown import short, table
from .steered import Steered, as_json


@click.command(cls=Steered)
@click.option("--json", "with_json", is_flag=True, help="Print a JSON list, a process an object; bytes.")
def ps(with_json: bool) -> None:
    """List the processes that run with hotswap: what they keep in memory of their limits, and what of their areas is used."""
    looks, silent = [], []
    for pid in steering.processes():
        try:
            with steering.connect(pid) as channel:
                looks.append(steering.look(channel))
        except SteeringError as error:  # it may end at any moment
            if error.exit_code not in (steering.Exit.ENDED, steering.Exit.UNKNOWN):
                silent.append(str(error))
    if with_json:
        click.echo(json.dumps([as_json(look) for look in looks], indent=2))
    else:
        rows = []
        for look in looks:
            resident, limit = (sum(space.stats[name] for space in look.spaces) for name in ("resident_bytes", "limit_bytes"))
            used, size = sum(area.used for area in look.areas), sum(area.size for area in look.areas)
            figures = [short(number) for number in (resident, limit, used, size)]
            rows.append([str(look.pid), look.user, *figures, str(len(look.areas)), look.command])
        right = ("PID", "RESIDENT", "LIMIT", "USED", "SWAP", "AREAS")
        table(("PID", "USER", "RESIDENT", "LIMIT", "USED", "SWAP", "AREAS", "COMMAND"), rows, right)
    for sentence in silent:
        click.echo(f"Error: {sentence}", err=True)
