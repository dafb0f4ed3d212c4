"""The job's random phases: the index is asked for places all over the text, and what was asked is counted.

The places are spread by Fibonacci hashing, so n-grams are drawn as often as they stand in the text: a few hot pages of the
index, and a long cold tail. Whatever is looked up must lead back to its place, which checks the index from end to end.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from .job import BLOCK, GRAM, Work, spans
from .pagesums import PageSums

EVERY = 2048  # bytes of text for each place looked up
AT_ONCE = 64  # places a thread looks up together: their pages are copied, 256 KiB
STRIPES = 16  # parts of the index whose hits are counted independently


def places(start: int, stop: int, text: PageSums) -> NDArray[np.int64]:
    """Places number ``start`` to ``stop`` in ``text``; none whose n-gram crosses into another page or past the end."""
    spread = (np.arange(start, stop, dtype=np.uint64) * np.uint64(11400714819323198485)) >> np.uint64(16)
    place = (spread % np.uint64(text.size - GRAM + 1)).astype(np.int64)
    return place - np.maximum(place % text.per_page - (text.per_page - GRAM), 0)


def probe(
    text: PageSums, grams: PageSums, begins: PageSums, counts: PageSums, positions: PageSums, work: Work
) -> tuple[PageSums, int]:
    """Looks places up; which n-gram each found, and how many were not found as they must be."""
    total = max(text.size // EVERY, 1)
    found = work.array("found", total, np.uint32)

    def look(start: int, stop: int) -> int:
        place = places(start, stop, text)
        key = text.pick(place, GRAM).view(">u8").reshape(-1).astype(np.uint64)
        at = np.minimum(np.searchsorted(grams.array[: grams.size], key), grams.size - 1)
        begin, count = begins.pick(at)[:, 0].astype(np.int64), counts.pick(at)[:, 0].astype(np.int64)
        rank = [np.searchsorted(positions.array[b : b + c], p) for b, c, p in zip(begin, count, place.astype(np.uint32))]
        back = positions.pick(np.minimum(begin + np.array(rank), positions.size - 1))[:, 0]
        found.write(start, at.astype(np.uint32))
        work.progress.tick(stop - start)
        return int(np.count_nonzero((grams.pick(at)[:, 0] != key) | (back != place)))

    return found, sum(work.phase("probe", total, [partial(look, *span) for span in spans(total, AT_ONCE)]))


def count_hits(found: PageSums, distinct: int, work: Work) -> PageSums:
    """How many probes found each n-gram. A stripe of whole pages has one thread, which needs no lock."""
    hits = work.array("hits", distinct, np.uint32)
    stripe = -(-hits.pages // STRIPES) * hits.per_page

    def count(start: int, stop: int) -> None:
        for a, b in spans(stop - start, BLOCK):
            hits.write(start + a, np.zeros(b - a, np.uint32))
        for a, b in spans(found.size, BLOCK):
            which = found.read(a, b)
            hits.add_at(which[(which >= start) & (which < stop)].astype(np.int64), 1)
        work.progress.tick(stop - start)

    work.phase("hits", distinct, [partial(count, *span) for span in spans(distinct, stripe)])
    return hits
