"""``hotswap run``: starts a program with swap of its own, and becomes it. Where the options are as they should be,
hotswap/__main__.py does without this.

Exit codes: the program's own, or one that says why it was not started (hotswap.run.exits).
"""

import click

from ..run import launch, plan


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--limit", metavar="SIZE", help="What of its large allocations may be in memory.  [default: half of the memory]")
@click.option(
    "--swap",
    multiple=True,
    metavar="FILE[:SIZE][,pri=N][,compressed=SIZE]",
    help="An area; may be repeated.  [default: a private temporary file on the largest local disk]",
)
@click.option("--min-size", metavar="SIZE", help=f"The smallest allocation that is swappable.  [default: {plan.MIN_SIZE}]")
@click.option("--config", metavar="FILE", help="The file of settings.  [default: the nearest with a table [tool.hotswap]]")
@click.option(
    "--children-limit",
    metavar="SIZE|N%|none",
    help="The limit of each child process, or its part of --limit; none: what is executed goes without.  [default: that of --limit]",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    limit: str | None,
    swap: tuple[str, ...],
    min_size: str | None,
    config: str | None,
    children_limit: str | None,
    command: tuple[str, ...],
) -> None:
    """Run a Python program whose large allocations are swappable: hotswap run --limit 512M -- python job.py

    Scripts, -m modules, console scripts and notebook kernels; signals, arguments and exit status are its own.
    """
    launch.start(limit, swap, min_size, config, children_limit, command)
