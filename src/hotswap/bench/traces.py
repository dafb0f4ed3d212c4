"""The work whose page touches ``hotswap bench reclaim`` records: real NumPy work on memory that is recorded while it runs.

Each takes memory for its data and how many pages a memory has that is too small for them, prepares, which is not recorded, and returns
two calls: the work, which is, and a check of its result, which is not.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Work = tuple[Callable[[], object], Callable[[], bool]]
PAGE_WORDS = 512
STEP = 64  # touches of one NumPy call: between two of them the interpreter's own work


def sequential(words: Words, memory: int, random: np.random.Generator) -> Work:
    """Written once, then read twice, front to back."""

    sums: list[int] = []

    def work() -> None:
        words[:] = np.uint64(3)
        sums.extend(int(words.sum(dtype="u8")) for _ in range(2))

    return work, lambda: sums == [3 * len(words)] * 2


def loop(words: Words, memory: int, random: np.random.Generator) -> Work:
    """Ten passes over a ninth more than fits."""
    part = words[: memory * 10 // 9 * PAGE_WORDS]
    part[:] = 1
    sums: list[int] = []

    def work() -> None:
        sums.extend(int(part.sum(dtype="u8")) for _ in range(10))

    return work, lambda: sums == [len(part)] * 10


def touches(words: Words, pages: NDArray[np.int64]) -> Work:
    """Adds one to a word of each of these pages, a few at a time."""
    words[:] = 0
    where = pages * PAGE_WORDS

    def work() -> None:
        for first in range(0, len(where), STEP):
            np.add.at(words, where[first : first + STEP], np.uint64(1))

    return work, lambda: bool((words[::PAGE_WORDS] == np.bincount(pages, minlength=len(words) // PAGE_WORDS)).all())


def uniform(words: Words, memory: int, random: np.random.Generator) -> Work:
    """Touches of pages that are chosen at random, all alike."""
    return touches(words, random.integers(0, len(words) // PAGE_WORDS, 8 * memory))


def zipf(words: Words, memory: int, random: np.random.Generator) -> Work:
    """The same by Zipf's law, exponent 0.99; the popular pages lie scattered."""
    count = len(words) // PAGE_WORDS
    weight = 1.0 / np.arange(1, count + 1) ** 0.99
    chosen = np.searchsorted(np.cumsum(weight) / weight.sum(), random.random(16 * memory))
    return touches(words, random.permutation(count)[chosen])


def hot_and_scan(words: Words, memory: int, random: np.random.Generator) -> Work:
    """Touches of half a memory, all alike, while everything is scanned, again and again: two pages of the scan to each three touches."""
    count = len(words) // PAGE_WORDS
    hot = random.permutation(count)[: memory // 2]
    order = []
    at = 0
    for _ in range(4 * memory // 96):
        order += [hot[random.integers(0, len(hot), 96)], np.arange(at, at + 64) % count]
        at += 64
    return touches(words, np.concatenate(order))


def shift(words: Words, memory: int, random: np.random.Generator) -> Work:
    """Touches of three quarters of a memory, all alike; after a while of another three quarters, and so on four times."""
    count = len(words) // PAGE_WORDS
    sets = [random.permutation(count)[: memory * 3 // 4] for _ in range(4)]
    return touches(words, np.concatenate([part[random.integers(0, len(part), 5 * memory)] for part in sets]))


def sort(words: Words, memory: int, random: np.random.Generator) -> Work:
    """np.sort in place of float64 in random order."""
    values = words.view("f8")
    values[:] = random.random(len(values))
    wanted = np.sort(values)
    return values.sort, lambda: bool((values == wanted).all())


def join(words: Words, memory: int, random: np.random.Generator) -> Work:
    """A hash join: a table of unique keys is hashed (open addressing), the rows of a longer one look theirs up, and the results are written."""
    share = len(words) // 16
    size = 1 << (share * 4).bit_length() - 1  # slots of the hash table: at most four parts
    table, keys, values, probes, results = np.split(words[: size + 8 * share], np.cumsum([size, share, share, 3 * share]))
    keys[:] = random.permutation(np.arange(1, share + 1, dtype="u8")) * np.uint64(2654435761)
    values[:] = np.arange(share, dtype="u8")
    chosen = random.integers(0, share, len(probes))
    probes[:] = keys[chosen]
    table[:] = 0
    mask, mix = np.uint64(size - 1), np.uint64(0x9E3779B97F4A7C15)

    def slots_of(some: Words) -> Words:
        return (some * mix >> np.uint64(20)) & mask

    def build(first: int) -> None:
        rows = np.arange(first, min(first + 4096, share), dtype="u8")
        slots = slots_of(keys[first : first + 4096])
        while len(rows):
            free = table[slots] == 0
            table[slots[free]] = rows[free] + np.uint64(1)
            left = table[slots] != rows + np.uint64(1)  # taken before, or by another one just now
            rows, slots = rows[left], (slots[left] + np.uint64(1)) & mask

    def probe(first: int) -> None:
        wanted = probes[first : first + 4096].copy()
        slots = slots_of(wanted)
        rows = table[slots] - np.uint64(1)
        wrong = keys[rows] != wanted
        while wrong.any():
            slots[wrong] = (slots[wrong] + np.uint64(1)) & mask
            rows[wrong] = table[slots[wrong]] - np.uint64(1)
            wrong[wrong] = keys[rows[wrong]] != wanted[wrong]
        results[first : first + 4096] = values[rows]

    def work() -> None:
        for first in range(0, share, 4096):
            build(first)
        for first in range(0, len(probes), 4096):
            probe(first)

    return work, lambda: bool((results == chosen.astype("u8")).all())


PROGRAMS: dict[str, Callable[[Words, int, np.random.Generator], Work]] = {
    "sequential": sequential,
    "random": uniform,
    "zipf": zipf,
    "loop": loop,
    "hot set and scan": hot_and_scan,
    "moving set": shift,
    "sort": sort,
    "join": join,
}
