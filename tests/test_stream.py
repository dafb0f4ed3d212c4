"""Sequential readers: who is taken for one, and who has to show it first. From source; test_folio.py and test_stride.py have real memory."""

import pytest

from hotswap.lab import twin

FIRST = 1 << 16  # a page in the middle of an array
GIVEN = 16  # pages that a fault gets which nobody expected, where most belong to scans


class Reader:
    """A space's streams, and what is read for somebody who touches pages in turn, of which none is in memory at first. What is read
    ahead lies in the cache, and makes a fault that nobody waits for."""

    def __init__(self, given=GIVEN, levels=3):
        self.life = twin.load(["stream"])
        self.stream, self.given = self.life.stream, given
        self.mm = self.life.mm.mm_at(0)
        self.mm.levels = levels
        self.resident: set[int] = set()
        self.cached: set[int] = set()
        self.waits = 0

    def touch(self, page):
        if page in self.resident:
            return
        mm, cached = self.mm, page in self.cached
        self.waits += not cached
        number = self.stream.stream_expected(mm, page)
        start, pages = page // self.given * self.given, self.given
        if number == self.stream.STREAM_NONE:
            self.stream.stream_new(mm, start, pages, 0)
        else:
            if not cached and self.stream.stream_on_trial(mm, number, start, pages):
                start, pages = page, 1
            ahead = self.stream.Ahead.make()
            self.stream.stream_went_on(mm, number, start, pages, 256, ahead)
            self.cached.update(range(ahead.page, ahead.page + ahead.pages))
        self.resident.update(range(start, start + pages))

    @property
    def read(self):
        return len(self.resident | self.cached)

    def walk(self, start, step, count):
        for number in range(count):
            self.touch(start + number * step)
        return self


# In single pages stride.py finds out who goes in short steps, and hands him over.
@pytest.mark.parametrize(("given", "step"), [(1, 1), (1, -1), *((GIVEN, step) for step in (1, -1, 3, -3, 11, -11))])
@pytest.mark.parametrize("start", [0, 5, 15])
def test_who_goes_on_from_page_to_page_or_nearly_gets_all_that_lies_ahead(start, given, step):
    reader = Reader(given).walk(FIRST + start, step, 2000)
    assert reader.waits < 20, reader.waits
    assert reader.read >= 1999 * abs(step)


@pytest.mark.parametrize("given", [1, GIVEN])
@pytest.mark.parametrize("start", [0, 5, 15])
@pytest.mark.parametrize("step", [16, -16, 37, -37, 300])
def test_who_goes_in_longer_steps_gets_no_more_than_he_is_given(step, start, given):
    reader = Reader(given).walk(FIRST + start, step, 500)
    assert reader.read <= 500 * given


@pytest.mark.parametrize("step", [1, 16])
@pytest.mark.parametrize("times", [0, 1, 3])
def test_who_turns_round_shows_first_whether_he_wants_all(step, times):
    """A scan of 2,000 pages, of which the last 100 stay in memory; then the same pages again, the other way."""
    reader = Reader().walk(FIRST, 1, 2000)
    way = 1
    for _turn in range(times):
        way = -way
        stays = range(FIRST + 1900, FIRST + 2000) if way < 0 else range(FIRST, FIRST + 100)
        reader.resident, reader.cached, reader.waits = set(stays), set(), 0
        reader.walk(FIRST + (1999 if way < 0 else 0), way * step, 2000 // step)
        if step == 1:
            assert reader.waits < 20
        else:
            assert reader.waits > 50  # whoever gets all that lies between waits seldom
    assert times or reader.waits < 20


@pytest.mark.parametrize("step", [1, -1, 16])
def test_where_folios_have_one_size_nobody_is_tried(step):
    reader = Reader(levels=1).walk(FIRST, step, 1000)
    assert reader.waits < 20
