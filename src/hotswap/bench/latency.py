"""W12: how long a touch waits for a page that left the array but is still in memory, and how long the same takes at the very least.

The array is written front to back, one and a half times the limit (``--limit``, at least 64 MiB); then pages are touched from its end towards its beginning: first
those that never left, then those that left last, which the swap cache still has. Which kind of fault a touch was is read off the
space's counters. The least is ``roundtrip``: a page that 40 lines on userfaultfd copy in, in the same process.
"""

from statistics import median
from time import perf_counter

import numpy as np

from ..sizes import PAGE
from .data import words_of
from .plan import RAW, Settings
from .workloads import Memory, Report

OTHERS = ("faults_major", "faults_zero", "faults_write", "direct_reclaims")  # slow for other reasons
LEAST = 20  # touches of the right kind that make a sample
MOST = 2000
RAW_TOUCHES = 4000


def run(memory: Memory, settings: Settings, report: Report) -> str | None:
    from . import roundtrip  # compiled, as the engine is

    for _ in range(settings.repeat):
        waits = hits(memory, memory.stats()["limit_bytes"] * 3 // 2 // PAGE)
        if waits is None:
            return "a page came back with other bytes than were put there"
        if len(waits) < LEAST:
            return f"only {len(waits)} touches found their page in the swap cache, {LEAST} are needed"
        report("W12 fault", median(waits) * 1e6)
        raw = roundtrip.measure(RAW_TOUCHES, PAGE)
        if isinstance(raw, int):
            return f"a plain userfaultfd does not work here: error {-raw}"
        report("W12 fault", median(raw) / 1e3, RAW)
    return None


def hits(memory: Memory, pages: int) -> list[float] | None:
    """Seconds of each touch that was a hit in the swap cache and nothing else; None: wrong bytes."""
    words = words_of(memory.empty(pages * PAGE)).reshape(pages, -1)
    for page in range(pages):
        words[page] = page + 1
    waits: list[float] = []
    memory.timed_begins()
    before = memory.stats()
    for page in reversed(range(pages)):
        row = words[page]
        begun = perf_counter()
        found = row[0]
        wait = perf_counter() - begun
        if found != np.uint64(page + 1):
            return None
        after = memory.stats()
        if after["faults_minor"] == before["faults_minor"] + 1 and all(after[name] == before[name] for name in OTHERS):
            waits.append(wait)
        before = after
        if len(waits) == MOST:
            break
    return waits
