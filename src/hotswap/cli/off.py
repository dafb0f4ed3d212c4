"""``hotswap off``: pull an area of a process that runs; Ctrl-C gives it up, and the area stays in use."""

import json

import click

from .. import steering
from ..sizes import PAGE
from ..swapinfo import SwapoffProgress
from .shown import bar, human
from .steered import Steered


@click.command(cls=Steered)
@click.argument("pid", type=int)
@click.argument("area", metavar="FILE")
@click.option("--json", "with_json", is_flag=True, help="Print what was done as one JSON object; bytes and seconds.")
def off(pid: int, area: str, with_json: bool) -> None:
    """Empty an area of process PID into its other areas, or into memory within its limits, and switch it off."""
    with steering.connect(pid) as channel, bar("emptying", "emptied") as tell:
        told: set[int] = set()

        def progress(far: SwapoffProgress) -> None:
            if far.waiting_for and far.waiting_for not in told:
                told.add(far.waiting_for)
                click.echo(
                    f"process {far.waiting_for} of its family does not answer (is it stopped?); it is waited for", err=True
                )
            tell(far.moved * PAGE, (far.moved + far.left) * PAGE)

        done = steering.off(channel, area, progress)
    if with_json:
        moved, loaded = done.moved * PAGE, done.loaded * PAGE
        click.echo(json.dumps({"path": done.path, "moved_bytes": moved, "loaded_bytes": loaded, "seconds": done.seconds}))
        return
    rate = done.pages * PAGE / done.seconds if done.seconds else 0.0
    click.echo(
        f"{done.path} is off: {human(done.moved * PAGE)} moved to other areas, {human(done.loaded * PAGE)} kept in memory, "
        f"in {done.seconds:.1f} s ({human(rate)}/s)"
    )
