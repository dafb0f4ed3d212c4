"""``SharedArray``: memory that several spaces map, of one process or of a family of them, swapped as one."""

import ast
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
    """The engine's object, as this process has it open: as long as a ``SharedArray`` or any array on it lives here."""

    __slots__ = ("folio", "index", "pages")

    def __init__(self, pages: int, order: int, limit: int, features: int):
        self.index, self.pages, self.folio = -1, pages, 1 << order
        index = api.shared_create(pages, limit, order, features)
        if index == -errno.EMFILE:
            raise SpaceError("a shared array is refused: 64 spaces and shared arrays exist in this process; close one first.")
        if index == -errno.ENOSPC:
            raise SpaceError("a shared array is refused: others have all of the family's limit; close one, or raise it.")
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

    @classmethod
    def named(cls, name: str) -> tuple["_Object", dict[str, Any]]:
        """What a process of the family made under that name, and what it said of it."""
        index, pages, order, info = api.shared_open(name.encode())
        if index == -errno.ENOENT:
            raise SpaceError(
                f"there is no shared array {name!r} in this family of processes; make it first, with a shape, or start the process by fork."
            )
        if index < 0:
            raise SpaceError(
                f"shared array {name!r} cannot be opened ({os.strerror(-index)}): its processes let this one not look at what they have open."
            )
        self = cls.__new__(cls)
        self.index, self.pages, self.folio = index, pages, 1 << order
        return self, ast.literal_eval(info.decode())

    def destroy(self) -> None:
        index, self.index = self.index, -1
        if index >= 0 and not control.forked:
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
                    "the shared array is attached 128 times, which is all there can be; drop one of its arrays first."
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
    """One array that several spaces map, of this process and of those forked from it: what is written through one is read through all.
    It reads as zeros at first.

    ``space`` is the first to map it: ``shared.array`` is a plain ``numpy.ndarray`` there, ``shared.attach(other)`` one in another
    space. ``shape``, ``dtype`` and ``order`` are those of ``Space.empty``. ``limit``: bytes of it that may be in memory, its
    staging frames included, on top of the limits of the spaces; None: an eighth of the first space's. ``folio``: the unit that is
    paged; None: that of the first space.

    It is paged as one thing: in memory once, whoever maps it, with a slot of its own for each page, and a swapoff visits it as it
    visits a space. Arrays of it stay valid when the ``SharedArray`` goes; memory and slots are free when all have gone, in all processes.

    A child of fork has what its parent had attached, at the same places. ``name``: other processes of the family attach it by that,
    ``SharedArray(space, name="grid")``, without a shape, which the name stands for; also those that were forked before it was made.
    ``unlink()`` makes the name free, for another one; the array stays as long as somebody has it.

    Raises ``OutOfSwap`` (a ``MemoryError``) when limits and areas could not hold it, ``UnsupportedError`` before Linux 5.14.
    """

    def __init__(
        self,
        space: Space,
        shape: int | Sequence[int] | None = None,
        dtype: DTypeLike = float,
        order: Literal["C", "F"] = "C",
        *,
        limit: int | str | None = None,
        folio: int | str | None = None,
        name: str | None = None,
    ):
        index = space._open()
        self._name = name
        if shape is None:
            self._find(space, limit, folio)
            return
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
        if name is not None:
            self._call(name)
        self.array: NDArray[Any] = self.attach(space)

    def _find(self, space: Space, limit: int | str | None, folio: int | str | None) -> None:
        """Another process's, by its name."""
        if self._name is None:
            raise SizeError("a shared array needs a shape, or the name of one that there is.")
        if limit is not None or folio is not None:
            raise SpaceError(f"shared array {self._name!r} is attached, and has the limit and the folios it was made with.")
        self._object, info = _Object.named(self._name)
        self._order = self._object.folio.bit_length() - 1
        self._dtype, self._shape, self._layout = np.dtype(info["dtype"]), info["shape"], info["order"]
        self._nbytes = info["nbytes"]
        self.array = self.attach(space)

    def _call(self, name: str) -> None:
        what = np.lib.format.dtype_to_descr(self._dtype)
        info = {"dtype": what, "shape": self._shape, "order": self._layout, "nbytes": self._nbytes}
        result = api.shared_name(self._object.index, name.encode(), repr(info).encode())
        if result == -errno.EEXIST:
            raise SpaceError(f"there is a shared array {name!r} already; unlink() it first, or leave out the shape to attach it.")
        if result:
            raise SpaceError(
                f"name {name!r} is refused: it has 1 to 256 bytes, and a dtype whose description has no more than a thousand."
            )

    @property
    def name(self) -> str | None:
        """What others find it by; None: it has no name, or none any more."""
        return self._name

    def unlink(self) -> None:
        """Nobody finds it by its name from now on. Raises ``SpaceError`` when it has none."""
        name, self._name = self._name, None
        if name is None or api.shared_unname(name.encode()):
            raise SpaceError("the shared array has no name, or somebody has unlinked it.")

    def attach(self, space: Space) -> NDArray[Any]:
        """The same memory as an array in ``space``, writable like any. Each call maps it anew, up to 128 times at a time in all processes."""
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
            "a SharedArray cannot be pickled: children of fork have it without, others of the family attach it by its name."
        )

    def __repr__(self) -> str:
        figures = self.stats()
        return (
            f"<SharedArray {self._shape} {self._dtype}: {format_size(figures['resident_bytes'])} of "
            f"{format_size(figures['limit_bytes'])} resident>"
        )
