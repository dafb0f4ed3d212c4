"""A checked array: each page carries a 64-bit sum, taken from the data written and compared with the page read back.

The sum of a page is the sum, modulo 2**64, of its 512 words, each times an odd weight of its own. It is linear, so
pieces of a page may be written by different threads, in any order, and their contributions are added; and an odd
weight has an inverse, so no change of a single word goes unseen (a zeroed, stale or misplaced page goes unseen with
a chance of about 2**-64). It costs some 10% of a copy and a 512th of the memory, in ordinary RAM.

What the caller owes: between ``restart`` and the first read every element is written exactly once (``add_at`` apart),
and nothing reads a page before its writers are done. Readers get copies, and it is the copy that was checked.
``_lock`` guards ``_sums``; the ledger has its own lock and is entered last. Only access to ``array`` may fault.
"""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..sizes import PAGE

Make = Callable[[tuple[int, ...], DTypeLike], NDArray[Any]]  # numpy.empty, or a Space's

_WORDS = PAGE // 8
_WEIGHTS = np.random.default_rng(20).integers(0, 2**64, _WORDS, dtype=np.uint64) | np.uint64(1)
_STEP = 16  # pages summed at once when written: their copy stays in the processor's cache
_KEPT = 32  # lost pages that are named; all are counted


class Lost(NamedTuple):
    """A page that was read back with other contents than were written."""

    array: str
    page: int

    def __str__(self) -> str:
        return f"page {self.page} of array '{self.array}'"


class Ledger:
    """What all checked arrays of a job saw together. Any thread may read the fields."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.checked = 0  # pages read back and compared
        self.lost = 0  # of these, the ones that differed
        self.first_lost: list[Lost] = []
        self.unread = 0  # pages written and never read back: nobody knows what became of them
        self.live = 0  # bytes of arrays now
        self.peak = 0  # and at most: the working set

    def made(self, nbytes: int) -> None:
        with self._lock:
            self.live += nbytes
            self.peak = max(self.peak, self.live)

    def dropped(self, nbytes: int) -> None:
        with self._lock:
            self.live -= nbytes

    def saw(self, checked: int, lost: list[Lost]) -> None:
        with self._lock:
            self.checked += checked
            self.lost += len(lost)
            self.first_lost += lost[: _KEPT - len(self.first_lost)]

    def never_read(self, pages: int) -> None:
        with self._lock:
            self.unread += pages


class PageSums:
    """A one-dimensional array of ``size`` elements from ``make``, padded with zeros to whole pages, with its sums."""

    def __init__(self, make: Make, ledger: Ledger, name: str, size: int, dtype: DTypeLike) -> None:
        self.name, self.size, self.dtype = name, size, np.dtype(dtype)
        self.per_page = PAGE // self.dtype.itemsize
        self.pages = max(1, -(-size // self.per_page))
        self.array = make((self.pages * self.per_page,), self.dtype)
        self.array[size:] = 0
        self.ledger = ledger
        self._lock = threading.Lock()
        self._sums = np.zeros(self.pages, np.uint64)
        self._seen = np.zeros(self.pages, bool)
        self._written = False
        self._bad: set[int] = set()  # pages already reported, so that each counts once
        ledger.made(self.array.nbytes)

    def write(self, start: int, data: NDArray[Any]) -> None:
        """Stores ``data`` at element ``start`` and adds its share to the sums of the pages it touches."""
        assert data.dtype == self.dtype and start >= 0 and start + data.size <= self.size, (self.name, start, data.size)
        if not data.size:
            return
        self.array[start : start + data.size] = data
        first, past = self._pages(start, start + data.size)
        sums = np.empty(past - first, np.uint64)
        whole = np.empty(_STEP * self.per_page, self.dtype)
        for page in range(first, past, _STEP):
            begin = page * self.per_page - start  # of this step's pages, as an index of data
            piece = data[max(begin, 0) : begin + whole.size]
            whole[:] = 0
            whole[max(-begin, 0) :][: piece.size] = piece
            sums[page - first : page - first + _STEP] = _sums(whole)[: past - page]
        with self._lock:
            self._sums[first:past] += sums
            self._written = True

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """A copy of elements ``start`` to ``stop``; every page it touches is checked whole."""
        assert 0 <= start <= stop <= self.size, (self.name, start, stop)
        if start == stop:
            return np.empty(0, self.dtype)
        first, past = self._pages(start, stop)
        copy = self.array[first * self.per_page : past * self.per_page].copy()
        self._check(np.arange(first, past), _sums(copy))
        return copy[start - first * self.per_page : stop - first * self.per_page]

    def pick(self, indices: NDArray[np.int64], width: int = 1) -> NDArray[Any]:
        """``width`` elements of one page from each of ``indices``, a row each. Whole pages are copied: keep it short."""
        pages, within = np.divmod(indices, self.per_page)
        copies = np.take(self.array.reshape(-1, self.per_page), pages, axis=0)
        self._check(pages, _sums(copies))
        return copies[np.arange(indices.size)[:, None], within[:, None] + np.arange(width)]

    def add_at(self, indices: NDArray[np.int64], value: int) -> None:
        """Adds ``value`` at each of ``indices`` (repeats count). One thread at a time for any one page; must not overflow."""
        np.add.at(self.array, indices, self.dtype.type(value))
        pages, within = np.divmod(indices, self.per_page)
        words, part = np.divmod(within * self.dtype.itemsize, 8)
        shares = _WEIGHTS[words] * (np.uint64(value) << (part.astype(np.uint64) * np.uint64(8)))
        with self._lock:
            np.add.at(self._sums, pages, shares)

    def restart(self) -> None:
        """The array will be written anew from end to end; pages nobody read back are told to the ledger."""
        self._tell_unread()
        self.array[self.size :] = 0
        self._sums[:] = 0
        self._seen[:] = False
        self._written = False
        self._bad.clear()

    def drop(self) -> None:
        """Lets go of the memory. Pages nobody read back are told to the ledger."""
        self._tell_unread()
        self.ledger.dropped(self.array.nbytes)
        self.array = np.empty(0, self.dtype)

    def _tell_unread(self) -> None:
        if self._written:
            self.ledger.never_read(int(self.pages - np.count_nonzero(self._seen)))

    def _pages(self, start: int, stop: int) -> tuple[int, int]:
        return start // self.per_page, -(-stop // self.per_page)

    def _check(self, pages: NDArray[np.int64], found: NDArray[np.uint64]) -> None:
        """Compares the sums ``found`` in copies of ``pages`` with those of what was written."""
        with self._lock:
            differ = pages[self._sums[pages] != found].tolist()
            new = sorted(set(differ) - self._bad)
            self._bad.update(new)
            self._seen[pages] = True
        self.ledger.saw(pages.size, [Lost(self.name, page) for page in new])


def _sums(whole_pages: NDArray[Any]) -> NDArray[np.uint64]:
    sums: NDArray[np.uint64] = whole_pages.reshape(-1).view(np.uint64).reshape(-1, _WORDS) @ _WEIGHTS
    return sums
