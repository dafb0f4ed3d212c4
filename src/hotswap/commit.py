"""What may be promised, as a sentence; the account is the engine's (engine/commit.py)."""

from .engine import api
from .errors import OutOfSwap
from .sizes import PAGE, format_size

_BEYOND = 1 << 60  # pages, more than any address space has, that the account can still add up


def promise(space: int, pages: int) -> None:
    """Counts an array's pages in. Raises ``OutOfSwap`` when that is more than fits."""
    fits, wanted, room = api.commit_promise(space, min(pages, _BEYOND))
    if not fits:
        raise OutOfSwap(
            f"an array of {format_size(pages * PAGE)} is refused: with it, {format_size(wanted * PAGE)} might have to be "
            f"swapped out and the areas that are on hold {format_size(room * PAGE)}; add an area (hotswap.swapon), raise the "
            "limit or free arrays."
        )
