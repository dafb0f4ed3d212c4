"""``Space.snapshot()``: read-only arrays with the bytes that a space's arrays have now.

A snapshot is an address space of its own, a fork of the space (engine/fork.py): what both have not written since lies in one
slot, counted for both. It counts in full as promised memory, as the two may come to differ in every page.
"""

import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .engine import api
from .errors import OutOfSwap, SpaceError
from .sizes import PAGE, format_size

if TYPE_CHECKING:
    from .space import Space

_SHARE = 8  # the snapshot's limit is that part of the space's, unless given


class Snapshot:
    """What the arrays of a space held at one moment; ``array_of(a)`` reads it. Made by ``Space.snapshot()``.

    Arrays got from it stay valid when it goes. Slots that only the snapshot refers to are free when it and its arrays have gone.
    """

    def __init__(self, space: "Space", copy: "Space"):
        """``copy`` is a new space with the same folios, which this fills."""
        from .space import _Extent

        self._space = copy
        self._base = api.space_base(space._index)
        self._extents: list[_Extent] = []
        result = api.space_dup(space._index, copy._index)
        if result == -errno.EBUSY:
            raise SpaceError(
                "a snapshot is refused: an array is kept resident for a device or a system call; let go of it first."
            )
        if result == -errno.ENOSPC:
            raise OutOfSwap("a snapshot is refused: the areas have no room for what has to be written out for it; add an area.")
        if result == -errno.EOPNOTSUPP:
            raise SpaceError(
                "a snapshot is refused: a SharedArray is attached to the space, which several write; drop its arrays first."
            )
        if result:
            raise SpaceError(f"a snapshot cannot be made ({os.strerror(-result)}).")
        ranges = api.space_ranges(copy._index)
        try:
            for start, pages, order in ranges:
                copy._array_comes()
                self._extents.append(_Extent(copy, pages, order, pages * PAGE, start=start))
        except BaseException:
            copy._arrays_gone()
            for start, _pages, _order in ranges[len(self._extents) :]:
                api.space_unmap(copy._index, start)
            self._extents.clear()
            raise

    def array_of(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array as it was: read-only, of the same shape, dtype and strides. ``array`` is one of the space, or a view of one.

        Raises ``SpaceError`` for an array of elsewhere, or one that was made after the snapshot.
        """
        if not self._base:
            raise SpaceError("the snapshot is closed; make a new one.")
        if array.size == 0:
            empty = np.empty(array.shape, array.dtype)
            empty.flags.writeable = False
            return empty
        low, high = np.lib.array_utils.byte_bounds(array)
        for extent in self._extents:
            first = self._base + extent.start * PAGE
            if first <= low and high <= first + extent.pages * PAGE:
                offset = array.__array_interface__["data"][0] - first
                return np.ndarray(array.shape, array.dtype, np.asarray(extent), offset, array.strides)
        raise SpaceError("the array is not one that the space had when the snapshot was made; give one of those.")

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays in it, whole pages."""
        return sum(extent.pages for extent in self._extents) * PAGE

    def stats(self) -> dict[str, int]:
        """As of a space: what reading the snapshot costs."""
        return self._space.stats()

    def close(self) -> None:
        """Lets go of everything that no array got from it still needs."""
        self._extents.clear()
        self._base = 0

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Snapshot: {len(self._extents)} arrays, {format_size(self.nbytes)}>"


def limit_for(space: "Space", limit: int | str | None) -> int | str:
    """An eighth of the space's, but what faults need."""
    least = api.least_limit(space._order) * PAGE
    return max(space.limit // _SHARE, least) if limit is None else limit
