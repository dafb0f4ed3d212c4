"""What is timed on every system alike, and the check of every byte afterwards. Runs in the child.

A workload gets a ``Memory`` (where arrays live) and gives samples through ``report(measure, value)``; it returns None
when every byte was right, else a sentence saying what was wrong. Filling, choosing pages and checking are not timed.

* W1: a pass writes a fresh array 1 MiB at a time (first touch included), then two passes sum it; a sample a pass.
  Each read pass is checked by the exact sum of every chunk, the last round by comparing every word.
* W2, W3: ``words[index] += 1`` with ``BATCH`` indices, a word of a chosen page each: NumPy reads the words, adds, and
  writes them back, so a page that is not in memory is first read and then written, as by most programs. (With
  ``numpy.add.at`` each touch is one instruction and so a write fault only: numpy.memmap then did 27,000 touches/s
  instead of 96 in a trial, presumably as the kernel stops its readaround; so compare no rates across the two.) A page
  that is drawn twice in a batch is touched twice and incremented once. The rate counts the time inside the batches
  only. A fifth of the time goes before as a warm-up that is not counted, but checked. Afterwards every word of every
  page is compared with the pattern plus the increments that the page got.
* W4: ``ndarray.sort()`` in place of half the size; checked to be in order and to hold the same values as were put in.
* W9: the area that holds what does not fit into the limit is switched off, and every byte compared afterwards.
* W10: W1 and W2 on smooth data, and what memory these take compressed.
* W13: the data as a matrix of rows of ``ROW`` bytes; one column after the other is summed, each in a page of its own of every row, and
  each sum compared with the exact one.

``jobs`` has W5 to W8, ``overhead`` W11, ``latency`` W12.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..sizes import PAGE
from . import data
from .data import CHUNK, Floats, Pattern, Picker, Words
from .plan import Settings, sort_bytes

BATCH = 128  # touches between two looks at the clock: a second or two on the slowest peer
ENOUGH = 4_000_000  # touches after which a window ends early: RAM needs no more
AHEAD = 1 << 15  # touches chosen at once
ROW = 16 * PAGE  # bytes of a row of W13's matrix
STOP_AFTER = 60.0  # seconds of timed rounds (W1, W4) after which no further round begins


class Report(Protocol):
    """Takes a sample; ``system`` where it is not of the system that the child runs."""

    def __call__(self, measure: str, value: float, system: str = ...) -> None: ...


class Memory(Protocol):
    """Where arrays live. ``how``: what to say beside the figures, if anything."""

    how: str

    def empty(self, nbytes: int) -> Floats:
        """A fresh float32 array; its memory goes back when the last view dies."""

    def timed_begins(self) -> None:
        """Called just before what the next sample tells."""

    def before_check(self) -> None:
        """The timed part is over: a sequential read follows."""

    def switch_off(self, load: Callable[[], object]) -> tuple[int, float]:
        """Empties the area in use: bytes that were out, and seconds. ``load`` touches for a moment; it is called again and
        again meanwhile where the area can go off under load. Another area is on afterwards, as good as the first."""

    def held(self) -> float:
        """Memory taken by what is out, as a part of what that was."""

    def stats(self) -> dict[str, int]:
        """What the system counts, if it does."""


def run(workload: str, memory: Memory, settings: Settings, report: Report) -> str | None:
    """One workload; returns what was wrong with its result, or None."""
    pattern = Pattern(settings.data, settings.seed)
    pages = settings.size // PAGE
    if workload == "W1":
        return sequential(memory, settings, pattern, report)
    if workload == "W9":
        return switched_off(memory, settings, pattern, report)
    if workload == "W10":
        smooth = Pattern("smooth", settings.seed)
        wrong = sequential(memory, settings, smooth, report, "W10 tier write", "W10 tier read")
        picker = data.uniform(pages, settings.seed)
        return wrong or touches("W10 tier random", memory, settings, smooth, picker, report, "W10 tier held")
    if workload == "W2":
        return touches("W2 random", memory, settings, pattern, data.uniform(pages, settings.seed), report)
    if workload == "W13":
        return columns(memory, settings, pattern, report)
    if workload == "W3":
        return touches("W3 zipf", memory, settings, pattern, data.zipf(pages, settings.seed), report)
    return sort(memory, settings, pattern, report)


def sequential(
    memory: Memory,
    settings: Settings,
    pattern: Pattern,
    report: Report,
    write: str = "W1 seq write",
    read: str = "W1 seq read",
) -> str | None:
    expected = _chunk_sums(pattern, settings.size)
    spent = 0.0
    for left in reversed(range(settings.repeat)):
        words = data.words_of(memory.empty(settings.size))
        memory.timed_begins()
        begun = perf_counter()
        pattern.fill(words)
        seconds = perf_counter() - begun
        report(write, settings.size / seconds / 1e9)
        spent += seconds
        for _ in range(2):
            memory.timed_begins()
            begun = perf_counter()
            sums = [int(data.chunk(words, k).sum()) for k in range(data.chunks(words))]
            seconds = perf_counter() - begun
            report(read, settings.size / seconds / 1e9)
            spent += seconds
            if sums != expected:
                return f"the sum of MiB {_first_difference(sums, expected)} was wrong in a read pass"
        if left == 0 or spent > STOP_AFTER:
            memory.before_check()
            _damage(words, settings)
            return compare(words, pattern, None)
        del words  # the array goes back before the next is made
    return None


def touches(
    measure: str,
    memory: Memory,
    settings: Settings,
    pattern: Pattern,
    pick: Picker,
    report: Report,
    held: str = "",
) -> str | None:
    array = memory.empty(settings.size)
    words = data.words_of(array)
    pattern.fill(words)
    if held:
        report(held, memory.held())
    counts = np.zeros(settings.size // PAGE, dtype=np.uint32)
    loop = _TouchLoop(words, counts, pick)
    loop.run(settings.seconds / 5)
    for _ in range(settings.repeat):
        memory.timed_begins()
        done, seconds = loop.run(settings.seconds / settings.repeat)
        report(measure, done / seconds)
    loop.settle()
    memory.before_check()
    _damage(words, settings)
    return compare(words, pattern, counts)


class _TouchLoop:
    """Touches pages in the order of ``pick`` and counts the increments of each page in ``counts``."""

    def __init__(self, words: Words, counts: NDArray[np.uint32], pick: Picker):
        self._words = words.view(np.uint32)
        self._counts, self._pick = counts, pick
        self._pages: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._index = self._pages
        self._at = 0  # pages and index below it are touched

    def run(self, seconds: float) -> tuple[int, float]:
        """Touch for ``seconds`` of timed batches, or ``ENOUGH`` times; returns touches and the seconds they took."""
        words, one = self._words, np.uint32(1)
        done, spent = 0, 0.0
        while spent < seconds and done < ENOUGH:
            if self._at == len(self._pages):
                self.settle()
                self._pages = self._pick(AHEAD)
                self._index = data.touched_word(self._pages)
            batch = self._index[self._at : self._at + BATCH]
            begun = perf_counter()
            words[batch] += one
            spent += perf_counter() - begun
            self._at += BATCH
            done += BATCH
        return done, spent

    def settle(self) -> None:
        """Enter the touches done so far into ``counts``, by the same rule for a page drawn twice in a batch."""
        for at in range(0, self._at, BATCH):
            self._counts[self._pages[at : at + BATCH]] += np.uint32(1)
        self._pages, self._at = self._pages[:0], 0


def sort(memory: Memory, settings: Settings, pattern: Pattern, report: Report) -> str | None:
    nbytes = sort_bytes(settings.size)
    expected = _multiset(pattern, nbytes)
    spent = 0.0
    for left in reversed(range(settings.repeat)):
        array = memory.empty(nbytes)
        pattern.fill(data.words_of(array))
        memory.timed_begins()
        begun = perf_counter()
        array.sort()
        seconds = perf_counter() - begun
        report("W4 sort", seconds)
        spent += seconds
        last = left == 0 or spent > STOP_AFTER
        if last:
            memory.before_check()
            _damage(data.words_of(array), settings)
        wrong = compare_sorted(data.words_of(array), expected)
        if wrong or last:
            return wrong
        del array
    return None


def columns(memory: Memory, settings: Settings, pattern: Pattern, report: Report) -> str | None:
    words = data.words_of(memory.empty(settings.size))
    pattern.fill(words)
    matrix, chosen = words.reshape(-1, ROW // 8), data.touched_word(np.arange(ROW // PAGE, dtype=np.intp)) // 2
    scratch: Words = np.empty(data.CHUNK_WORDS, dtype=np.uint64)
    expected = np.zeros(len(chosen), dtype=np.uint64)
    for k in range(data.chunks(words)):
        pattern.write(k, scratch)
        expected += scratch.reshape(-1, ROW // 8)[:, chosen].sum(axis=0)
    at = 0
    for _ in range(settings.repeat):
        memory.timed_begins()
        done, seconds = 0, 0.0
        while seconds < settings.seconds / settings.repeat:
            begun = perf_counter()
            found = matrix[:, chosen[at]].sum()
            seconds += perf_counter() - begun
            if found != expected[at]:
                return f"the sum of the column in page {at} of the rows was wrong"
            done, at = done + len(matrix), (at + 1) % len(chosen)
        report("W13 columns", done / seconds)
    memory.before_check()
    _damage(words, settings)
    return compare(words, pattern, None)


def switched_off(memory: Memory, settings: Settings, pattern: Pattern, report: Report) -> str | None:
    words = data.words_of(memory.empty(settings.size))
    pattern.fill(words)
    counts = np.zeros(settings.size // PAGE, dtype=np.uint32)
    loop = _TouchLoop(words, counts, data.uniform(settings.size // PAGE, settings.seed))
    spent = 0.0
    for _ in range(settings.repeat):
        memory.timed_begins()
        out, seconds = memory.switch_off(lambda: loop.run(0.02))
        if out == 0:
            return "nothing was out when the area was switched off"
        report("W9 swapoff", out / seconds / 1e9)
        spent += seconds
        if spent > STOP_AFTER:
            break
    loop.settle()
    memory.before_check()
    _damage(words, settings)
    return compare(words, pattern, counts)


def compare(words: Words, pattern: Pattern, counts: NDArray[np.uint32] | None) -> str | None:
    """Every word against the pattern plus the increments that its page got."""
    expected: Words = np.empty(data.CHUNK_WORDS, dtype=np.uint64)
    per_chunk = CHUNK // PAGE
    slot = data.touched_word(np.arange(len(words) * 8 // PAGE, dtype=np.intp)) if counts is not None else None
    for k in range(data.chunks(words)):
        pattern.write(k, expected)
        if counts is not None and slot is not None:
            pages = slice(k * per_chunk, (k + 1) * per_chunk)
            expected.view(np.uint32)[slot[pages] - k * (CHUNK // 4)] += counts[pages]
        got = data.chunk(words, k)
        if not np.array_equal(got, expected):
            offset = k * CHUNK + int(np.flatnonzero(got != expected)[0]) * 8
            return f"the bytes at {offset} (page {offset // PAGE}) are not what was last written there"
    return None


def compare_sorted(words: Words, expected: int) -> str | None:
    """In order, and the multiset whose hash is ``expected``."""
    found, last = 0, np.float32(-np.inf)
    for k in range(data.chunks(words)):
        part = data.chunk(words, k)
        floats = part.view(np.float32)
        if floats[0] < last or not bool((floats[1:] >= floats[:-1]).all()):
            return f"the result is out of order in MiB {k}"
        last = floats[-1]
        found = data.multiset_hash(part, found)
    return None if found == expected else "the sorted array does not hold the values that were put in"


def _chunk_sums(pattern: Pattern, nbytes: int) -> list[int]:
    scratch: Words = np.empty(data.CHUNK_WORDS, dtype=np.uint64)
    sums = []
    for k in range(nbytes // CHUNK):
        pattern.write(k, scratch)
        sums.append(int(scratch.sum()))
    return sums


def _multiset(pattern: Pattern, nbytes: int) -> int:
    scratch: Words = np.empty(data.CHUNK_WORDS, dtype=np.uint64)
    found = 0
    for k in range(nbytes // CHUNK):
        pattern.write(k, scratch)
        found = data.multiset_hash(scratch, found)
    return found


def _first_difference(left: list[int], right: list[int]) -> int:
    return next(k for k, (a, b) in enumerate(zip(left, right, strict=True)) if a != b)


def _damage(words: Words, settings: Settings) -> None:
    """Tests only: one flipped bit, to show that the check sees it."""
    if settings.corrupt:
        words[len(words) // 2] ^= np.uint64(1)
