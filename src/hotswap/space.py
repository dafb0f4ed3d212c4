"""``Space``: arrays whose pages are in memory only as far as a limit allows."""

import contextlib
import errno
import math
import operator
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import commit, control
from .arena import Arena, order_of
from .engine import api
from .errors import DtypeError, OutOfSwap, SizeError, SpaceError
from .sizes import PAGE, format_size
from .snapshot import Snapshot, limit_for


def _measure(shape: int | Sequence[int], dtype: DTypeLike) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """The dtype, the shape and the bytes of an array that may be swapped; what may not be is refused."""
    kind = np.dtype(dtype)
    if kind.hasobject:
        raise DtypeError(f"dtype {kind} holds Python objects, which cannot be swapped; use a plain NumPy array for them.")
    dims = (int(shape),) if isinstance(shape, int | np.integer) else tuple(operator.index(n) for n in shape)
    if any(n < 0 for n in dims):
        raise SpaceError(f"shape {dims} has a negative dimension; give sizes of zero or more.")
    return kind, dims, math.prod(dims, start=int(kind.itemsize))


def _element(kind: np.dtype[Any]) -> int:
    """Bytes of what an array consists of, as compression sees it: numbers, the parts of complex ones, characters; else records."""
    return (
        {"c": kind.itemsize // 2, "U": 4, "S": 1}.get(kind.kind, kind.itemsize) if kind.subdtype is None else _element(kind.base)
    )


class _Extent:
    """A range of a space's arena; lives as long as any array on it and gives memory and slots back at its end."""

    __slots__ = ("__array_interface__", "__weakref__", "pages", "space", "start")

    def __init__(self, space: "Space", pages: int, order: int, nbytes: int, start: int | None = None, element: int = 0):
        """``element``: bytes of one, for compression; ``start``: a range that is there already, as a fork leaves it, for reading."""
        mine = start is None
        commit.promise(space._index, pages)
        if start is None:
            start = int(api.space_map(space._index, pages, order, element))
        if start < 0:
            api.commit_take_back(space._index, pages)
            raise OutOfSwap(
                f"an array of {format_size(nbytes)} is refused: the space has no addresses left; free arrays or use another space."
            )
        self.space, self.start, self.pages = space, start, pages
        address = api.space_base(space._index) + start * PAGE
        self.__array_interface__ = {"data": (address, not mine), "shape": (nbytes,), "typestr": "|u1", "version": 3}

    def __del__(self) -> None:
        if hasattr(self, "__array_interface__") and not control.forked:  # arenas are not inherited
            api.space_unmap(self.space._index, self.start)
            api.commit_take_back(self.space._index, self.pages)
            self.space._arrays_gone()


class Space(Arena):
    """An address space with a hard limit on resident memory.

    ``limit``: bytes, or text such as ``"512M"`` or ``"25%"`` (of the memory that the process may have); staging frames are in it. ``folio``: the unit that is paged. None: what suits, by how
    memory is used, from 4 KiB for scattered accesses to 1 MiB for scans. Or always this, a power of two from 4K to 2M; arrays may
    ask for a smaller one.

    A thread that touches a page for which there is neither memory nor a slot waits until there is; so that this does not
    come as a surprise, making an array raises ``OutOfSwap`` (a ``MemoryError``) when limits and areas could not hold it.

    ``faults``: who brings a page in. ``"thread"``: threads of the engine, whatever the program does. ``"signal"``: the thread that
    touched it, in a handler of SIGBUS; single scattered touches are a third faster so. It asks that no thread of the program
    blocks SIGBUS and that nobody takes that signal later (``faulthandler.enable()`` comes before the space), and system calls
    on what is swapped out then fail with EFAULT, also for root. None takes ``HOTSWAP_FAULTS``, else ``"thread"``.
    """

    def empty(
        self,
        shape: int | Sequence[int],
        dtype: DTypeLike = float,
        order: Literal["C", "F"] = "C",
        *,
        folio: int | str | None = None,
    ) -> NDArray[Any]:
        """A plain, writable array in this space; it reads as zeros. Any dtype without Python objects."""
        self._open()
        kind, dims, nbytes = _measure(shape, dtype)
        if nbytes == 0:
            return np.empty(dims, kind, order)
        most = self._order if self._order >= 0 else api.LARGEST_ORDER
        wanted = most if folio is None else order_of(folio)
        if wanted > most:
            raise SizeError(f"folio {folio!r} is larger than the space's; make a Space(folio={folio!r}).")
        pages = -(-nbytes // PAGE)
        if self._order >= 0:  # folios of one size, no larger than the array, and whole
            fold = min(wanted, (pages - 1).bit_length())
            pages = -(-pages >> fold) << fold
        else:
            fold = min(wanted, pages.bit_length() - 1)
        self._array_comes()
        try:
            extent = _Extent(self, pages, fold, nbytes, element=_element(kind))
        except BaseException:
            self._arrays_gone()
            raise
        return np.ndarray(dims, kind, buffer=np.asarray(extent), order=order)

    def zeros(
        self, shape: int | Sequence[int], dtype: DTypeLike = float, order: Literal["C", "F"] = "C", **options: Any
    ) -> NDArray[Any]:
        """An array of zeros; nothing is written, pages appear when touched."""
        return self.empty(shape, dtype, order, **options)

    def full(
        self,
        shape: int | Sequence[int],
        fill_value: Any,
        dtype: DTypeLike | None = None,
        order: Literal["C", "F"] = "C",
        **options: Any,
    ) -> NDArray[Any]:
        """An array of one value; folios of it that are swapped out take no slot."""
        array = self.empty(shape, np.asarray(fill_value).dtype if dtype is None else dtype, order, **options)
        array[...] = fill_value
        return array

    def array(
        self, object: ArrayLike, dtype: DTypeLike | None = None, order: Literal["K", "C", "F"] = "K", **options: Any
    ) -> NDArray[Any]:
        """A copy of ``object`` in this space; ``order`` "K" keeps Fortran order."""
        source = np.asarray(object, dtype)
        fortran = order == "F" or (order == "K" and source.flags.f_contiguous and not source.flags.c_contiguous)
        array = self.empty(source.shape, source.dtype, "F" if fortran else "C", **options)
        array[...] = source
        return array

    def empty_like(self, prototype: ArrayLike, dtype: DTypeLike | None = None, **options: Any) -> NDArray[Any]:
        """An array of the prototype's shape and, unless given, dtype."""
        source = np.asarray(prototype)
        fortran = source.flags.f_contiguous and not source.flags.c_contiguous
        return self.empty(source.shape, source.dtype if dtype is None else dtype, "F" if fortran else "C", **options)

    @contextlib.contextmanager
    def resident(self, array: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Keeps an array (or a view) of this space in memory and writable while the block runs, for a device or a system call.

        Raises ``SpaceError`` for an array of elsewhere, ``OutOfSwap`` when the limit would not leave faults enough.
        """
        self._open()
        if array.size == 0:
            yield array
            return
        low, high = np.lib.array_utils.byte_bounds(array)
        index = self._open()
        base = api.space_base(index)
        first, end = (low - base) // PAGE, -(-(high - base) // PAGE)
        result = api.space_pin(index, first, end - first) if first >= 0 else -errno.EFAULT
        if result == -errno.EFAULT:
            raise SpaceError("the array is not one of this space; make it with this space's empty() or array().")
        if result == -errno.ENOMEM:
            raise OutOfSwap(
                f"{format_size(high - low)} cannot be kept in memory within the limit, which leaves faults their share; raise it or take a part."
            )
        if result:
            raise SpaceError(f"the array cannot be kept in memory: {os.strerror(-result)}; the log names the page.")
        try:
            yield array
        finally:
            api.space_unpin(index, first, end - first)

    def snapshot(self, limit: int | str | None = None) -> Snapshot:
        """What all arrays of the space hold now, for reading: ``space.snapshot().array_of(a)``.

        Slots are shared, until the space writes. What is in memory and not in an area yet is written there first; faults of the
        space wait meanwhile. ``limit``: what of the snapshot may be in memory, on top of the space's own; None: an eighth of its.
        Raises ``OutOfSwap`` when limits and areas could not hold both, ``SpaceError`` while an array is kept ``resident``.
        """
        self._open()
        how: Literal["thread", "signal"] = "signal" if self._signal else "thread"
        return Snapshot(self, Space(limit_for(self, limit), self._folio, faults=how))
