"""``hotswap mkswap``: make a swap area, as mkswap(8) of util-linux does and says.

Exit codes: 0 made, 1 refused or failed, 2 wrong usage (click's). Errors and progress go to stderr, the result to stdout.
"""

import json
import uuid as uuids

import click

from .. import areafile
from ..errors import HotswapError
from ..sizes import PAGE
from .shown import bar, human


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
        with bar("allocating", "allocated") as progress:
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
    click.echo(f"Setting up swapspace version {made.version}, size = {human(usable)} ({usable} bytes)")
    click.echo(f"{f'LABEL={made.label}' if made.label else 'no label'}, UUID={ident}")
