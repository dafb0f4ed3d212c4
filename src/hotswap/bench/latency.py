"""W12: how long a touch waits for what left the array but is still in memory, and how long the same takes at the very least.

The array has one and a half times the limit (``--limit``, at least 64 MiB) and is written front to back. First pages are touched from its end
towards its beginning: a scan, whose large folios are in the swap cache by readahead. Then a word in each of many pages, chosen at random, is read and
written: those faults bring in single pages, and some find theirs where it was written from. Which kind of fault a touch was is read off the space's
counters. The least is ``roundtrip``: as many bytes that 40 lines on userfaultfd copy in, in the same process, as long after one another.
"""

from collections.abc import Iterable
from statistics import median, mode
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ..sizes import PAGE
from .data import Words, words_of
from .plan import RAW, Settings
from .workloads import Memory, Report

OTHERS = ("faults_major", "faults_zero", "faults_write", "direct_reclaims")  # slow for other reasons
LEAST = 20  # touches of the right kind that make a sample
MOST = 400
TOUCHES = 150_000  # at random: one in 200 is of the right kind
RAW_BYTES = 16 << 20


class Hit(NamedTuple):
    wait: float  # seconds
    pause: float  # since the touch before, seconds
    pages: int  # that it took from readahead; 0: one that was written out


def run(memory: Memory, settings: Settings, report: Report) -> str | None:
    pages = memory.stats()["limit_bytes"] * 3 // 2 // PAGE
    words = words_of(memory.empty(pages * PAGE)).reshape(pages, -1)
    for page in range(pages):
        words[page] = np.arange(page, page + words.shape[1])
    anywhere = np.random.default_rng(12)
    for _ in range(settings.repeat):
        random = anywhere.integers(0, pages, TOUCHES).tolist()
        for measure, order in (("W12 scan fault", reversed(range(pages))), ("W12 fault", random)):
            hits = touch(memory, words, order, measure == "W12 fault")
            if hits is None:
                return "a page came back with other bytes than were put there"
            if wrong := compare(hits, measure, report):
                return wrong
    return None


def touch(memory: Memory, words: Words, order: Iterable[int], write: bool) -> list[Hit] | None:
    """Each touch that was a hit in the swap cache and nothing else; None: wrong bytes."""
    hits: list[Hit] = []
    ended = perf_counter()
    memory.timed_begins()
    before = memory.stats()
    for page in order:
        row = words[page]
        begun = perf_counter()
        found = row[0]
        wait = perf_counter() - begun
        if found != page:
            return None
        if write:
            row[0] = page
        after = memory.stats()
        if after["faults_minor"] == before["faults_minor"] + 1 and all(after[name] == before[name] for name in OTHERS):
            hits.append(Hit(wait, begun - ended, after["readahead_hits"] - before["readahead_hits"]))
        before = after
        ended = begun + wait
        if len(hits) == MOST:
            break
    return hits


def compare(hits: list[Hit], measure: str, report: Report) -> str | None:
    """Reports what most touches of that kind took, and what the least is for as many bytes."""
    from . import roundtrip  # compiled, as the engine is

    pages = mode(hit.pages for hit in hits) if hits else 0
    alike = [hit for hit in hits if hit.pages == pages]
    if len(alike) < LEAST:
        return f"{measure}: only {len(alike)} touches found their page in the swap cache, {LEAST} are needed"
    report(measure, median(hit.wait for hit in alike) * 1e6)
    size = max(pages, 1) * PAGE
    raw = roundtrip.measure(RAW_BYTES // size, size, int(median(hit.pause for hit in alike) * 1e9))
    if isinstance(raw, int):
        return f"a plain userfaultfd does not work here: error {-raw}"
    report(measure, median(raw) / 1e3, RAW)
    return None
