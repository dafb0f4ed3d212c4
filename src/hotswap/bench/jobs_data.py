"""What the jobs W5 to W8 work on: made from the seed piece by piece, so that any piece can be made again for a check.

All values are whole numbers that are small enough for sums of products to be exact in the type that holds them, or are added up
in one given order: every system has to come to the same bits, however it cuts and orders the work.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .data import Floats

EDGES = 12  # that lead to a node, and on average away from one
NODES = 1 << 14  # in a block of PageRank
POINTS = 1 << 14  # in a block of k-means
DIMENSIONS, CENTRES = 16, 8
ROWS = 1 << 16  # in a block of a table
TILES = 4  # blocks along each side of a matrix

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]


class Graph:
    """A graph whose nodes of low numbers have many edges. Edge slot ``x`` leads away from node ``x * x // (144 * nodes)``, so
    out-degrees are known; which node it leads to is decided by a permutation of the slots."""

    def __init__(self, size: int):
        self.blocks = max(1, size // 128 // NODES)
        self.nodes = self.blocks * NODES
        self._slots = EDGES * self.nodes
        self._step = next(a for a in range(int(self._slots * 0.6180339887) | 1, self._slots, 2) if np.gcd(a, self._slots) == 1)

    def sources(self, block: int) -> Ints:
        """Where the edges to the nodes of a block come from: a row an edge, a column a node."""
        first = block * NODES * EDGES
        x: Longs = np.arange(first, first + NODES * EDGES, dtype=np.int64)
        x *= self._step
        x %= self._slots
        x *= x
        x //= 144 * self.nodes
        return x.astype(np.int32).reshape(EDGES, NODES)

    def degrees(self, block: int) -> Floats:
        """Edges that lead away from each node of a block."""
        u: Longs = np.arange(block * NODES, (block + 1) * NODES + 1, dtype=np.int64)
        squares = 144 * self.nodes * u  # the first slot of u: the least x with x * x >= this
        x: Longs = np.sqrt(squares.astype(np.float64)).astype(np.int64)
        x += x * x < squares
        x -= (x - 1) * (x - 1) >= squares
        x[0] = 0 if block == 0 else x[0]
        return np.diff(x).astype(np.float32)


def matrix_side(size: int) -> int:
    """Rows of each of the three matrices: 8192 for 2 GiB."""
    return max(64, int((size * 3 / 8 / 12) ** 0.5) // 64 * 64)


def matrix_rows(which: int, rows: slice, side: int, seed: int) -> Floats:
    """Rows of matrix ``which``: numbers from 0 to 7."""
    rng = np.random.default_rng([seed, 6, which, rows.start])
    return rng.integers(0, 8, (rows.stop - rows.start, side), dtype=np.uint8).astype(np.float32)


def rows_at_once(side: int) -> int:
    """Rows that are made at a time; divides a tile."""
    return side // TILES // 4


class Tables(NamedTuple):
    """Two tables: a row of the left one has one partner in the right one, or none."""

    rows: int
    keys: int


def left_of(tables: Tables, block: int, seed: int) -> tuple[Longs, Longs]:
    """Keys and values of a block of rows."""
    rng = np.random.default_rng([seed, 7, block])
    return rng.integers(0, tables.keys, ROWS), rng.integers(0, 1 << 40, ROWS)


def right_of(tables: Tables, seed: int) -> tuple[Longs, Longs]:
    """Three quarters of the keys, each once, in no order; and what goes with them."""
    rng = np.random.default_rng([seed, 7])
    kept = tables.keys * 3 // 4
    return rng.permutation(tables.keys)[:kept], rng.integers(0, 1 << 40, kept)


def tables(size: int) -> Tables:
    rows = max(1, size // 8 // 16 // ROWS) * ROWS
    return Tables(rows, rows // 16)


def rows_hash(columns: list[NDArray[Any]]) -> int:
    """A hash of a table's rows that does not depend on their order."""
    x = np.zeros(len(columns[0]), dtype=np.uint64)
    for column in columns:
        x ^= column.astype(np.uint64)
        x *= np.uint64(0x9E3779B97F4A7C15)
        x ^= x >> np.uint64(29)
    return int(x.sum(dtype=np.uint64))


def point_blocks(size: int) -> int:
    """Blocks of points that have ``size`` in all."""
    return max(1, size // (POINTS * DIMENSIONS * 4))


def points(block: int, seed: int) -> Floats:
    """A block of points around eight places; coordinates are whole and below 16."""
    places = np.random.default_rng([seed, 8]).integers(0, 12, (CENTRES, DIMENSIONS), dtype=np.uint8)
    rng = np.random.default_rng([seed, 8, block])
    near = places[rng.integers(0, CENTRES, POINTS, dtype=np.uint8)]
    near += rng.integers(0, 4, near.shape, dtype=np.uint8)
    return near.astype(np.float32)


def assign(block: Floats, centres: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each centre: the sum of the points that are nearest to it, and how many these are. Exact: centres are eighths."""
    distances = (centres * centres).sum(axis=1)[:, None] - 2 * (centres @ block.T)
    nearest: NDArray[np.bool_] = distances == distances.min(axis=0)
    taken = nearest[0].copy()
    for centre in range(1, CENTRES):  # of several that are equally near the first
        nearest[centre] &= ~taken
        taken |= nearest[centre]
    of: Floats = nearest.astype(np.float32)
    return (of @ block).astype(np.float64), of.sum(axis=1).astype(np.float64)


def moved(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> Floats:
    """The next centres, to an eighth."""
    return (np.round(sums * 8 / np.maximum(counts, 1)[:, None]) / 8).astype(np.float32)


def first_centres(seed: int) -> Floats:
    return points(0, seed)[:CENTRES].copy()
