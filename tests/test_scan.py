"""Scans of more than fits: what they find in memory when they come round, and that others get it when they need it."""

from functools import partial

import numpy as np
import pytest
from support import MIB, Pages

from hotswap import Space

pytestmark = pytest.mark.usefixtures("nothing_leaked")
SEED = 31
LIMIT = 32 * MIB


@pytest.fixture
def space():
    with Space(LIMIT) as space:
        yield space


def brought_in(space, work):
    """Pages that came from the areas meanwhile, read ahead or not."""
    before = space.stats()["pages_in"]
    work()
    return space.stats()["pages_in"] - before


def scan(pages, what):
    for start in range(0, pages.count, 64):
        what(start, 64)


def probe(pages, random):
    for page in random.permutation(pages.count):
        pages.check(int(page), 1)


def test_a_loop_over_four_times_memory_finds_a_part_of_it_in_from_the_first_time_on(areas, space):
    areas(1, "256M")
    pages = Pages(space, 4 * LIMIT)
    pages.stamp(0, pages.count, 1)
    for _round in range(4):
        # All but what the limit holds would be 0.78, all 1.
        assert brought_in(space, partial(scan, pages, pages.check)) < 0.86 * pages.count
    del pages


def test_a_loop_that_writes_finds_as_much_in(areas, space):
    areas(1, "256M")
    pages = Pages(space, 4 * LIMIT)

    scan(pages, partial(pages.stamp, generation=2))
    for _round in range(3):
        assert (
            brought_in(space, partial(scan, pages, partial(pages.stamp, generation=2))) < 0.93 * pages.count
        )  # some is read ahead in vain
    pages.check()
    del pages


def test_what_a_scan_left_in_memory_gives_way_to_what_is_used_after_it(areas, space):
    areas(1, "256M")
    scanned = Pages(space, 4 * LIMIT, 1)
    scanned.stamp(0, scanned.count, 1)
    scan(scanned, scanned.check)
    used = Pages(space, LIMIT // 2, 2)
    used.stamp(0, used.count, 1)
    random = np.random.default_rng(SEED)

    for _round in range(8):
        probe(used, random)
    assert brought_in(space, partial(probe, used, random)) < used.count // 8
    scanned.check()
    used.check()
    del scanned, used


def test_what_is_gathered_from_stays_in_beside_a_scan(areas, space):
    """As in PageRank: an array is scanned, all of another is touched at random all the time. What the scan left in memory does not keep that out."""
    areas(1, "256M")
    scanned = Pages(space, 4 * LIMIT, 1)
    scanned.stamp(0, scanned.count, 1)
    used = Pages(space, LIMIT // 8, 2)
    used.stamp(0, used.count, 1)
    random = np.random.default_rng(SEED)
    part = scanned.count // 32

    faulted = []
    for turn in range(32):
        scanned.check(turn * part, part)
        before = space.stats()
        probe(used, random)
        after = space.stats()
        faulted.append(sum(after[name] - before[name] for name in ("faults_major", "faults_minor")))
    # Once each, and a few: 80 to 1,290. It was 2,100 to 3,800 where one in eight might stay.
    assert sum(faulted) < 1.75 * used.count, faulted
    del scanned, used


def test_arrays_that_go_in_the_middle_of_a_scan_take_nothing_along(areas, space):
    areas(1, "256M")
    random = np.random.default_rng(SEED)
    for turn in range(6):
        pages = Pages(space, 3 * LIMIT, turn)
        pages.stamp(0, pages.count, turn + 1)
        for start in range(0, int(random.integers(1, pages.count)), 64):
            pages.check(start, 64)
        del pages
    assert space.stats()["active_bytes"] + space.stats()["inactive_bytes"] == 0
    last = Pages(space, LIMIT * 3 // 4)
    last.stamp(0, last.count, 1)
    assert brought_in(space, last.check) < last.count // 16
    del last


def huge_pages():
    """Bytes of this process in huge pages."""
    with open("/proc/self/smaps_rollup") as told:
        return next(int(line.split()[1]) << 10 for line in told if line.startswith("AnonHugePages:"))


def test_large_folios_are_read_into_huge_pages_which_stay(areas):
    with open("/sys/kernel/mm/transparent_hugepage/enabled") as told:
        if "[never]" in told.read():
            pytest.skip("this kernel makes no huge pages")
    areas(1, "512M")
    before = huge_pages()
    with Space("256M") as space:
        pages = Pages(space, 300 * MIB)
        pages.stamp(0, pages.count, 1)
        for _round in range(2):
            scan(pages, pages.check)
            assert huge_pages() >= before + 4 * MIB
        scan(
            pages, partial(pages.stamp, generation=2)
        )  # what comes in to be written is copied, not moved, so they are still there
        assert huge_pages() >= before + 4 * MIB
        pages.check()
        del pages
