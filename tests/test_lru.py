"""Which way the parts of a block go that a scan brings back. From source; test_folio.py has real memory, docs/reclaim.md recorded traces."""

import pytest

from hotswap.lab import twin

BLOCK = 256  # pages


@pytest.fixture
def lru():
    return twin.load(["lru"])


@pytest.fixture
def mm(lru):
    """A space whose ``active`` is full."""
    mm = lru.mm.mm_at(0)
    mm.order, mm.active_pages, mm.active.pages = 8, 1000, 1000
    return mm


def ways(lru, mm, blocks, part):
    """Of each block that comes in parts of so many pages, which ways they go."""
    return [{bool(lru.lru.lru_turn(mm, block * BLOCK + page, part)) for page in range(0, BLOCK, part)} for block in blocks]


@pytest.mark.parametrize("part", [1, 16, BLOCK])
def test_one_block_in_eight_takes_the_place_of_what_is_oldest_all_of_it(lru, mm, part):
    found = ways(lru, mm, range(80), part)
    assert found == ([{False}] * 7 + [{True}]) * 10


def test_parts_go_the_same_way_where_active_fills_up_between_them(lru, mm):
    mm.active.pages = 0
    assert lru.lru.lru_turn(mm, 0, 16)
    mm.active.pages = 1000
    assert all(lru.lru.lru_turn(mm, page, 16) for page in range(16, BLOCK, 16))
    assert not lru.lru.lru_turn(mm, BLOCK, 16)
    mm.active.pages = 0
    assert not any(lru.lru.lru_turn(mm, BLOCK + page, 16) for page in range(16, BLOCK, 16))


def test_four_scans_at_once_do_not_mix_up_their_blocks(lru, mm):
    scans = [100 * number for number in range(4)]
    found = {(scan, number): set() for scan in scans for number in range(24)}
    for number in range(24):
        for page in range(0, BLOCK, 16):
            for scan in scans:
                found[scan, number].add(bool(lru.lru.lru_turn(mm, (scan + number) * BLOCK + page, 16)))
    assert all(len(way) == 1 for way in found.values())
    assert sum(way == {True} for way in found.values()) == 4 * 24 // 8


@pytest.mark.parametrize("part", [1, 16, BLOCK])
def test_what_was_said_of_a_block_holds_once_for_all_of_it(lru, mm, part):
    assert ways(lru, mm, [5] * 80, part) == ([{False}] * 7 + [{True}]) * 10
