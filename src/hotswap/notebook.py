"""``%load_ext hotswap``: as ``import hotswap.auto``, and a line that says how it stands."""

from typing import Any

from . import control
from .arena import Arena
from .sizes import format_size


def load(shell: Any) -> None:
    """Called by IPython. Loading it again says the line again."""
    from . import auto

    print(status(auto.space))


def status(space: Arena) -> str:
    """One line: the limit, what is in memory, the areas."""
    figures = space.stats()
    areas = ", ".join(f"{swap.path} ({format_size(swap.used)} of {format_size(swap.size)})" for swap in control.swaps())
    return (
        f"hotswap: large arrays are swappable, {format_size(figures['resident_bytes'])} of at most {format_size(figures['limit_bytes'])} "
        f"are in memory; areas: {areas or 'none'}"
    )
