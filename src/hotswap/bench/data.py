"""The bytes every system gets and the order in which pages are touched: all from one seed, none of it stored.

An array is made of 1 MiB chunks. Chunk ``k`` is one block of float32, exclusive-or a key of ``k`` in the low mantissa
bits; so every page of the array differs from every other, any page can be made again for a check, and a chunk costs
little more than a copy.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sizes import PAGE
from .plan import MIB, BenchError

KINDS = ("random", "smooth")
CHUNK = MIB
CHUNK_WORDS = CHUNK // 8  # uint64
PAGE_FLOATS = PAGE // 4
_MANTISSA = 0x007FFFFF_007FFFFF  # keys leave sign and exponent alone: every word stays a finite float
_GOLDEN, _MIX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9
_ALL = (1 << 64) - 1

Words = NDArray[np.uint64]
Floats = NDArray[np.float32]
Picker = Callable[[int], NDArray[np.intp]]


class Pattern:
    """What a float32 array holds after it was filled."""

    def __init__(self, kind: str, seed: int):
        if kind not in KINDS:
            raise BenchError(f"there is no data {kind!r}; choose from {', '.join(KINDS)}.")
        count = CHUNK // 4
        if kind == "random":
            block = np.random.default_rng(seed).random(count, dtype=np.float32)
        else:  # a slow wave in steps of 1/256 on a staircase of pages: neighbours repeat, pages differ
            i = np.arange(count)
            block = (np.round(np.sin(i / 3000.0) * 256) / 256 + i // PAGE_FLOATS).astype(np.float32)
        self._block: Words = block.view(np.uint64)
        self._seed = seed

    def _key(self, k: int) -> np.uint64:
        x = ((k + 1) * _GOLDEN + self._seed) & _ALL
        x = ((x ^ (x >> 30)) * _MIX) & _ALL
        return np.uint64((x ^ (x >> 27)) & _MANTISSA)

    def write(self, k: int, out: Words) -> None:
        """Chunk ``k`` into ``out``, ``CHUNK_WORDS`` of uint64."""
        np.bitwise_xor(self._block, self._key(k), out=out)

    def fill(self, words: Words) -> None:
        for k in range(chunks(words)):
            self.write(k, chunk(words, k))


def chunks(words: Words) -> int:
    return len(words) // CHUNK_WORDS


def chunk(words: Words, k: int) -> Words:
    return words[k * CHUNK_WORDS : (k + 1) * CHUNK_WORDS]


def words_of(array: Floats) -> Words:
    """The same memory as uint64, for exact arithmetic. A view: drop it before the array can be freed."""
    return array.view(np.ndarray).view(np.uint64)


def touched_word(pages: NDArray[np.intp]) -> NDArray[np.intp]:
    """The index (in 4-byte words of the array) of the one word that a touch of each page increments."""
    return pages * PAGE_FLOATS + ((pages * 2654435761) >> 7) % PAGE_FLOATS


def uniform(pages: int, seed: int) -> Picker:
    """A source of page numbers, each equally likely."""
    rng = np.random.default_rng([seed, 2])
    return lambda count: rng.integers(0, pages, count, dtype=np.intp)


def zipf(pages: int, seed: int, exponent: float = 0.99) -> Picker:
    """A source of page numbers by Zipf's law; the hot pages lie scattered over the array."""
    rng = np.random.default_rng([seed, 3])
    reach = np.cumsum(1.0 / np.arange(1, pages + 1) ** exponent)
    reach /= reach[-1]
    place = rng.permutation(pages).astype(np.intp)

    def pick(count: int) -> NDArray[np.intp]:
        ranks = np.minimum(np.searchsorted(reach, rng.random(count)), pages - 1)
        return place[ranks]

    return pick


def multiset_hash(words: Words, before: int = 0) -> int:
    """A hash of the float32 values in ``words`` that does not depend on their order; add it up over chunks."""
    x: NDArray[Any] = words.view(np.uint32).astype(np.uint64)
    x += np.uint64(_GOLDEN & 0xFFFFFFFF)
    x *= np.uint64(_MIX)
    x ^= x >> np.uint64(29)
    x *= np.uint64(_GOLDEN)
    x ^= x >> np.uint64(32)
    return (before + int(x.sum(dtype=np.uint64))) & _ALL
