"""W12: how long a touch waits for what left the array but is still in memory, and how long the same takes at the very least.

The array has one and a half times the limit (``--limit``, at least 64 MiB) and is written front to back. First pages are touched from its end
towards its beginning: a scan, whose large folios are in the swap cache by readahead. Then a word in each of many pages, chosen at random, is read and
written: those faults bring in single pages, and some find theirs where it was written from. Which kind of fault a touch was is read off the space's
counters. The least is ``roundtrip``: as many bytes that 40 lines on userfaultfd copy in, in the same process, as long after one another. Where its two
threads run makes most of the difference, and a scheduler may put them either way, so both ways are measured: on a processor each, and on one.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from statistics import median, mode
from threading import Timer, get_native_id
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ..sizes import PAGE
from .data import Words, words_of
from .plan import RAW, RAW_TOGETHER, Settings
from .workloads import Memory, Report

OTHERS = ("faults_major", "faults_zero", "faults_write", "direct_reclaims")  # slow for other reasons
LEAST = 20  # touches of the right kind that make a sample
MOST = 400
TOUCHES = 150_000  # at random: one in 200 is of the right kind
RAW_BYTES = 64 << 20
AFTER = 0.002  # seconds: the thread that serves has been started


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
    for measure in ("W12 scan fault", "W12 fault"):
        for _ in range(settings.repeat):
            scan = measure == "W12 scan fault"
            order = reversed(range(pages)) if scan else anywhere.integers(0, pages, TOUCHES).tolist()
            hits = touch(memory, words, order, not scan)
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
    for system in (RAW, RAW_TOGETHER):
        with placed(apart=system == RAW):
            raw = roundtrip.measure(RAW_BYTES // size, size, int(median(hit.pause for hit in alike) * 1e9))
        if isinstance(raw, int):
            return f"a plain userfaultfd does not work here: error {-raw}"
        report(measure, median(raw[len(raw) // 2 :]) / 1e3, system)
    return None


@contextmanager
def placed(apart: bool) -> Iterator[None]:
    """On one processor, this thread and those that it starts in the first milliseconds; ``apart``: they on all others, where there are any."""
    may = os.sched_getaffinity(0)
    here = {min(may)}
    os.sched_setaffinity(0, (may - here if apart else here) or may)
    later = Timer(AFTER, os.sched_setaffinity, (get_native_id(), here))
    later.start()
    try:
        yield
    finally:
        later.join()
        os.sched_setaffinity(0, may)
