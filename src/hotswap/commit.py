"""What may be promised: arrays are refused when limits and areas together could not hold them.

A fault that finds no room can only wait, so room is looked at when an array is made, while a MemoryError can still be raised.
Pages count in full, touched or not, as the kernel does with ``vm.overcommit_memory=2``. Switching an area off afterwards, or
lowering a limit, can make promises exceed the room; a swapoff itself only asks whether what was written fits. What room there is
is asked of the engine each time: areas and limits change from outside the process too.
"""

import threading

from .engine import api
from .errors import OutOfSwap
from .sizes import PAGE, format_size

_lock = threading.RLock()  # an array may die, and be taken back here, at any allocation made under it
_spaces: set[int] = set()
_promised: dict[tuple[int, int], int] = {}  # space and pages of a folio: pages of its arrays
_SLACK = 2  # clusters of an area that large folios may not be able to use: the one with the header, and the last
_CLUSTER = 512  # pages


def add_space(space: int) -> None:
    with _lock:
        _spaces.add(space)


def drop_space(space: int) -> None:
    with _lock:
        _spaces.discard(space)
        for key in [key for key in _promised if key[0] == space]:
            del _promised[key]


def promise(space: int, pages: int, folio_pages: int) -> None:
    """Counts an array's pages in. Raises ``OutOfSwap`` when that is more than fits."""
    key = space, folio_pages
    with _lock:
        promised = {**_promised, key: _promised.get(key, 0) + pages}
        room, wanted = _room(promised), _wanted(promised)
        if wanted > room:
            raise OutOfSwap(
                f"an array of {format_size(pages * PAGE)} is refused: with it, {format_size(wanted * PAGE)} might have to be "
                f"swapped out and the areas that are on hold {format_size(room * PAGE)}; add an area (hotswap.swapon), raise the "
                "limit or free arrays."
            )
        _promised[key] = promised[key]


def take_back(space: int, pages: int, folio_pages: int) -> None:
    with _lock:
        if (space, folio_pages) in _promised:
            _promised[space, folio_pages] -= pages


def _room(promised: dict[tuple[int, int], int]) -> int:
    """Pages the areas can hold. Folios of several slots need them in a row, which the ends of an area may not have."""
    largest = max((folio for (_, folio), pages in promised.items() if pages), default=1)
    return sum(max(0, usable - min(_SLACK * (largest - 1), _SLACK * _CLUSTER)) for usable in api.areas_usable())


def _wanted(promised: dict[tuple[int, int], int]) -> int:
    """Pages that may have to be out at one time. Folios that are smaller than others may hold twice the clusters they fill
    (engine/cluster.py), which then are no use to the larger ones."""
    out = sum(
        max(0, sum(pages for (of, _), pages in promised.items() if of == space) - api.space_budget(space))
        for space in sorted(_spaces)  # of its own: one may go at any allocation made here
    )
    if out == 0:
        return 0
    largest = max(folio for (_, folio), pages in promised.items() if pages)
    small = sum(pages for (_, folio), pages in promised.items() if folio < largest)
    return out + min(small, out)
