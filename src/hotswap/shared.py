"""``SharedArray``: memory that several spaces of this process map, swapped as one."""

import errno
import os
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import commit, control
from .arena import limit_pages, order_of, set_limit
from .counts import stats_of
from .engine import api
from .errors import OutOfSwap, SizeError, SpaceError, UnsupportedError
from .sizes import PAGE, format_size
from .snapshot import limit_for
from .space import Space, _measure

_ORDER = 4  # of its folios, which have one size: 64 KiB, where neither it nor the space was given one


class _Object:
    """The engine's object; lives as long as a ``SharedArray`` or any array on it."""

    __slots__ = ("folio", "index", "pages")

    def __init__(self, pages: int, order: int, limit: int, features: int):
        self.index, self.pages, self.folio = -1, pages, 1 << order
        index = api.shared_create(pages, limit, order, features)
        if index == -errno.EMFILE:
            raise SpaceError("a shared array is refused: 64 spaces and shared arrays exist in this process; close one first.")
        if index == -errno.ENOSYS:
            raise UnsupportedError(
                "this kernel's userfaultfd has no minor faults on shared memory; Linux 5.14 or newer is needed."
            )
        if index < 0:
            raise UnsupportedError(f"shared memory of {format_size(pages * PAGE)} cannot be had ({os.strerror(-index)}).")
        self.index = index
        try:
            commit.promise(index, pages)
        except BaseException:
            self.destroy()
            raise

    def destroy(self) -> None:
        index, self.index = self.index, -1
        if index >= 0 and not control.forked:
            api.commit_drop(index)
            api.shared_destroy(index)

    def __del__(self) -> None:
        self.destroy()


class _View:
    """Where it is attached: a range of a space's arena, which goes with the last array on it."""

    __slots__ = ("__array_interface__", "__weakref__", "object", "space", "start")

    def __init__(self, object_: _Object, space: Space, nbytes: int):
        index = space._open()
        space._array_comes()
        start = int(api.shared_attach(index, object_.index))
        if start < 0:
            space._arrays_gone()
            if start == -errno.EMFILE:
                raise SpaceError(
                    "the shared array is attached 32 times, which is all there can be; drop one of its arrays first."
                )
            if start == -errno.ENOSYS:
                raise UnsupportedError("the space protects memory in another way than the one the shared array was made in.")
            raise OutOfSwap(
                f"a shared array of {format_size(nbytes)} cannot be attached ({os.strerror(-start)}); free arrays of that space or "
                "use another one."
            )
        self.object, self.space, self.start = object_, space, start
        address = api.space_base(index) + start * PAGE
        self.__array_interface__ = {"data": (address, False), "shape": (nbytes,), "typestr": "|u1", "version": 3}

    def __del__(self) -> None:
        if hasattr(self, "__array_interface__") and not control.forked:
            api.space_unmap(self.space._index, self.start)
            self.space._arrays_gone()


class SharedArray:
    """One array that several spaces of this process map: what is written through one is read through all. It reads as zeros at first.

    ``space`` is the first to map it: ``shared.array`` is a plain ``numpy.ndarray`` there, ``shared.attach(other)`` one in another
    space. ``shape``, ``dtype`` and ``order`` are those of ``Space.empty``. ``limit``: bytes of it that may be in memory, its
    staging frames included, on top of the limits of the spaces; None: an eighth of the first space's. ``folio``: the unit that is
    paged; None: that of the first space.

    It is paged as one thing: in memory once, whoever maps it, with a slot of its own for each page, and a swapoff visits it as it
    visits a space. Arrays of it stay valid when the ``SharedArray`` goes; memory and slots are free when all have gone. It
    is for the spaces of one process so far; sharing it with other processes comes later, and it cannot be pickled until then.

    Raises ``OutOfSwap`` (a ``MemoryError``) when limits and areas could not hold it, ``UnsupportedError`` before Linux 5.14.
    """

    def __init__(
        self,
        space: Space,
        shape: int | Sequence[int],
        dtype: DTypeLike = float,
        order: Literal["C", "F"] = "C",
        *,
        limit: int | str | None = None,
        folio: int | str | None = None,
    ):
        index = space._open()
        self._dtype, self._shape, self._nbytes = _measure(shape, dtype)
        self._layout: Literal["C", "F"] = order
        if self._nbytes == 0:
            raise SizeError(f"a shared array of shape {self._shape} holds nothing; give it at least one element.")
        pages = -(-self._nbytes // PAGE)
        given = space._order if folio is None else order_of(folio)
        self._order = min(given if given >= 0 else _ORDER, (pages - 1).bit_length())
        least = api.least_limit(self._order) * PAGE
        wanted = limit_pages(max(int(limit_for(space, None)), least) if limit is None else limit, self._order)
        self._object = _Object(-(-pages >> self._order) << self._order, self._order, wanted, api.space_features(index))
        self.array: NDArray[Any] = self.attach(space)

    def attach(self, space: Space) -> NDArray[Any]:
        """The same memory as an array in ``space``, writable like any. Each call maps it anew, up to 32 times at a time."""
        view = _View(self._object, space, self._nbytes)
        return np.ndarray(self._shape, self._dtype, buffer=np.asarray(view), order=self._layout)

    @property
    def limit(self) -> int:
        """Bytes of it that may be in memory; set it at any time. Lowering waits until enough has left."""
        return int(api.space_figures(self._object.index)["limit"]) * PAGE

    @limit.setter
    def limit(self, limit: int | str) -> None:
        set_limit(self._object.index, limit, self._order)

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return self._nbytes

    def stats(self) -> dict[str, int]:
        """As ``Space.stats()``: what paging it has cost, by whichever space."""
        return stats_of(api.space_figures(self._object.index))

    def __reduce__(self) -> NoReturn:
        raise UnsupportedError(
            "a SharedArray is for the spaces of one process so far and cannot be pickled; pass a copy of its array."
        )

    def __repr__(self) -> str:
        figures = self.stats()
        return (
            f"<SharedArray {self._shape} {self._dtype}: {format_size(figures['resident_bytes'])} of "
            f"{format_size(figures['limit_bytes'])} resident>"
        )
