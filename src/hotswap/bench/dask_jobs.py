"""The workloads that dask can do, on dask.array with a worker of dask.distributed that spills at the limit. Runs in the child.

The worker has its threads in this very process: results need not travel, and a memory cgroup holds it as it holds numpy.memmap
(what it spills goes through the page cache, which counts there). Its own limit, from which it decides when to spill, is that of the
run on top of what the process has when it is ready, which no system is charged for; it spills and pauses at dask's own fractions of
the run's limit. Arrays are in chunks of a thirty-second of the limit, and kept with ``persist``.

The jobs do what those of ``jobs`` do, cut by chunks, and have to come to the same bits. What dask has no way to do: ``plan.NO_WAY``.
"""

import importlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count as counter
from time import perf_counter
from typing import Any

import numpy as np

from . import jobs
from . import jobs_data as made
from .data import CHUNK, CHUNK_WORDS, Pattern
from .jobs import Outcome
from .jobs_data import CENTRES, DIMENSIONS, EDGES, NODES, POINTS, TILES
from .plan import MIB, Settings
from .workloads import STOP_AFTER, Report

WAIT = 3600.0  # seconds; the parent gives up before
DIRECTORY = "dask"  # in the scratch directory; the parent removes it
LEAST = 64 * MIB  # of a limit: with less the worker pauses for good over its own housekeeping


@contextmanager
def opened(settings: Settings) -> Iterator[Any]:
    """A client of a worker that spills into ``settings.scratch``."""
    config = importlib.import_module("dask").config
    distributed: Any = importlib.import_module("distributed")
    LocalCluster, Client = distributed.LocalCluster, distributed.Client

    with config.set({"distributed.worker.memory.terminate": False}):  # there is no nanny that could
        with LocalCluster(**_cluster(settings), memory_limit=0) as cluster, Client(cluster) as client:
            _use(client)  # what that loads and starts is not charged
        limit, before = max(settings.limit, LEAST), resident()
        whole = limit + before
        fractions = {
            "distributed.worker.memory.target": 0.6 * limit / whole,  # of what it manages itself
            "distributed.worker.memory.spill": (before + 0.7 * limit) / whole,  # of the process
            "distributed.worker.memory.pause": (before + 0.8 * limit) / whole,
        }
        with (
            config.set(fractions),
            LocalCluster(**_cluster(settings), memory_limit=whole) as cluster,
            Client(cluster) as client,
        ):
            yield client


def _cluster(settings: Settings) -> dict[str, Any]:
    return {
        "n_workers": 1,
        "threads_per_worker": len(os.sched_getaffinity(0)),
        "processes": False,
        "local_directory": str(settings.scratch / DIRECTORY),
        "dashboard_address": None,
        "silence_logs": logging.ERROR,
    }


def _use(client: Any) -> None:
    da: Any = importlib.import_module("dask.array")

    ones = client.persist(da.ones((256, 256), chunks=64))
    (ones @ ones).sum().compute()


def resident() -> int:
    """Bytes of memory that this process has now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def run(workload: str, client: Any, settings: Settings, report: Report) -> Outcome:
    job: dict[str, Callable[..., Outcome]] = {"W1": sequential, "W5": pagerank, "W6": matmul, "W8": kmeans}
    return job[workload](client, settings, report)


def together(settings: Settings, each: int, count: int) -> int:
    """How many blocks of ``each`` bytes make a chunk; divides ``count``."""
    most = max(1, min(count, max(settings.limit // 32, MIB) // each))
    return next(n for n in range(most, 0, -1) if count % n == 0)


def kept(client: Any, array: Any) -> Any:
    """``array``, computed, in the worker's memory or spilled."""
    distributed: Any = importlib.import_module("distributed")

    array = client.persist(array)
    distributed.wait(array, timeout=WAIT)
    return array


def blocks(client: Any, count: int, chunk: int, shape: tuple[int, ...], dtype: Any, make: Callable[[int], Any]) -> Any:
    """An array of ``count`` blocks of ``shape``, ``chunk`` of them in a chunk, block ``k`` made by ``make(k)``."""
    da: Any = importlib.import_module("dask.array")

    def fill(block_info: Any = None) -> Any:
        first, end = block_info[None]["array-location"][0]
        return np.stack([make(k) for k in range(first, end)]).astype(dtype, copy=False)

    sizes = ((chunk,) * (count // chunk), *((n,) for n in shape))
    return kept(client, da.map_blocks(fill, chunks=sizes, dtype=dtype, meta=np.empty((0,) * len(sizes), dtype)))


def same(array: Any, make: Callable[[int], Any], what: str, settings: Settings) -> str | None:
    """Compares every block of ``array`` with what it was made as."""

    def different(block: Any, block_info: Any = None) -> Any:
        first, end = block_info[0]["array-location"][0]
        if settings.corrupt and first == 0:
            block = block.copy()
            jobs.damage(block, settings)
        wrong = sum(not np.array_equal(block[k - first], make(k)) for k in range(first, end))
        return np.full((1,) * block.ndim, wrong)

    wrong = int(array.map_blocks(different, chunks=(1,) * array.ndim, dtype=int).sum().compute())
    return f"{wrong} blocks of {what} are not what was put in" if wrong else None


def sequential(client: Any, settings: Settings, report: Report) -> Outcome:
    pattern, count = Pattern(settings.data, settings.seed), settings.size // CHUNK
    chunk = together(settings, CHUNK, count)

    def make(k: int) -> Any:
        out = np.empty(CHUNK_WORDS, dtype=np.uint64)
        pattern.write(k, out)
        return out

    expected = np.array([int(make(k).sum()) for k in range(count)], dtype=np.uint64)
    spent = 0.0
    for left in reversed(range(settings.repeat)):
        begun = perf_counter()
        array = blocks(client, count, chunk, (CHUNK_WORDS,), np.uint64, make)
        seconds = perf_counter() - begun
        report("W1 seq write", settings.size / seconds / 1e9)
        spent += seconds
        for _ in range(2):
            begun = perf_counter()
            sums = array.sum(axis=1).compute()
            seconds = perf_counter() - begun
            report("W1 seq read", settings.size / seconds / 1e9)
            spent += seconds
            if not np.array_equal(sums, expected):
                return f"the sum of MiB {int(np.flatnonzero(sums != expected)[0])} was wrong in a read pass", ""
        if left == 0 or spent > STOP_AFTER:
            return same(array, make, "the array", settings), ""
        del array
    return None, ""


def pagerank(client: Any, settings: Settings, report: Report) -> Outcome:
    da: Any = importlib.import_module("dask.array")

    graph = made.Graph(settings.size)
    chunk = together(settings, NODES * EDGES * 4, graph.blocks)
    sources = blocks(client, graph.blocks, chunk, (EDGES, NODES), np.int32, graph.sources)
    per_edge = kept(client, 1 / blocks(client, graph.blocks, chunk, (NODES,), np.float32, graph.degrees))
    found: list[Any] = []

    def gather(part: Any, share: Any) -> Any:
        return np.stack([jobs.flow(share, block) for block in part])

    def once() -> None:
        found.clear()
        rank = da.ones((graph.blocks, NODES), chunks=per_edge.chunks, dtype=np.float32)
        for _ in range(jobs.ROUNDS["W5"]):
            # Every block needs all of it: one chunk, as there is no way to gather across chunks that would not copy more.
            share = kept(client, (rank * per_edge).reshape(-1).rechunk(-1))
            whole = share.to_delayed()[0]
            rank = kept(client, sources.map_blocks(gather, whole, drop_axis=1, dtype=np.float32))
        found.append(rank)

    jobs.samples("W5 pagerank", settings, once, report)
    wrong = same(sources, graph.sources, "the edges", settings)
    return wrong, jobs.crc(found[0].blocks[k].compute() for k in range(found[0].numblocks[0]))


def matmul(client: Any, settings: Settings, report: Report) -> Outcome:
    da: Any = importlib.import_module("dask.array")

    side = made.matrix_side(settings.size)
    some = made.rows_at_once(side)
    tile = side // TILES
    factors, made_of = [], []
    for which in range(2):

        def make(k: int, which: int = which) -> Any:
            return made.matrix_rows(which, slice(k * some, (k + 1) * some), side, settings.seed)

        rows = blocks(client, side // some, 1, (some, side), np.float32, make)
        factors.append(kept(client, rows.reshape(side, side).rechunk((tile, tile))))
        made_of.append(make)
        del rows
    found: list[Any] = []
    rounds = counter()

    def once() -> None:
        found.clear()
        # Of the same name dask has the result already, where it has not let go of the last round's yet.
        first = factors[0].map_blocks(as_it_is, round=next(rounds), dtype=np.float32)
        found.append(kept(client, da.matmul(first, factors[1])))

    jobs.samples("W6 matmul", settings, once, report)
    wrong = None
    for which, (factor, make) in enumerate(zip(factors, made_of)):
        again = factor.rechunk((some, side)).reshape(side // some, some, side)
        wrong = wrong or same(again, make, f"factor {which + 1}", settings)
    product = found[0]
    return wrong, jobs.crc(product[k : k + some].compute() for k in range(0, side, some))


def as_it_is(block: Any, round: int) -> Any:
    return block


def kmeans(client: Any, settings: Settings, report: Report) -> Outcome:
    count = made.point_blocks(settings.size)
    chunk = together(settings, POINTS * DIMENSIONS * 4, count)

    def make(k: int) -> Any:
        return made.points(k, settings.seed)

    points = blocks(client, count, chunk, (POINTS, DIMENSIONS), np.float32, make)
    found: list[Any] = []

    def step(part: Any, centres: Any) -> Any:
        out = np.zeros((1, CENTRES, DIMENSIONS + 1))
        for block in part:
            some, many = made.assign(block, centres)
            out[0, :, :DIMENSIONS] += some
            out[0, :, DIMENSIONS] += many
        return out

    def once() -> None:
        centres = made.first_centres(settings.seed)
        for _ in range(jobs.ROUNDS["W8"]):
            parts = points.map_blocks(step, centres, chunks=(1, CENTRES, DIMENSIONS + 1), dtype=float)
            total = parts.sum(axis=0).compute()
            centres = made.moved(total[:, :DIMENSIONS], total[:, DIMENSIONS])
        found[:] = [centres]

    jobs.samples("W8 kmeans", settings, once, report)
    return same(points, make, "the points", settings), jobs.crc(iter(found))
