"""The job's sort: blocks of n-grams become sorted runs, and passes of merging make them one.

A run is a span of two arrays, the keys (n-grams as 64-bit words) and the positions they stand at; equal keys are in the
order of position, always. A pass merges neighbouring runs from one pair of arrays into another, each group of runs cut
at splitter keys into parts that threads merge independently. Merging works on a few KiB of each run at a time: all
that is below the smallest last key at hand is put together, sorted (a timsort of ascending runs), and written.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .job import BLOCK, GRAM, Work, spans
from .pagesums import PageSums

FAN_IN = 16  # runs merged at once, at most
AHEAD = 1024  # elements of each run at hand: whole pages of keys and of positions
PART = 32 * BLOCK  # elements of a part of a merge, roughly
SAMPLES = 64  # keys looked at in each run to choose splitters

Span = tuple[int, int]
Pair = tuple[PageSums, PageSums]  # keys, positions


def sort_grams(text: PageSums, work: Work) -> Pair:
    """All n-grams of ``text`` in ascending order, and their positions."""
    size = text.size
    pairs: list[Pair] = [
        (work.array(f"keys {which}", size, np.uint64), work.array(f"positions {which}", size, np.uint32)) for which in "AB"
    ]
    here, there = pairs
    work.phase("runs", size, [partial(make_runs, text, here, *span, work) for span in spans(size)])
    runs = list(spans(size, BLOCK))
    todo = passes(size)
    for number, fan_in in enumerate(todo, 1):
        for array in there:
            array.restart()
        groups = [runs[i : i + fan_in] for i in range(0, len(runs), fan_in)]
        parts = [part for group in groups for part in cut(here[0], group)]
        parts.sort(key=lambda part: -sum(stop - start for start, stop in part[1]))  # the long ones first
        name = f"merge {number} of {len(todo)}"
        work.phase(name, size, [partial(merge, here, there, *part, work) for part in parts])
        runs = [(group[0][0], group[-1][1]) for group in groups]
        here, there = there, here
    for array in there:
        array.drop()
    return here


def passes(size: int) -> list[int]:
    """How many runs each pass merges at once: the fewest passes, evenly."""
    runs, todo = -(-size // BLOCK), []
    while runs > 1:
        left = 1
        while FAN_IN**left < runs:
            left += 1
        fan_in = next(f for f in range(2, FAN_IN + 1) if f**left >= runs)
        todo.append(fan_in)
        runs = -(-runs // fan_in)
    return todo


def make_runs(text: PageSums, pair: Pair, start: int, stop: int, work: Work) -> None:
    """Packs the n-grams that begin at ``start`` to ``stop``, sorts each block of them and writes it there as a run."""
    for a, b in ((start + a, start + b) for a, b in spans(stop - start, BLOCK)):
        block = pack(text.read(a, min(b + GRAM - 1, text.size)), b - a)
        order = np.argsort(block, kind="stable")
        pair[0].write(a, block[order])
        pair[1].write(a, order.astype(np.uint32) + np.uint32(a))
        work.progress.tick(b - a)


def pack(text: NDArray[np.uint8], count: int) -> NDArray[np.uint64]:
    """The first ``count`` n-grams of ``text`` as 64-bit words that sort as the bytes do; zero bytes follow the end."""
    padded = np.zeros(count + GRAM - 1, np.uint8)
    padded[: text.size] = text
    return np.ascontiguousarray(sliding_window_view(padded, GRAM)).view(">u8").reshape(-1).astype(np.uint64)


def cut(keys: PageSums, runs: list[Span]) -> list[tuple[int, list[Span]]]:
    """A merge of ``runs`` as parts: where each part's result goes, and the span of each run that goes into it.

    Equal keys never end up in two parts, so that the parts keep their order.
    """
    at, size = runs[0][0], sum(stop - start for start, stop in runs)
    splitters = np.empty(0, np.uint64)
    if size >= 2 * PART:
        samples = np.sort(np.concatenate([keys.array[np.linspace(a, b - 1, SAMPLES).astype(np.int64)] for a, b in runs]))
        splitters = np.unique(samples[np.linspace(0, samples.size - 1, size // PART + 1).astype(np.int64)[1:-1]])
    cuts = [[a, *(np.searchsorted(keys.array[a:b], splitters) + a).tolist(), b] for a, b in runs]
    parts = []
    for number in range(splitters.size + 1):
        part = [(ends[number], ends[number + 1]) for ends in cuts]
        parts.append((at, part))
        at += sum(stop - start for start, stop in part)
    return parts


class _Run:
    """What is at hand of a run: up to twice ``AHEAD`` elements, and some as long as any are left."""

    def __init__(self, pair: Pair, start: int, stop: int) -> None:
        self.pair, self.next, self.stop = pair, start, stop
        self.keys: NDArray[Any] = np.empty(0, np.uint64)
        self.positions: NDArray[Any] = np.empty(0, np.uint32)

    def fill(self) -> None:
        if self.keys.size < AHEAD and self.next < self.stop:
            to = min((self.next // AHEAD + 1) * AHEAD, self.stop)
            self.keys = np.concatenate([self.keys, self.pair[0].read(self.next, to)])
            self.positions = np.concatenate([self.positions, self.pair[1].read(self.next, to)])
            self.next = to

    def take(self, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
        taken = self.keys[:count], self.positions[:count]
        self.keys, self.positions = self.keys[count:], self.positions[count:]
        return taken


def merge(source: Pair, target: Pair, at: int, part: list[Span], work: Work) -> None:
    """Merges the spans ``part`` of ``source`` into ``target`` from element ``at`` on. Equal keys keep the runs' order."""
    runs = [_Run(source, start, stop) for start, stop in part if start < stop]
    while runs:
        for run in runs:
            run.fill()
        pieces = [run.take(count) for run, count in zip(runs, _ready(runs))]
        keys = np.concatenate([piece[0] for piece in pieces])
        order = np.argsort(keys, kind="stable")
        target[0].write(at, keys[order])
        target[1].write(at, np.concatenate([piece[1] for piece in pieces])[order])
        at += keys.size
        work.progress.tick(keys.size)
        runs = [run for run in runs if run.keys.size or run.next < run.stop]


def _ready(runs: list[_Run]) -> list[int]:
    """How many elements at hand of each run may be written: no smaller key is still to come from any of them.

    The run whose last key at hand is the smallest (the first such run) sets the bound. It gives all; a run before it
    gives the keys up to the bound, a later one those below it, as more of the bound's key may follow before it.
    """
    lasts = [(run.keys[-1], number) for number, run in enumerate(runs) if run.next < run.stop]
    if not lasts:
        return [run.keys.size for run in runs]
    bound, owner = min(lasts)
    return [int(np.searchsorted(run.keys, bound, side="right" if number <= owner else "left")) for number, run in enumerate(runs)]
