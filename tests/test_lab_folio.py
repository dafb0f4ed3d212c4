"""Folios that change their size, on the engine as it is run from source: who may come in between, and what they find."""

import pytest
import support

from hotswap.lab.findings import WrongEnd
from hotswap.lab.machine import Actor, Machine
from hotswap.lab.scenario.switches import Switch
from hotswap.lab.strategy.exhaustive import Exhaustive
from hotswap.lab.strategy.random_walk import RandomWalk
from hotswap.lab.world import World

pytestmark = pytest.mark.timeout(240)  # the search of a third of a minute, on a busy machine

NEW = b"new word"


def made(pages=8, areas=2, slots=32, **more):
    """A space whose folios have the size that suits, of 1, 2 or 4 pages, with an array that is all written."""
    world = World(**more)
    world.off = world.area(slots)
    for number in range(1, areas):
        world.area(slots, priority=-number)
    world.array = world.space(pages, limit=16, order=world.twin.sizes.ADAPTIVE)
    world.fill(world.array)
    return world


def orders(world):
    """Of the array's folios, in order."""
    mm, found, page = world.twin.mm, [], 0
    while page < world.array.pages:
        found.append(world.array.pte(page) >> mm.PTE_ORDER_SHIFT & 15)
        page += 1 << found[-1]
    return found


def searched(world, actors, check, strategy):
    """The finding, or None."""
    world.ready()

    def at_the_end():
        check()
        world.audit()

    machine = Machine(world.twin, [Actor(name, function) for name, function in actors.items()], at_the_end)
    finding, tried = support.searched(machine, strategy)
    assert finding or tried > 10
    return finding


def strategies(schedules=250):
    return pytest.mark.parametrize(
        "strategy",
        [Exhaustive(bound=1), RandomWalk(schedules, seed=1), RandomWalk(schedules, seed=2)],
        ids=["one preemption", "seed 1", "seed 2"],
    )


def nobody_expected(world):
    """No reader is, wherever: faults get what they touch."""
    for number in range(world.twin.mm.STREAMS):
        world.array.mm.streams[number].next.v = 0
    world.array.mm.vmas[0].dense.v = 0


def test_first_touches_grow_and_scattered_ones_do_not():
    world = made(16, slots=64)
    assert orders(world) == [1, 1, 2, 2, 2]
    start = world.alone(world.twin.mmap.mm_map(world.array.index, 8, world.twin.sizes.LARGEST_ORDER))
    world.array.start, world.array.base = start, world.array.mm.arena + (start << 12)
    world.array.pages = 8
    world.alone(world.user_write(world.array, 5, NEW))
    assert [world.array.pte(page) for page in (4, 6)] == [0, 0]


def test_a_scattered_fault_takes_a_page_out_of_a_folio_and_readahead_makes_it_whole_again():
    world = made()
    world.evict(world.array, 8)
    assert orders(world) == [1, 1, 2]
    nobody_expected(world)
    world.alone(world.user_read(world.array, 6))
    assert orders(world) == [1, 1, 1, 0, 0]
    world.audit()
    world.evict(world.array, 8)
    world.alone(world.twin.readahead.read_window(world.array.mm, world.array.start, 8))
    assert orders(world) == [2, 2]
    world.expect_bytes(world.array)
    world.audit()


def test_a_write_takes_a_page_out_of_a_clean_folio_and_the_rest_keeps_its_slots():
    world = made()
    world.evict(world.array, 8)
    mm = world.array.mm
    world.array.mm.vmas[0].dense.v = 255
    mm.streams[0].next.v, mm.streams[0].first.v, mm.streams[0].window.v = world.array.start + 4, world.array.start, 4
    world.alone(world.user_read(world.array, 4))  # expected there: all of it comes in
    assert orders(world)[-1] == 2 and mm.resident.v == 4
    nobody_expected(world)
    world.alone(world.user_write(world.array, 6, NEW))
    kinds = [world.array.pte(page) & world.twin.mm.PTE_KIND for page in (4, 6, 7)]
    clean, dirty = world.twin.mm.PTE_CLEAN, world.twin.mm.PTE_DIRTY
    assert orders(world)[2:] == [1, 0, 0] and kinds == [clean, dirty, clean]
    world.audit()
    world.expect_bytes(world.array, {6: NEW})


def torn(page):
    """A space with one array, the largest folio there can be, of which ``page`` came in by itself and all is dirty now, in parts."""
    world = made(4, areas=1, FRAMES_LEAST=8, STAGING_LEAST=32)
    world.evict(world.array, 4)
    world.alone(world.twin.readahead.read_window(world.array.mm, world.array.start, 4))
    world.alone(world.twin.cache.cache_sweep(world.array.mm, world.twin.cache.EVERY_AREA))
    assert orders(world) == [2]
    nobody_expected(world)
    world.fill(world.array, [page])
    parts = orders(world)
    assert sorted(parts) == [0, 0, 1]
    # All the rest is asked for by somebody who comes down from behind it.
    reader, start = world.array.mm.streams[0], world.array.start
    reader.first.v, reader.next.v, reader.window.v, reader.ahead.v, reader.trial.v = start + 4, start + 4, 4, start, 0
    world.fill(world.array, range(4)[::-1])
    assert orders(world) == parts
    return world


def merged(world):
    return world.alone(world.twin.folio.folio_merge(world.array.mm, world.array.start, 2))


@pytest.mark.parametrize("page", range(4))
def test_what_was_torn_and_leaves_at_one_time_gets_slots_as_one_folio_has_them(page):
    world = torn(page)
    parts = orders(world)
    world.evict(world.array, 4)
    assert orders(world) == parts
    firsts = [sum(1 << order for order in parts[:number]) for number in range(3)]
    slots = [world.array.pte(first) >> world.twin.mm.PTE_ENTRY_SHIFT for first in firsts]
    assert [slot - slots[0] for slot in slots] == firsts
    world.audit()
    assert merged(world) and orders(world) == [2]
    world.expect_bytes(world.array)
    world.audit()


def test_what_leaves_at_different_times_gets_slots_where_there_are_some():
    world = torn(0)
    shrink = world.twin.reclaim.shrink
    while world.array.mm.resident.v:
        assert world.alone(shrink(world.array.mm, 1, True))
    world.alone(world.twin.cache.cache_sweep(world.array.mm, world.twin.cache.EVERY_AREA))
    assert not merged(world)
    world.expect_bytes(world.array)
    world.audit()


@pytest.mark.parametrize("page", range(4))
def test_a_page_on_standby_is_dropped_where_the_rest_of_a_folio_is_out(page):
    world = torn(0)
    world.evict(world.array, 4)
    world.alone(world.twin.folio.folio_part(world.array.mm, world.array.start + 2))
    assert orders(world) == [0, 0, 0, 0]
    world.late_readahead(world.array, page)
    assert len(world.cached()) == 1
    assert merged(world) and orders(world) == [2] and not world.cached()
    world.expect_bytes(world.array)
    world.audit()


def test_what_is_mostly_in_the_cache_or_being_read_is_left_there():
    world = torn(0)
    assert world.alone(world.twin.reclaim.shrink(world.array.mm, 4, True)) == 4
    assert len(world.cached()) == 4 and not merged(world) and len(world.cached()) == 4
    world.alone(world.twin.cache.cache_sweep(world.array.mm, world.twin.cache.EVERY_AREA))
    mm, cache = world.array.mm, world.twin.cache
    frame = world.alone(world.twin.frames.frame_take(mm, False, 0))
    assert not world.alone(cache.cache_reserve(mm, world.array.pte(0) >> world.twin.mm.PTE_ENTRY_SHIFT, 1, frame))
    assert not merged(world) and len(world.cached()) == 1
    world.alone(cache.cache_settle(mm, frame, False))
    assert merged(world)
    world.expect_bytes(world.array)
    world.audit()


@strategies()
def test_two_first_touches_of_one_block_make_it_one_folio(strategy):
    world = World()
    world.area(16)
    world.array = world.space(4, limit=16, order=world.twin.sizes.ADAPTIVE)
    actors = {
        "one": lambda: world.user_write(world.array, 0, NEW),
        "two": lambda: world.user_write(world.array, 1, NEW),
    }

    def check():
        world.expect_bytes(world.array, {0: NEW, 1: NEW, 2: bytes(8), 3: bytes(8)})

    assert searched(world, actors, check, strategy) is None


@strategies()
def test_two_faults_and_a_swapoff_of_what_they_split(strategy):
    world = made(4, areas=2)
    world.evict(world.array, 4)
    world.alone(world.twin.readahead.read_window(world.array.mm, world.array.start, 4))
    world.alone(world.twin.cache.cache_sweep(world.array.mm, world.twin.cache.EVERY_AREA))
    assert orders(world) == [2]
    nobody_expected(world)
    actors = {
        "reader": lambda: world.user_read(world.array, 1),
        "writer": lambda: world.user_write(world.array, 2, NEW),
        "swapoff": lambda: world.swapoff(world.off),
    }

    def check():
        world.expect_off(world.off)
        world.expect_bytes(world.array, {2: NEW})

    assert searched(world, actors, check, strategy) is None


@strategies()
def test_readahead_merges_what_is_written_and_evicted(strategy):
    readahead_merges("percpu_ref", strategy)


@strategies()
def test_readahead_merges_where_a_section_is_the_mmap_lock_and_takes_that_once(strategy):
    readahead_merges("mmlist", strategy)


def readahead_merges(guard, strategy):
    world = made(4, areas=1, guard=guard)
    world.evict(world.array, 4)
    nobody_expected(world)
    actors = {
        "readahead": lambda: world.twin.readahead.read_window(world.array.mm, world.array.start, 4),
        "writer": lambda: world.user_write(world.array, 1, NEW),
        "reclaim": lambda: world.reclaim(world.array, 4),
    }

    def check():
        world.expect_bytes(world.array, {1: NEW})

    assert searched(world, actors, check, strategy) is None


@strategies()
def test_a_range_goes_while_readahead_merges_it(strategy):
    world = made(4, areas=1, FRAMES_LEAST=8, STAGING_LEAST=32)
    world.evict(world.array, 4)
    mm, start, unmap = world.array.mm, world.array.start, world.twin.mmap.mm_unmap
    actors = {
        "readahead": lambda: world.twin.readahead.read_window(mm, start, 4),
        "program": lambda: unmap(world.array.index, start),
    }

    def check():
        world.alone(world.twin.cache.cache_sweep(mm, world.twin.cache.EVERY_AREA))
        if world.twin.area.areas[world.off].inuse.v:
            raise WrongEnd("slots are left of a range that has gone")

    assert searched(world, actors, check, strategy) is None


def test_a_folio_without_slots_in_a_row_is_written_page_by_page():
    world = World()
    world.off = world.area(9)
    world.array = world.space(12, limit=16, order=world.twin.sizes.ADAPTIVE)
    world.fill(world.array, range(8))
    world.evict(world.array, 8)
    nobody_expected(world)
    world.fill(world.array, range(8, 12))
    assert orders(world)[-1] == 1
    world.fill(world.array, range(1, 8, 2))  # their slots are free now, none next to another
    splits = world.array.mm.counter[world.twin.mm.FOLIO_SPLITS].v
    world.evict(world.array, 4)
    kinds = [world.array.pte(page) & world.twin.mm.PTE_KIND for page in range(8, 12)]
    assert kinds == [world.twin.mm.PTE_SWAPPED] * 4 and world.array.mm.counter[world.twin.mm.FOLIO_SPLITS].v == splits + 2
    world.audit()
    world.expect_bytes(world.array)
    world.audit()


def test_what_was_seen_before_the_lock_is_not_merged():
    unseen = Switch("merge-unseen", "folio", "merge_lock", "state = arch.load(", nth=2)
    for patches, harmful in (((), False), ((unseen,), True)):
        world = made(4, areas=1, patches=patches)
        world.evict(world.array, 4)
        nobody_expected(world)
        actors = {
            "readahead": lambda world=world: world.twin.readahead.read_window(world.array.mm, world.array.start, 4),
            "writer": lambda world=world: world.user_write(world.array, 1, NEW),
        }
        found = searched(world, actors, lambda world=world: world.expect_bytes(world.array, {1: NEW}), Exhaustive(bound=1))
        assert (found is not None) == harmful
