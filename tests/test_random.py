"""A long random test with a model of every page's content.

``HOTSWAP_TEST_SEED`` repeats a run's choices (threads still interleave as they like); ``HOTSWAP_TEST_SECONDS`` makes it longer.
What is random: two spaces, three threads that write, fill, compare, pin, free and allocate; two that pull areas, some of the
time cancelled half way; one that moves the limits. At the end every page is compared and no slot is in use.
"""

import os
import random

import numpy as np
import pytest
from support import MIB, PAGE, WORDS, Crew, Pages, eventually, pattern, used

import hotswap
from hotswap import AreaError, OutOfSwap, Space

pytestmark = pytest.mark.usefixtures("nothing_leaked")
SECONDS = float(os.environ.get("HOTSWAP_TEST_SECONDS", "10"))
SEED = int(os.environ.get("HOTSWAP_TEST_SEED", str(random.SystemRandom().randrange(1 << 32))))
FILL = 1 << 63  # a generation with this bit says that each word of the page is the rest of it


class Model(Pages):
    """Pages that may also be filled with one value."""

    def fill(self, first, count, value):
        self.words[first : first + count] = value
        self.generation[first : first + count] = FILL | value

    def wanted(self, first, count):
        generations = self.generation[first : first + count]
        words = pattern(np.arange(first, first + count) + self.name, generations)
        filled = generations >= FILL
        words[filled] = (generations[filled] & np.uint64(FILL - 1))[:, None]
        words[generations == 0] = 0
        return words

    def check(self, first=0, count=None):
        count = self.count - first if count is None else count
        for start in range(first, first + count, 256):
            many = min(256, first + count - start)
            got, want = self.words[start : start + many], self.wanted(start, many)
            if not np.array_equal(got, want):
                page = start + int(np.flatnonzero((got != want).any(axis=1))[0])
                now = self.words[page]
                wrong = np.flatnonzero(now != want[page - start])
                raise AssertionError(
                    f"page {page} of {self.count} of array {self.name >> 24}, generation {int(self.generation[page]):#x}: "
                    f"{len(wrong)} of {WORDS} words differ on a second look, first {wrong[:3]}: {now[wrong[:3]]}"
                )


class Worker:
    """A thread's arrays and what it does with them."""

    def __init__(self, number, spaces, seed):
        self.random = np.random.default_rng([seed, number])
        self.number, self.spaces = number, spaces
        self.models = []
        self.next = number * 1000
        self.done = dict.fromkeys(("allocate", "free", "write", "fill", "compare", "pin", "refused"), 0)

    def step(self):
        what = self.random.choice(["allocate", "free", "write", "fill", "compare", "pin"], p=[0.06, 0.03, 0.4, 0.11, 0.35, 0.05])
        if not self.models:
            what = "allocate"
        if what == "allocate":
            return self.allocate()
        model = self.models[int(self.random.integers(len(self.models)))]
        if what == "free":
            self.models = [other for other in self.models if other is not model]
            model.check()
        else:
            many = int(self.random.integers(1, min(96, model.count) + 1))
            first = int(self.random.integers(0, model.count - many + 1))
            getattr(self, what)(model, first, many)
        self.done[what] += 1

    def allocate(self):
        space = self.spaces[int(self.random.integers(len(self.spaces)))]
        size = int(self.random.choice([PAGE, 3 * PAGE, 100 * PAGE, MIB, 3 * MIB]))
        folio = self.random.choice(["4K", "16K"]) if self.random.random() < 0.3 else None
        if sum(model.count for model in self.models) * PAGE + size > 7 * MIB:
            return
        try:
            self.models.append(Model(space, size, self.next % 2000, folio=folio))
        except OutOfSwap:
            self.done["refused"] += 1
            return
        self.next += 1
        self.done["allocate"] += 1

    def write(self, model, first, many):
        model.check(first, many)
        model.stamp(first, many, int(self.random.integers(1, 1 << 30)))

    def fill(self, model, first, many):
        model.fill(first, many, int(self.random.choice([0, 1, 1 << 62, self.random.integers(1 << 62)])))

    def compare(self, model, first, many):
        model.check(first, many)

    def pin(self, model, first, many):
        space = next(space for space in self.spaces if space is model_space(model))
        try:
            with space.resident(model.words[first : first + many]):
                model.check(first, many)
                model.stamp(first, many, int(self.random.integers(1, 1 << 30)))
        except OutOfSwap:
            self.done["refused"] += 1


def model_space(model):
    """The space an array belongs to: its base is the extent."""
    base = model.array
    while isinstance(base, np.ndarray):
        base = base.base
    return base.space


class Stop(Exception):
    pass


def pulling(paths, random, counts):
    def pull():
        path = paths[int(random.integers(len(paths)))]
        cancel = random.random() < 0.3

        def progress(step):
            if cancel:
                raise Stop

        try:
            hotswap.swapoff(path, progress=progress)
        except Stop:
            counts["cancelled"] += 1
        except AreaError as error:
            assert "fit neither" in str(error), error
            counts["no room"] += 1
        if path in [swap.path for swap in hotswap.swaps()]:
            return
        counts["off"] += 1
        hotswap.swapon(path, priority=int(random.integers(0, 3)))

    return pull


def moving_limits(spaces, random):
    def move():
        space = spaces[int(random.integers(len(spaces)))]
        try:
            space.limit = int(random.integers(4 * MIB, 9 * MIB))
        except OutOfSwap:
            pass  # the limit is as before then

    return move


@pytest.mark.timeout(SECONDS * 2 + 60)
def test_random_work_never_reads_what_was_not_written(areas, monkeypatch):
    print(f"HOTSWAP_TEST_SEED={SEED} HOTSWAP_TEST_SECONDS={SECONDS}")
    monkeypatch.setattr("hotswap.control._TICK_US", 1000)
    first, second = areas(2, "24M"), areas(2, "24M")
    with Space("6M", "16K") as one, Space("8M") as two:
        workers = [Worker(number, (one, two), SEED) for number in range(3)]
        counts = {"off": 0, "cancelled": 0, "no room": 0}
        crew = Crew()
        for worker in workers:
            crew.start(worker.step)
        crew.start(pulling(first, np.random.default_rng([SEED, 10]), counts))
        crew.start(pulling(second, np.random.default_rng([SEED, 11]), counts))
        crew.start(moving_limits((one, two), np.random.default_rng([SEED, 12])))
        crew.work(SECONDS)
        done = {what: sum(worker.done[what] for worker in workers) for what in workers[0].done}
        print(crew.rounds, done, counts)
        assert all(done[what] for what in ("allocate", "free", "write", "fill", "compare", "pin")), done
        assert counts["off"] > 0, counts
        for worker in workers:
            for model in worker.models:
                model.check()
        del workers, worker, model, crew
        assert eventually(lambda: used() == 0), f"{used()} bytes of slots are in use and nobody owns them"


@pytest.mark.parametrize("what", ["a word", "a page that was never written", "a filled page"])
def test_the_model_sees_a_wrong_page(areas, what):
    """The negative control: one word that is not what was written is found."""
    areas()
    with Space("4M") as space:
        model = Model(space, 6 * MIB, 3)
        model.stamp(0, 1000, 5)
        model.fill(1000, 100, 77)
        model.check()
        page, word = {"a word": (500, 511), "a page that was never written": (1400, 0), "a filled page": (1050, 8)}[what]
        model.words[page, word] ^= np.uint64(1)
        with pytest.raises(AssertionError, match=f"page {page} of 1536"):
            model.check()
        del model


def test_a_page_of_another_place_or_time_is_seen(areas):
    areas()
    with Space("4M") as space:
        model = Model(space, MIB)
        model.stamp(0, 256, 1)
        old = model.words[7].copy()
        model.stamp(7, 1, 2)
        model.words[7] = old
        with pytest.raises(AssertionError, match="page 7 of"):
            model.check()
        model.stamp(0, 256, 3)
        model.words[9] = model.words[8].copy()
        with pytest.raises(AssertionError, match="page 9 of"):
            model.check(9, 1)
        del model
