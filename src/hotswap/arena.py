"""``Arena``: an address space with a limit on what of it is in memory; what a ``Space`` and the heap of `hotswap run` are.

Knows nothing of NumPy, so that a program which does not use it need not load it.
"""

import errno
import os
import threading
import weakref
from typing import Literal, Self

from . import control, machine
from .counts import stats_of
from .engine import api
from .errors import OutOfSwap, SizeError, SpaceError, UnsupportedError
from .sizes import PAGE, format_size, parse_size

FOLIO_ORDERS = range(10)  # 4 KiB to 2 MiB
_arenas: "weakref.WeakSet[Arena]" = weakref.WeakSet()


def _in_child() -> None:
    """After fork: a lock may be held by a thread of the parent's that is not here."""
    for arena in list(_arenas):
        arena._lock = threading.RLock()


os.register_at_fork(after_in_child=_in_child)


def order_of(folio: int | str | None) -> int:
    """The logarithm of a folio's pages; ``api.ADAPTIVE`` for None. Raises ``SizeError`` for what is no folio."""
    if folio is None:
        return int(api.ADAPTIVE)
    size = parse_size(folio, "folio")
    order = (size // PAGE).bit_length() - 1
    if order not in FOLIO_ORDERS or PAGE << order != size:
        raise SizeError(f"folio {folio!r} is not a power of two from 4K to 2M; choose one that is.")
    return order


def limit_pages(limit: int | str, order: int) -> int:
    """Pages in a limit. Raises ``SizeError`` for one with which faults could not be served."""
    pages = parse_size(limit, "limit", whole=machine.memory) // PAGE
    least = api.least_limit(order)
    if pages < least:
        given = f" with folios of {format_size(PAGE << order)}" if order >= 0 else ""
        smaller = ", or smaller folios" if order >= 0 else ""
        raise SizeError(f"limit {limit!r} is below what faults need{given}; give at least {format_size(least * PAGE)}{smaller}.")
    return pages


def set_limit(index: int, limit: int | str, order: int) -> None:
    """Of a space or a shared array, by its number in the engine. Waits until enough has left."""
    result = api.space_limit(index, limit_pages(limit, order))
    if result == -errno.EINVAL:
        raise SizeError(
            f"limit {limit!r} is below what pinned arrays, staging frames and faults need now; unpin some or give more."
        )
    if result:
        raise OutOfSwap(
            f"limit {limit!r} cannot be reached: the areas have no room for what would have to leave; add one. The limit is as before."
        )


class Arena:
    """An address space of the engine: ``limit``, ``folio`` and ``faults`` as ``Space`` tells them."""

    def __init__(self, limit: int | str, folio: int | str | None = None, *, faults: Literal["thread", "signal"] | None = None):
        self._index = -1
        if control.forked:
            raise UnsupportedError(control.FORKED)
        self._folio = folio
        self._order = order_of(folio)
        self._lock = threading.RLock()  # an array may die at any allocation made under it
        self._extents = 0
        pages = limit_pages(limit, self._order)
        control.require_userfaultfd()
        refuse = api.MOVE | api.SHARED_WRITE_PROTECT if "copy" in os.environ.get("HOTSWAP_MMU", "") else 0
        how = os.environ.get("HOTSWAP_FAULTS", "thread") if faults is None else faults
        if how not in ("thread", "signal"):
            raise SpaceError(f"faults {how!r} is neither 'thread' nor 'signal'; choose one of them.")
        index = api.space_create(pages, self._order, refuse, how == "signal")
        if index == -errno.EMFILE:
            raise SpaceError("a space is refused: 64 exist in this process; close one first.")
        if index == -errno.ENOSPC:
            raise SpaceError(
                "a space is refused: others have all of the family's limit; close one, or raise it (hotswap.configure)."
            )
        if index == -errno.ENOSYS and how == "signal":
            raise UnsupportedError("faults 'signal' is refused: it needs Linux on x86-64; use 'thread'.")
        if index < 0:
            raise UnsupportedError(
                f"a space cannot be made ({os.strerror(-index)}); 'hotswap check' says what this machine lacks."
            )
        self._index = index
        self._signal = how == "signal"
        _arenas.add(self)
        api.steer_open()

    @property
    def limit(self) -> int:
        """Bytes that may be resident; set it at any time. Lowering waits until enough has left."""
        return int(api.space_figures(self._open())["limit"]) * PAGE

    @limit.setter
    def limit(self, limit: int | str) -> None:
        set_limit(self._open(), limit, self._order)

    def _open(self) -> int:
        """The engine's number of this space; ``SpaceError`` when it is closed."""
        if self._index < 0:
            raise SpaceError("the space is closed; make a new one.")
        return self._index

    def stats(self) -> dict[str, int]:
        """Figures since the space was made: faults by kind, bytes in and out, readahead, refaults, bytes resident now; in bytes,
        nanoseconds (``wait_ns``) or times."""
        return stats_of(api.space_figures(self._open()))

    def close(self) -> None:
        """Gives everything back. Raises ``SpaceError`` while arrays of it live."""
        with self._lock:
            if self._index < 0:
                return
            if used := max(self._extents, api.heap_close(self._index)):
                raise SpaceError(f"the space has {used} arrays that are still in use; drop them first.")
            index, self._index = self._index, -1
        self._destroy(index)

    def _array_comes(self) -> None:
        with self._lock:
            self._extents += 1

    def _arrays_gone(self) -> None:
        with self._lock:
            self._extents -= 1

    def _destroy(self, index: int) -> None:
        api.heap_close(index)  # what was kept for reuse
        api.commit_drop(index)
        api.space_destroy(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Arrays hold their space through their extents, so none is left here.
        index = getattr(self, "_index", -1)
        if index >= 0 and not control.forked:
            self._destroy(index)

    def __repr__(self) -> str:
        if self._index < 0:
            return "<Space, closed>"
        figures = self.stats()
        return f"<Space: {format_size(figures['resident_bytes'])} of {format_size(figures['limit_bytes'])} resident, {self._extents} arrays>"
