"""``Space``: arrays whose pages are in memory only as far as a limit allows."""

import contextlib
import errno
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import commit, control, machine
from .counts import stats_of
from .engine import api
from .errors import DtypeError, OutOfSwap, SizeError, SpaceError, UnsupportedError
from .sizes import PAGE, format_size, parse_size
from .snapshot import Snapshot, limit_for

FOLIO_ORDERS = range(10)  # 4 KiB to 2 MiB


def _forked() -> bool:
    """Arenas are not inherited: in a child of fork there is nothing to give back."""
    return control.forked


def _order(folio: int | str) -> int:
    size = parse_size(folio, "folio")
    order = (size // PAGE).bit_length() - 1
    if order not in FOLIO_ORDERS or PAGE << order != size:
        raise SizeError(f"folio {folio!r} is not a power of two from 4K to 2M; choose one that is.")
    return order


class _Extent:
    """A range of a space's arena; lives as long as any array on it and gives memory and slots back at its end."""

    __slots__ = ("__array_interface__", "__weakref__", "order", "pages", "space", "start")

    def __init__(self, space: "Space", pages: int, order: int, nbytes: int, start: int | None = None):
        """``start``: a range that is there already, as a fork leaves it, for reading."""
        mine = start is None
        commit.promise(space._index, pages, order)
        if start is None:
            start = int(api.space_map(space._index, pages, order))
        if start < 0:
            api.commit_take_back(space._index, pages, order)
            raise OutOfSwap(
                f"an array of {format_size(nbytes)} is refused: the space has no addresses left; free arrays or use another space."
            )
        self.space, self.start, self.pages, self.order = space, start, pages, order
        address = api.space_base(space._index) + start * PAGE
        self.__array_interface__ = {"data": (address, not mine), "shape": (nbytes,), "typestr": "|u1", "version": 3}

    def __del__(self) -> None:
        if hasattr(self, "__array_interface__") and not _forked():
            api.space_unmap(self.space._index, self.start)
            api.commit_take_back(self.space._index, self.pages, self.order)
            self.space._arrays_gone()


class Space:
    """An address space with a hard limit on resident memory.

    ``limit``: bytes, or text such as ``"512M"`` or ``"25%"`` (of the memory that the process may have); staging frames are in it. ``folio``: the unit that is paged, a power of two from
    4K to 2M; arrays may ask for a smaller one. Large folios suit sequential work, 4K suits scattered single accesses.

    A thread that touches a page for which there is neither memory nor a slot waits until there is; so that this does not
    come as a surprise, making an array raises ``OutOfSwap`` (a ``MemoryError``) when limits and areas could not hold it.

    ``faults``: who brings a page in. ``"thread"``: threads of the engine, whatever the program does. ``"signal"``: the thread that
    touched it, in a handler of SIGBUS; single scattered touches are a third faster so. It asks that no thread of the program
    blocks SIGBUS and that nobody takes that signal later (``faulthandler.enable()`` comes before the space), and system calls
    on what is swapped out then fail with EFAULT, also for root. None takes ``HOTSWAP_FAULTS``, else ``"thread"``.
    """

    def __init__(self, limit: int | str, folio: int | str = "64K", *, faults: Literal["thread", "signal"] | None = None):
        self._index = -1
        if _forked():
            raise UnsupportedError(control.FORKED)
        self._order = _order(folio)
        self._lock = threading.RLock()  # an array may die at any allocation made under it
        self._extents = 0
        pages = self._limit_pages(limit)
        control.require_userfaultfd()
        refuse = api.MOVE | api.SHARED_WRITE_PROTECT if os.environ.get("HOTSWAP_MMU") == "copy" else 0
        how = os.environ.get("HOTSWAP_FAULTS", "thread") if faults is None else faults
        if how not in ("thread", "signal"):
            raise SpaceError(f"faults {how!r} is neither 'thread' nor 'signal'; choose one of them.")
        index = api.space_create(pages, self._order, refuse, how == "signal")
        if index == -errno.EMFILE:
            raise SpaceError("a space is refused: 64 exist in this process; close one first.")
        if index == -errno.ENOSYS and how == "signal":
            raise UnsupportedError("faults 'signal' is refused: it needs Linux on x86-64; use 'thread'.")
        if index < 0:
            raise UnsupportedError(
                f"a space cannot be made ({os.strerror(-index)}); 'hotswap check' says what this machine lacks."
            )
        self._index = index
        self._signal = how == "signal"
        api.steer_open()

    def _limit_pages(self, limit: int | str) -> int:
        pages = parse_size(limit, "limit", whole=machine.memory) // PAGE
        least = api.least_limit(self._order)
        if pages < least:
            raise SizeError(
                f"limit {limit!r} is below what faults need with folios of {format_size(PAGE << self._order)}; "
                f"give at least {format_size(least * PAGE)}, or smaller folios."
            )
        return pages

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
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise DtypeError(f"dtype {kind} holds Python objects, which cannot be swapped; use a plain NumPy array for them.")
        dims = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        if any(n < 0 for n in dims):
            raise SpaceError(f"shape {dims} has a negative dimension; give sizes of zero or more.")
        nbytes = kind.itemsize
        for n in dims:
            nbytes *= int(n)
        if nbytes == 0:
            return np.empty(dims, kind, order)
        wanted = self._order if folio is None else _order(folio)
        if wanted > self._order:
            raise SizeError(f"folio {folio!r} is larger than the space's; make a Space(folio={folio!r}).")
        pages = -(-nbytes // PAGE)
        fold = min(wanted, (pages - 1).bit_length())  # no folio larger than the array
        pages = -(-pages >> fold) << fold
        self._array_comes()
        try:
            extent = _Extent(self, pages, fold, nbytes)
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
                f"{format_size(high - low)} cannot be kept in memory within the limit of {format_size(self.limit)}; raise it or take a part."
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
        return Snapshot(self, Space(limit_for(self, limit), PAGE << self._order, faults=how))

    @property
    def limit(self) -> int:
        """Bytes that may be resident; set it at any time. Lowering waits until enough has left."""
        return int(api.space_figures(self._open())["limit"]) * PAGE

    @limit.setter
    def limit(self, limit: int | str) -> None:
        pages = self._limit_pages(limit)
        result = api.space_limit(self._open(), pages)
        if result == -errno.EINVAL:
            raise SizeError(
                f"limit {limit!r} is below what pinned arrays, staging frames and faults need now; unpin some or give more."
            )
        if result:
            raise OutOfSwap(
                f"limit {limit!r} cannot be reached: the areas have no room for what would have to leave; add one. The limit is as before."
            )

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
            if self._extents:
                raise SpaceError(f"the space has {self._extents} arrays that are still in use; drop them first.")
            index, self._index = self._index, -1
        self._destroy(index)

    def _array_comes(self) -> None:
        with self._lock:
            self._extents += 1

    def _arrays_gone(self) -> None:
        with self._lock:
            self._extents -= 1

    def _destroy(self, index: int) -> None:
        api.commit_drop(index)
        api.space_destroy(index)

    def __enter__(self) -> "Space":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Arrays hold their space through their extents, so none is left here.
        index = getattr(self, "_index", -1)
        if index >= 0 and not _forked():
            self._destroy(index)

    def __repr__(self) -> str:
        if self._index < 0:
            return "<Space, closed>"
        figures = self.stats()
        return f"<Space: {format_size(figures['resident_bytes'])} of {format_size(figures['limit_bytes'])} resident, {self._extents} arrays>"
