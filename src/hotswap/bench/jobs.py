"""Whole jobs: PageRank, a matrix product, a merge, k-means. Runs in the child, as ``workloads``, and with the same promises.

What is put in is filled and afterwards compared word for word, the result is digested; the parent compares its digest with that of
the run in RAM. A sample is the seconds of one round: the input stays, the result is made anew. They are written as somebody would
with NumPy or pandas who knows that memory is short: in blocks, one after the other.
"""

import gc
import importlib
import zlib
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import jobs_data as made
from .data import Floats
from .jobs_data import CENTRES, DIMENSIONS, EDGES, NODES, POINTS, ROWS, TILES
from .plan import Settings
from .workloads import STOP_AFTER, Memory, Report

ROUNDS = {"W5": 2, "W8": 2}  # of the algorithm, in one sample
JOBS = frozenset({"W5", "W6", "W7", "W8"})
Outcome = tuple[str | None, str]  # what was wrong, or None; the digest of the result


def run(workload: str, memory: Memory, settings: Settings, report: Report) -> Outcome:
    return {"W5": pagerank, "W6": matmul, "W7": merge, "W8": kmeans}[workload](memory, settings, report)


def timed(measure: str, settings: Settings, memory: Memory, once: Callable[[], None], report: Report) -> None:
    samples(measure, settings, once, report, memory.timed_begins)
    memory.before_check()


def samples(
    measure: str, settings: Settings, once: Callable[[], None], report: Report, begins: Callable[[], None] = lambda: None
) -> None:
    """Of ``once``, as many as the settings ask for, or as a minute allows."""
    spent = 0.0
    for _ in range(settings.repeat):
        begins()
        begun = perf_counter()
        once()
        seconds = perf_counter() - begun
        report(measure, seconds)
        spent += seconds
        if spent + seconds > STOP_AFTER:
            break


def crc(pieces: Iterator[NDArray[Any]]) -> str:
    found = 0
    for piece in pieces:
        found = zlib.crc32(np.ascontiguousarray(piece).view(np.uint8).data, found)
    return f"{found:08x}"


def differs(what: str, got: NDArray[Any], wanted: NDArray[Any]) -> str | None:
    return None if np.array_equal(got, wanted) else f"{what} is not what was put in"


def damage(array: NDArray[Any], settings: Settings) -> None:
    """Tests only: one flipped bit, to show that the check sees it."""
    if settings.corrupt:
        array.reshape(-1).view(np.uint8)[array.nbytes // 2] ^= 1


# --- W5


def pagerank(memory: Memory, settings: Settings, report: Report) -> Outcome:
    graph = made.Graph(settings.size)
    sources = memory.empty(graph.nodes * EDGES * 4).view(np.int32).reshape(graph.blocks, EDGES, NODES)
    rank, share, per_edge = (memory.empty(graph.nodes * 4) for _ in range(3))
    for block in range(graph.blocks):
        sources[block] = graph.sources(block)
        per_edge[block * NODES : (block + 1) * NODES] = 1 / graph.degrees(block)

    def once() -> None:
        rank[:] = 1
        for _ in range(ROUNDS["W5"]):
            np.multiply(rank, per_edge, out=share)
            for block in range(graph.blocks):
                rank[block * NODES : (block + 1) * NODES] = flow(share, sources[block])

    timed("W5 pagerank", settings, memory, once, report)
    damage(sources, settings)
    wrong = None
    for block in range(graph.blocks):
        wrong = wrong or differs(f"block {block} of the edges", sources[block], graph.sources(block))
    return wrong, crc(rank[block * NODES : (block + 1) * NODES] for block in range(graph.blocks))


def flow(share: Floats, sources: NDArray[np.int32]) -> Floats:
    """The new rank of the nodes of a block, added up in the order of their edges; ranks are 1 on average."""
    total = share[sources[0]]
    for edge in range(1, EDGES):
        total += share[sources[edge]]
    total *= np.float32(0.85)
    total += np.float32(0.15)
    return total


# --- W6


def matmul(memory: Memory, settings: Settings, report: Report) -> Outcome:
    side = made.matrix_side(settings.size)
    tile, some = side // TILES, made.rows_at_once(side)
    a, b, c = (memory.empty(side * side * 4).reshape(side, side) for _ in range(3))
    pieces = [slice(start, start + some) for start in range(0, side, some)]
    tiles = [slice(start, start + tile) for start in range(0, side, tile)]
    for which, matrix in enumerate((a, b)):
        for rows in pieces:
            matrix[rows] = made.matrix_rows(which, rows, side, settings.seed)

    def once() -> None:
        for i in tiles:
            for j in tiles:
                total = a[i, tiles[0]] @ b[tiles[0], j]
                for k in tiles[1:]:
                    total += a[i, k] @ b[k, j]
                c[i, j] = total

    timed("W6 matmul", settings, memory, once, report)
    damage(b, settings)
    wrong = None
    for which, matrix in enumerate((a, b)):
        for rows in pieces:
            wanted = made.matrix_rows(which, rows, side, settings.seed)
            wrong = wrong or differs(f"row {rows.start} and on of factor {which + 1}", matrix[rows], wanted)
    return wrong, crc(c[rows] for rows in pieces)


# --- W7


def merge(memory: Memory, settings: Settings, report: Report) -> Outcome:
    pd: Any = importlib.import_module("pandas")  # an extra

    plan = made.tables(settings.size)
    left = {name: memory.empty(plan.rows * 8).view(np.int64) for name in ("key", "value")}
    blocks = [slice(start, start + ROWS) for start in range(0, plan.rows, ROWS)]
    for number, rows in enumerate(blocks):
        left["key"][rows], left["value"][rows] = made.left_of(plan, number, settings.seed)
    keys, other = made.right_of(plan, settings.seed)
    held: list[Any] = []
    table = pd.DataFrame(left, copy=False)
    right = pd.DataFrame({"key": keys, "other": other})

    def once() -> None:
        held.clear()
        gc.collect()
        held.append(table.merge(right, on="key", how="inner"))

    timed("W7 merge", settings, memory, once, report)
    (merged,) = held
    digest, columns = 0, [merged[name].to_numpy() for name in ("key", "value", "other")]
    for start in range(0, len(merged), ROWS):
        digest += made.rows_hash([column[start : start + ROWS] for column in columns])
    damage(left["value"], settings)
    wrong = None
    for number, rows in enumerate(blocks):
        for name, wanted in zip(("key", "value"), made.left_of(plan, number, settings.seed)):
            wrong = wrong or differs(f"column {name} from row {rows.start} on", left[name][rows], wanted)
    return wrong, f"{len(merged)} rows, {digest % (1 << 64):016x}"


# --- W8


def kmeans(memory: Memory, settings: Settings, report: Report) -> Outcome:
    blocks = made.point_blocks(settings.size)
    points = memory.empty(blocks * POINTS * DIMENSIONS * 4).reshape(blocks, POINTS, DIMENSIONS)
    for block in range(blocks):
        points[block] = made.points(block, settings.seed)
    found: list[Floats] = []

    def once() -> None:
        centres = made.first_centres(settings.seed)
        for _ in range(ROUNDS["W8"]):
            sums, counts = np.zeros((CENTRES, DIMENSIONS)), np.zeros(CENTRES)
            for block in range(blocks):
                some, many = made.assign(points[block], centres)
                sums += some
                counts += many
            centres = made.moved(sums, counts)
        found[:] = [centres]

    timed("W8 kmeans", settings, memory, once, report)
    damage(points, settings)
    wrong = None
    for block in range(blocks):
        wrong = wrong or differs(f"block {block} of the points", points[block], made.points(block, settings.seed))
    return wrong, crc(iter(found))
