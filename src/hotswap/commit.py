"""What may be promised: arrays are refused when limits and areas together could not hold them.

A fault that finds no room can only wait, so room is looked at when an array is made, while a MemoryError can still be raised.
Pages count in full, touched or not, as the kernel does with ``vm.overcommit_memory=2``. Switching an area off afterwards can
make promises exceed the room; swapoff itself only asks whether what was written fits.
"""

import threading

from .errors import OutOfSwap
from .sizes import PAGE, format_size

_lock = threading.RLock()  # an array may die, and be taken back here, at any allocation made under it
_areas: dict[int, int] = {}  # type: usable pages
_budgets: dict[int, int] = {}  # space: pages it may keep in memory
_promised: dict[int, int] = {}  # space: pages of its arrays
_SLACK = 1024  # pages of an area that large folios may not be able to use: its first and its last cluster


def add_area(type_: int, usable: int) -> None:
    with _lock:
        _areas[type_] = usable


def remove_area(type_: int) -> None:
    with _lock:
        _areas.pop(type_, None)


def set_budget(space: int, pages: int) -> None:
    with _lock:
        _budgets[space] = pages
        _promised.setdefault(space, 0)


def drop_space(space: int) -> None:
    with _lock:
        _budgets.pop(space, None)
        _promised.pop(space, None)


def promise(space: int, pages: int, folio_pages: int) -> None:
    """Counts an array's pages in. Raises ``OutOfSwap`` when that is more than fits."""
    with _lock:
        slack = 0 if folio_pages == 1 else min(_SLACK, 2 * folio_pages)
        room = sum(max(0, usable - slack) for usable in _areas.values())
        wanted = sum(max(0, _promised[s] + (pages if s == space else 0) - _budgets[s]) for s in _budgets)
        if wanted > room:
            raise OutOfSwap(
                f"an array of {format_size(pages * PAGE)} is refused: with it, {format_size(wanted * PAGE)} might have to be "
                f"swapped out and the areas that are on hold {format_size(room * PAGE)}; add an area (hotswap.swapon), raise the "
                "limit or free arrays."
            )
        _promised[space] += pages


def take_back(space: int, pages: int) -> None:
    with _lock:
        if space in _promised:
            _promised[space] -= pages
