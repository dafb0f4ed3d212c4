"""``hotswap check``: what was found on this machine, what it means, and whether hotswap works here.

Exit codes: 0 it works, 1 it does not, 2 wrong usage (click's). A table on a terminal, plain lines elsewhere.
"""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import check as checking

_COLOURS = {checking.GOOD: "green", checking.POORER: "yellow", checking.MISSING: "red"}


@click.command()
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="The directory where areas are to go.  [default: the current one]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: works, ask, found.")
def check(scratch: Path, as_json: bool) -> None:
    """Tell what hotswap finds on this machine, what that means, and whether it works here."""
    found = checking.look(scratch.resolve())
    works, asks = checking.works(found), checking.requests(found)
    if as_json:
        click.echo(json.dumps({"works": works, "ask": asks, "found": [finding._asdict() for finding in found]}, indent=2))
    else:
        _show(found)
        click.echo(f"hotswap works here: {'yes' if works else 'no'}")
        for ask in asks:
            click.echo(f"ask the administrator for {ask}")
    sys.exit(0 if works else 1)


def _show(found: list[checking.Finding]) -> None:
    if not sys.stdout.isatty():
        for finding in found:
            means = f": {finding.means}" if finding.means else ""
            click.echo(f"{finding.state:<8} {finding.name}: {finding.found}{means}")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "what", "found", "what it means"):
        table.add_column(heading, overflow="fold")
    for finding in found:
        state = Text(finding.state, style=_COLOURS[finding.state])
        table.add_row(state, *map(Text, (finding.name, finding.found, finding.means)))  # Text: no markup in paths
    Console().print(table)
