"""What the commands that steer have in common: wrong usage is 16, as swapoff(8) has it, and how an area is shown."""

from typing import Any

import click

from ..steering import Exit, Look, Space
from ..swapinfo import Swap


class Steered(click.Command):
    """A command that looks at or steers a process."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            error.exit_code = Exit.USAGE  # type: ignore[misc]  # click's own way to say it
            raise


def as_json(look: Look) -> dict[str, Any]:
    """A process as the JSON of every command has it; bytes."""
    return {
        "pid": look.pid,
        "user": look.user,
        "command": look.command,
        "guard": look.guard,
        "areas": [area_as_json(area) for area in look.areas],
        "spaces": [space_as_json(space) for space in look.spaces],
    }


def area_as_json(area: Swap) -> dict[str, Any]:
    return area._asdict()


def space_as_json(space: Space) -> dict[str, Any]:
    return {"space": space.number, "folio_bytes": space.folio, "least_limit_bytes": space.least_limit, **space.stats}
