"""``hotswap``: a verb a module, loaded when it is asked for.

A ``HotswapError`` becomes one sentence on stderr and exit status 1 (or what it says), Ctrl-C becomes 130, wrong usage is 2 (click's;
16 for those that steer, as swapoff(8) has it).
"""

import importlib
from typing import Any

import click

from .. import __version__
from ..errors import HotswapError

_VERBS = {  # where each is; its function is named like it
    "bench": "hotswap.bench.command",
    "check": "hotswap.cli.check",
    "demo": "hotswap.demo.command",
    "lab": "hotswap.cli.lab",
    "limit": "hotswap.cli.limit",
    "metrics": "hotswap.cli.metrics",
    "mkswap": "hotswap.cli.mkswap",
    "off": "hotswap.cli.off",
    "on": "hotswap.cli.on",
    "ps": "hotswap.cli.ps",
    "run": "hotswap.cli.run",
    "show": "hotswap.cli.show",
    "top": "hotswap.cli.top",
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        command = getattr(importlib.import_module(_VERBS[name]), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HotswapError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Swap for one program, whose areas can be pulled while it runs."""
