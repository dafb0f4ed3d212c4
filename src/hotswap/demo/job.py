"""The job: a sorted index of every 8-byte n-gram of a text, built by threads out of checked arrays in foreign memory.

The index holds the distinct n-grams in ascending order, where the positions of each begin, how many there are, and all
positions, grouped by n-gram and ascending in each group: what a code search or a compressor's match finder looks
things up in. Why n-grams of 8 bytes and not a full suffix array: an n-gram is one big-endian 64-bit word, so that
sorting and merging are single NumPy calls on native integers that run without the GIL, with temporaries of a block.

Phases, and how they touch memory (n is the length of the text; memory is 25 bytes for each byte of it):

    load       text written                                          sequential
    runs       text read, blocks sorted into (key, position) runs    sequential, three streams a thread
    merge      several passes, runs read and longer ones written     some ten streams a thread, splitters by bisection
    count      keys read: how many are distinct                      sequential
    distinct   keys read; n-grams and where they begin written       sequential
    lengths    how many of each: begins read, counts written         sequential
    probe      the index looked up for places all over the text      random reads through five arrays
    hits       what was looked up is counted in the index            random read-modify-write
    digest     the whole index hashed                                sequential

The result does not depend on the number of threads. All working memory comes from ``Work.make``; ordinary memory holds
only blocks of a few hundred KiB a thread. Every page is checked when it is read back (``pagesums``).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .corpus import Corpus
from .pagesums import Ledger, Make, PageSums
from .progress import Progress, Stopped

T = TypeVar("T")

GRAM = 8  # bytes of an n-gram
BLOCK = 16384  # elements a thread works on at once
TASK = 16 * BLOCK  # elements of a task of a sequential phase: tasks take memory too, so not too many


@dataclass
class Work:
    """What a job works with: memory, threads, and whom it reports to.

    The threads stay the same from phase to phase and from job to job: each has a heap of its own, and new ones would
    leave theirs behind, a few MiB at a time.
    """

    make: Make
    threads: int = 4
    progress: Progress = field(default_factory=Progress)
    ledger: Ledger = field(default_factory=Ledger)
    pool: ThreadPoolExecutor = field(default=None)  # type: ignore[assignment]  # set below

    def __post_init__(self) -> None:
        self.pool = self.pool or ThreadPoolExecutor(self.threads, thread_name_prefix="demo-job")

    def close(self) -> None:
        """Ends the threads."""
        self.pool.shutdown()

    def array(self, name: str, size: int, dtype: DTypeLike) -> PageSums:
        return PageSums(self.make, self.ledger, name, size, dtype)

    def phase(self, name: str, total: int, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """Runs ``tasks`` on the threads, the first ones first; their results in order. The first failure stops all."""
        self.progress.begin(name, total)
        futures = [self.pool.submit(task) for task in tasks]
        _, unfinished = wait(futures, return_when=FIRST_EXCEPTION)
        if unfinished:
            self.progress.stop()
            for future in unfinished:
                future.cancel()
            wait(futures)
        failures = [error for f in futures if not f.cancelled() and (error := f.exception())]
        for error in sorted(failures, key=lambda error: isinstance(error, Stopped)):
            raise error
        return [future.result() for future in futures]


@dataclass
class Index:
    """The result. ``grams``, ``begins`` and ``counts`` have an element for each distinct n-gram."""

    text: PageSums
    grams: PageSums  # uint64, big-endian packed bytes, ascending
    begins: PageSums  # uint32, where its positions begin
    counts: PageSums  # uint32
    positions: PageSums  # uint32
    found: PageSums  # uint32, which n-gram each probe found
    hits: PageSums  # uint32, how many probes found each n-gram
    wrong_probes: int  # places of the text that the index did not lead back to

    def arrays(self) -> tuple[PageSums, ...]:
        return (self.grams, self.begins, self.counts, self.positions, self.found, self.hits)

    def lookup(self, gram: bytes) -> NDArray[np.uint32]:
        """Where the 8 bytes ``gram`` stand in the text, ascending. Past its end the text counts as zero bytes."""
        assert len(gram) == GRAM
        key = np.uint64(int.from_bytes(gram, "big"))
        at = int(np.searchsorted(self.grams.array[: self.grams.size], key))
        if at == self.grams.size or self.grams.read(at, at + 1)[0] != key:
            return np.empty(0, np.uint32)
        begin, count = int(self.begins.read(at, at + 1)[0]), int(self.counts.read(at, at + 1)[0])
        return self.positions.read(begin, begin + count)

    def drop(self) -> None:
        for array in (self.text, *self.arrays()):
            array.drop()


def phases(size: int) -> int:
    """How many phases ``build`` and ``digest`` together have for a text of ``size`` bytes."""
    from .sorting import passes

    return 8 + len(passes(size))


def build(corpus: Corpus, work: Work) -> Index:
    """The index of ``corpus``. Raises ``Stopped`` when told to, and whatever a failing thread raised."""
    from . import probing, sorting

    work.progress.begin_round(phases(corpus.size))
    text = load(corpus, work)
    keys, positions = sorting.sort_grams(text, work)
    grams, begins = distinct(keys, work)
    keys.drop()
    counts = lengths(begins, positions.size, work)
    found, wrong = probing.probe(text, grams, begins, counts, positions, work)
    hits = probing.count_hits(found, grams.size, work)
    return Index(text, grams, begins, counts, positions, found, hits, wrong)


def spans(size: int, step: int = TASK) -> Iterator[tuple[int, int]]:
    """``range(size)`` in pieces of ``step``."""
    for start in range(0, size, step):
        yield start, min(start + step, size)


def load(corpus: Corpus, work: Work) -> PageSums:
    """The text, from the files into an array."""
    text = work.array("text", corpus.size, np.uint8)

    def fill(start: int, stop: int) -> None:
        text.write(start, corpus.read(start, stop))
        work.progress.tick(stop - start)

    work.phase("load", corpus.size, [partial(fill, *span) for span in spans(corpus.size)])
    return text


def distinct(keys: PageSums, work: Work) -> tuple[PageSums, PageSums]:
    """The distinct ones of the sorted ``keys``, and where each begins."""

    def starts(start: int, stop: int) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
        block = keys.read(max(start - 1, 0), stop)
        first = np.flatnonzero(block[1:] != block[:-1]) + 1 if start else np.flatnonzero(np.diff(block, prepend=~block[:1]))
        return block[first], first + max(start - 1, 0)

    def count(start: int, stop: int) -> int:
        total = 0
        for a, b in spans(stop - start, BLOCK):
            total += starts(start + a, start + b)[0].size
            work.progress.tick(b - a)
        return total

    def fill(at: int, start: int, stop: int) -> None:
        for a, b in spans(stop - start, BLOCK):
            gram, begin = starts(start + a, start + b)
            grams.write(at, gram)
            begins.write(at, begin.astype(np.uint32))
            at += gram.size
            work.progress.tick(b - a)

    tasks = list(spans(keys.size))
    ends = np.cumsum([0, *work.phase("count", keys.size, [partial(count, *span) for span in tasks])])
    grams = work.array("grams", int(ends[-1]), np.uint64)
    begins = work.array("begins", int(ends[-1]), np.uint32)
    work.phase("distinct", keys.size, [partial(fill, int(at), *span) for at, span in zip(ends, tasks)])
    return grams, begins


def lengths(begins: PageSums, total: int, work: Work) -> PageSums:
    """How many positions each n-gram has: the distance from where it begins to where the next one does."""
    counts = work.array("counts", begins.size, np.uint32)

    def fill(start: int, stop: int) -> None:
        for a, b in spans(stop - start, BLOCK):
            block = begins.read(start + a, min(start + b + 1, begins.size))
            if start + b == begins.size:
                block = np.append(block, np.uint32(total))
            counts.write(start + a, np.diff(block))
            work.progress.tick(b - a)

    work.phase("lengths", begins.size, [partial(fill, *span) for span in spans(begins.size)])
    return counts


def digest(index: Index, work: Work) -> str:
    """A hash (BLAKE2b of the BLAKE2b of each part) of the whole index, and the last check of its pages."""

    def part_hash(array: PageSums, start: int, stop: int) -> bytes:
        parts = hashlib.blake2b(digest_size=32)
        for a, b in spans(stop - start, 2 * BLOCK):
            block = array.read(start + a, start + b)
            parts.update(block.astype(block.dtype.newbyteorder("<"), copy=False).data)
            work.progress.tick(b - a)
        return parts.digest()

    arrays = index.arrays()
    tasks = [partial(part_hash, array, *span) for array in arrays for span in spans(array.size)]
    whole = hashlib.blake2b(repr([(array.name, array.size) for array in arrays]).encode(), digest_size=32)
    for part in work.phase("digest", sum(array.size for array in arrays), tasks):
        whole.update(part)
    return whole.hexdigest()
