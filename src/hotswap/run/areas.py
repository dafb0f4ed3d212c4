"""The areas of a plan, on: all or none."""

import contextlib
import sys

from .. import control
from ..engine import api
from ..errors import HotswapError
from ..sizes import format_size
from .plan import Plan, private_place


def switch_on(plan: Plan) -> None:
    """Nothing in a process that joined a family, whose areas are on. Says on standard error where a private area is, as nobody asked for that place. Raises what ``swapon`` does."""
    if api.joined() and control.swaps():
        return
    made: list[str] = []
    try:
        for area in plan.areas:
            made.append(control.swapon(area.path, area.size, area.priority, compressed=area.compressed).path)
        if not plan.areas:
            place, size = private_place(plan.limit)
            control.swapon_private(place, size)
            print(f"hotswap: swapping to a private temporary file of {format_size(size)} in {place}.", file=sys.stderr)
    except BaseException:
        for path in made:
            with contextlib.suppress(HotswapError):
                control.swapoff(path)
        raise
