"""Readers that go in equal steps: who is taken for one, and what is read for it. The detection runs from source, the rest on real memory."""

import errno
import platform
import random
import time

import numpy as np
import pytest
from support import searched

from hotswap import Space
from hotswap.lab import twin
from hotswap.lab.findings import WrongEnd
from hotswap.lab.machine import Actor, Machine
from hotswap.lab.strategy.exhaustive import Exhaustive
from hotswap.lab.strategy.random_walk import RandomWalk
from hotswap.lab.world import World

SEED = 20
ROW = 40 * 512  # words, 40 pages
signals = pytest.mark.skipif(platform.machine() != "x86_64", reason="faults as signals need x86-64")
REORDERED = (0, 2, 1, 4, 5, 3, 7, 6)  # as a loop over eight that was unrolled touches them


class Reader:
    """A space's strides, and what they ask for."""

    def __init__(self):
        self.life = twin.load(["stride"])
        self.mm = self.life.mm.mm_at(0)
        self.asked: list[int] = []
        self.scans: list[int] = []  # where one in short steps was handed to the streams: that page, or as far below 0

    def fault(self, page):
        """Whether a stride had it."""
        steps = self.life.stride.Steps.make()
        sure = self.life.stride.stride_went_on(self.mm, page, 1, 64, steps)
        self.asked += [steps.page + number * steps.step for number in range(steps.count)]
        self.scans += [-page if steps.back else page] if steps.short else []
        return sure


def walk(step, count=64, start=1 << 20):
    return [start + number * step for number in range(count)]


@pytest.mark.parametrize("step", [12, 37, 5000, -12, -300])
def test_who_goes_in_equal_steps_is_read_ahead_for(step):
    reader = Reader()
    pages = walk(step)
    had = [reader.fault(page) for page in pages]
    assert not any(had[:4]) and all(had[8:])
    assert set(pages[16:]) <= set(reader.asked)
    assert all((page - pages[0]) % step == 0 for page in reader.asked) and len(set(reader.asked)) == len(reader.asked)


@pytest.mark.parametrize("step", [2, 8, 11, -2, -11])
def test_who_goes_in_short_steps_is_a_scan(step):
    reader = Reader()
    pages = walk(step)
    had = [reader.fault(page) for page in pages]
    first = had.index(True)
    assert first < 8 and abs(reader.scans[0]) == pages[first] and (reader.scans[0] < 0) == (step < 0)
    assert not reader.asked


@pytest.mark.parametrize("step", [37, -37])
def test_pages_of_a_step_may_come_in_another_order(step):
    reader = Reader()
    pages = walk(step, 80)
    for eight in range(0, 80, 8):
        for place in REORDERED:
            reader.fault(pages[eight + place])
    assert set(pages[24:]) <= set(reader.asked)
    assert all((page - pages[0]) % step == 0 for page in reader.asked)


def test_several_readers_are_told_apart():
    reader = Reader()
    first, second = walk(37, 100), walk(-112, 100, 1 << 22)
    for a, b in zip(first, second):
        reader.fault(a)
        reader.fault(b)
    assert set(first[16:]) | set(second[16:]) <= set(reader.asked)


def test_scattered_faults_are_nobodys():
    reader = Reader()
    rng = random.Random(SEED)
    for _fault in range(5000):
        reader.fault(rng.randrange(1, 1 << 19))
    assert len(reader.asked) < 250  # a twentieth


def test_scattered_faults_in_between_do_not_make_a_reader_forgotten():
    reader = Reader()
    rng = random.Random(SEED)
    pages = walk(37, 200)
    for page in pages:
        reader.fault(page)
        reader.fault(rng.randrange(1 << 24, 1 << 28))
        reader.fault(rng.randrange(1 << 24, 1 << 28))
    assert len(set(pages[50:]) - set(reader.asked)) < 15


def matrix(space, rows, words):
    """Each element is the sum of its row and its column."""
    made = space.empty((rows, words), "u8")
    for number in range(rows):
        made[number] = np.arange(number, number + words)
    return made


def change(space, before):
    return {name: value - before[name] for name, value in space.stats().items()}


@pytest.mark.parametrize("faults", ["thread", pytest.param("signal", marks=signals)])
@pytest.mark.parametrize("folio", [None, "4K", "16K"])
@pytest.mark.parametrize("direction", [1, -1], ids=["down", "up"])
def test_a_column_is_read_without_what_lies_between(areas, folio, faults, direction):
    """On real memory: half of its pages and more come before somebody touches them (nine of ten where nothing else runs), and few others do. The
    reader rests now and then, as on a busy machine he would be ahead of those who read ahead."""
    areas(1, "320M")
    with Space("16M", folio, faults=faults) as space:
        array = matrix(space, 1500, ROW)
        column = array[::direction, ROW // 2]
        right = np.arange(ROW // 2, ROW // 2 + 1500)[::direction]
        before = space.stats()
        for start in range(0, 1500, 10):
            assert np.array_equal(column[start : start + 10], right[start : start + 10])
            time.sleep(0.001)
        seen = change(space, before)
        wanted = 1500 * (4 if folio == "16K" else 1)
        assert seen["readahead_pages"] > 0.5 * wanted and seen["pages_in"] < 1.5 * wanted + 2000, seen
        assert seen["faults_major"] < 0.5 * 1500, seen
        del array, column


@pytest.mark.parametrize("direction", [1, -1], ids=["down", "up"])
@pytest.mark.parametrize("small", [False, True], ids=["large folios", "single pages"])
def test_what_lies_between_short_steps_is_read_along(areas, small, direction):
    """Two pages of eight, as in the tiles of a matrix, also where folios had become single pages. Of those the last quarter counts, when there are
    larger ones again."""
    areas(1, "320M")
    with Space("32M") as space:
        rows = 4096
        array = matrix(space, rows, 8 * 512)
        rng = np.random.default_rng(SEED)
        for page in rng.permutation(8 * rows) if small else ():
            assert array.reshape(-1)[page * 512] == page // 8 + page % 8 * 512
        space.limit = "5M"
        space.limit = "32M"
        for number, turn in zip(range(rows)[::direction], range(rows)):
            if turn == (rows * 3 // 4 if small else 0):
                before = space.stats()
            assert array[number, 1024] == number + 1024 and array[number, 2047] == number + 2047
        seen = change(space, before)
        del array
    looked = rows // 4 if small else rows
    assert seen["pages_in"] > 0.6 * 8 * looked, seen  # in steps it would be a quarter of them
    assert small or seen["faults_major"] + seen["faults_minor"] < looked, seen  # of twice as many touches


@pytest.mark.parametrize("direction", [1, -1], ids=["down", "up"])
@pytest.mark.parametrize("scanned", [False, True], ids=["as written", "after a scan"])
def test_steps_as_long_as_the_first_folio_given_are_no_scan(areas, scanned, direction):
    """Rows of 64 KiB: what a fault is given that nobody expected reaches right up to where the next one is. Four columns, each in another page
    of the rows, the first page among them."""
    areas(1, "320M")
    with Space("32M") as space:
        rows = 2048
        array = matrix(space, rows, 16 * 512)
        if scanned:
            assert int(array.sum()) == rows * (16 * 512) * (rows + 16 * 512 - 2) // 2
        before = space.stats()
        for page in (0, 5, 15, 8):
            column = array[::direction, 512 * page + 100]
            assert np.array_equal(column, np.arange(rows)[::direction] + 512 * page + 100)
        seen = change(space, before)
        del array, column
    assert seen["pages_in"] < 2 * 4 * rows + 2000, seen  # as a scan's 16 times as many as are wanted


def made(**more):
    """A space of single pages that are all out, in two areas, and readers in steps of two: pages 0, 2, 4 and 6."""
    world = World(**more)
    world.off = world.area(8)
    world.area(32, priority=-1)
    world.array = world.space(8, limit=16, order=0)
    world.fill(world.array)
    world.evict(world.array, 8)
    world.steps = lambda: world.twin.readahead.read_steps(world.array.mm, world.array.start, 4, 2)
    return world


@pytest.mark.parametrize("backwards", [False, True])
def test_what_is_read_in_steps_is_in_the_cache_once(backwards):
    world = made()
    mm = world.array.mm
    start, step = (world.array.start + 6, -2) if backwards else (world.array.start, 2)
    before = mm.counter[world.twin.mm.AHEAD_PAGES].v
    for _time in range(2):
        world.alone(world.twin.readahead.read_steps(mm, start, 8, step))  # four of them are beyond the array
    assert mm.counter[world.twin.mm.AHEAD_PAGES].v - before <= 4
    world.audit()
    world.expect_bytes(world.array)
    world.audit()


def test_a_page_of_several_that_cannot_be_read_is_left_to_its_fault():
    world = made()
    world.seam.inject("disk_read", error=errno.EIO, after=1)
    world.alone(world.steps())
    world.audit()
    world.expect_bytes(world.array)  # the error was there once
    world.audit()


@pytest.mark.parametrize("other", ["swapoff", "writer", "program"])
@pytest.mark.parametrize("guard", ["percpu_ref", "mmlist"])
@pytest.mark.parametrize(
    "strategy", [lambda: Exhaustive(bound=1), lambda: RandomWalk(150, seed=1)], ids=["one preemption", "seed 1"]
)
def test_whoever_comes_in_between_finds_what_was_written(strategy, guard, other):
    world = made(guard=guard)
    mm, start, unmap = world.array.mm, world.array.start, world.twin.mmap.mm_unmap
    others = {
        "swapoff": lambda: world.swapoff(world.off),
        "writer": lambda: world.user_write(world.array, 2, b"new word"),
        "program": lambda: unmap(world.array.index, start),
    }
    world.ready()

    def at_the_end():
        if other == "program":
            world.alone(world.twin.cache.cache_sweep(mm, world.twin.cache.EVERY_AREA))
            if world.twin.area.areas[world.off].inuse.v:
                raise WrongEnd("slots are left of a range that has gone")
        else:
            world.expect_bytes(world.array, {2: b"new word"} if other == "writer" else {})
        world.audit()

    machine = Machine(world.twin, [Actor("readahead", world.steps), Actor(other, others[other])], at_the_end)
    finding, tried = searched(machine, strategy())
    assert finding is None, finding
    assert tried > 5
