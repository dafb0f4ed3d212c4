"""The job's random phases: the index is asked for places all over the text, and what was asked is counted.

The places are spread by Fibonacci hashing, so n-grams are drawn as often as they stand in the text: a few hot pages of the
index, and a long cold tail. Whatever is looked up must lead back to its place, which checks the index from end to end.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from .job import GRAM, Work, spans
from .pagesums import PageSums

EVERY = 2048  # bytes of text for each place looked up
AT_ONCE = 64  # places a thread looks up together: their pages are copied, 256 KiB
STRIPES = 16  # parts of the index whose hits are counted independently


def places(start: int, stop: int, size: int, per_page: int) -> NDArray[np.int64]:
    """Places number ``start`` to ``stop`` in a text of ``size`` bytes; none whose n-gram crosses a page or the end."""
    spread = (np.arange(start, stop, dtype=np.uint64) * np.uint64(11400714819323198485)) >> np.uint64(16)
    place = (spread % np.uint64(max(size - GRAM + 1, 1))).astype(np.int64)
    return place - np.maximum(place % per_page - (per_page - GRAM), 0)


def probe(
    text: PageSums, grams: PageSums, begins: PageSums, counts: PageSums, positions: PageSums, work: Work
) -> tuple[PageSums, int]:
    """Looks places up; which n-gram each found, and how many were not found as they must be."""
    total = max(text.size // EVERY, 1)
    found = work.array("found", total, np.uint32)

    def look(start: int, stop: int) -> int:
        place = places(start, stop, text.size, text.per_page)
        spelt = np.stack([text.pick(np.minimum(place + i, text.size - 1)) for i in (0, GRAM - 1)], axis=1)
        key = _grams_at(text, place)
        at = np.minimum(np.searchsorted(grams.array[: grams.size], key), grams.size - 1)
        begin, count = begins.pick(at).astype(np.int64), counts.pick(at).astype(np.int64)
        rank = [int(np.searchsorted(positions.array[b : b + c], p)) for b, c, p in zip(begin, count, place)]
        back = positions.pick(np.minimum(begin + rank, positions.size - 1))
        right = (grams.pick(at) == key) & (back == place)
        del spelt
        found.write(start, at.astype(np.uint32))
        work.progress.tick(stop - start)
        return int(np.count_nonzero(~right))

    return found, sum(work.phase("probe", total, [partial(look, *span) for span in spans(total, AT_ONCE)]))
