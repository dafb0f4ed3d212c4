"""Fork of an address space, on the engine as it is run from source: bytes of both, counts, and what is refused."""

import errno

import pytest

from hotswap.lab.findings import WrongEnd
from hotswap.lab.machine import Actor, Machine
from hotswap.lab.strategy.random_walk import RandomWalk
from hotswap.lab.world import World, stamp

ORDERS = pytest.mark.parametrize("order", [0, 1])


def family(pages=4, slots=64, order=0, **more):
    """A parent with an array, an empty child, two areas."""
    made = World(**more)
    made.off = made.area(slots)
    made.area(slots, priority=-1)
    made.array = made.space(pages, limit=16, order=order)
    made.copy = made.child(made.array, limit=16)
    return made


def kind(world, space, page):
    return world.twin.mm.PTE_KIND & space.pte(page)


def counts(world, type):
    """References of the slots in use."""
    table = world.twin.area.areas[type].map.items
    return sorted(byte for slot, byte in table.items() if byte and byte != world.twin.swap_map.SWAP_MAP_BAD)


@ORDERS
@pytest.mark.parametrize("out", [0, 2, 4])
def test_the_child_has_the_parents_bytes_and_shares_its_slots(order, out):
    world = family(order=order)
    world.fill(world.array)
    world.evict(world.array, out)
    assert world.alone(world.fork(world.array, world.copy)) == 0
    world.audit()
    assert counts(world, world.off) == [2] * 4
    assert all(kind(world, world.copy, page) == world.twin.mm.PTE_SWAPPED for page in range(0, 4, 1 << order))
    world.expect_bytes(world.copy)
    world.expect_bytes(world.array)
    world.audit()


@ORDERS
def test_a_write_is_seen_by_its_writer_only_and_counts_follow(order):
    world = family(order=order)
    world.fill(world.array)
    assert world.alone(world.fork(world.array, world.copy)) == 0
    world.alone(world.user_write(world.array, 1, b"parent's"))
    world.alone(world.user_write(world.copy, 2, b"child's."))
    world.expect_bytes(world.array, {1: b"parent's"})
    world.expect_bytes(world.copy, {2: b"child's."})
    world.audit()
    assert counts(world, world.off) == ([1, 1, 2, 2] if order == 0 else [1, 1, 1, 1])


def test_a_folio_of_one_value_takes_no_slot_in_either():
    world = family()
    world.alone(world.user_write(world.array, 0, b"8 bytes." * 512))  # a page of one value, in memory and dirty
    world.alone(world.user_write(world.array, 1, b"another." * 512))
    world.alone(world.twin.reclaim.shrink(world.array.mm, 1, True))  # the first is FILLED now
    assert kind(world, world.array, 0) == world.twin.mm.PTE_FILLED
    assert world.alone(world.fork(world.array, world.copy)) == 0
    assert [kind(world, world.copy, page) for page in range(3)] == [world.twin.mm.PTE_FILLED] * 2 + [0]
    assert counts(world, world.off) == []
    world.alone(world.user_write(world.array, 1, b"mine now"))
    world.expect_bytes(world.copy, {0: b"8 bytes.", 1: b"another.", 2: bytes(8), 3: bytes(8)})
    world.expect_bytes(world.array, {0: b"8 bytes.", 1: b"mine now", 2: bytes(8), 3: bytes(8)})
    world.audit()


def test_a_poisoned_folio_stays_poisoned():
    world = family()
    world.fill(world.array)
    world.evict(world.array, 4)
    pte = world.array.mm.ptes[world.array.start]
    entry = pte.state.v >> world.twin.mm.PTE_ENTRY_SHIFT
    world.alone(world.twin.fault.release_entry(entry, 0))
    pte.state.v = world.twin.mm.pte_make(world.twin.mm.PTE_POISON, 0, 0)
    assert world.alone(world.fork(world.array, world.copy)) == 0
    with pytest.raises(WrongEnd, match="page 0 of the array is lost"):
        world.expect_bytes(world.copy)


def test_a_pinned_folio_is_refused_and_nothing_is_left_behind():
    world = family()
    world.fill(world.array)
    world.evict(world.array, 2)
    assert world.alone(world.twin.pin.mm_pin(world.array.index, world.array.start + 3, 1)) == 0
    assert world.alone(world.fork(world.array, world.copy)) == -errno.EBUSY
    assert world.copy.mm.vma_count == 0
    assert 2 not in counts(world, world.off)
    world.alone(world.twin.pin.mm_unpin(world.array.index, world.array.start + 3, 1))
    world.expect_bytes(world.array)
    world.audit()
    assert world.alone(world.fork(world.array, world.copy)) == 0
    world.expect_bytes(world.copy)


def test_full_areas_refuse_a_fork_and_the_parent_may_go_on_writing():
    world = World()
    world.area(3)  # two slots
    world.array = world.space(4, limit=16)
    world.copy = world.child(world.array)
    world.fill(world.array)
    assert world.alone(world.fork(world.array, world.copy)) == -errno.ENOSPC
    assert world.copy.mm.vma_count == 0
    assert 2 not in counts(world, 0)
    for page in range(4):
        world.alone(world.user_write(world.array, page, b"written!"))
    world.expect_bytes(world.array, dict.fromkeys(range(4), b"written!"))
    world.audit()


def test_a_count_beyond_its_byte_is_continued_and_no_memory_for_it_is_said():
    world = family(pages=2, order=1)
    world.fill(world.array)
    world.evict(world.array, 2)
    entry = world.array.pte(0) >> world.twin.mm.PTE_ENTRY_SHIFT
    for _ in range(61):
        assert world.alone(world.twin.swap_map.swap_duplicate(entry, 2)) == 0
    world.seam.inject("table", errno.ENOMEM)
    assert world.alone(world.fork(world.array, world.copy)) == -errno.ENOMEM
    assert world.copy.mm.vma_count == 0
    assert world.alone(world.twin.swap_map.swap_count(entry)) == 62
    assert world.alone(world.fork(world.array, world.copy)) == 0
    assert world.alone(world.twin.swap_map.swap_count(entry)) == 63
    assert world.alone(world.twin.swap_map.swap_count(entry + 1)) == 63
    world.expect_bytes(world.copy)
    assert world.alone(world.twin.fork.mm_exit(world.copy.index)) == 0
    assert world.alone(world.twin.swap_map.swap_count(entry)) == 62


@ORDERS
@pytest.mark.parametrize("first", ["parent", "child"])
def test_the_last_to_go_frees_the_slots(order, first):
    world = family(order=order)
    world.fill(world.array)
    world.evict(world.array, 2)
    assert world.alone(world.fork(world.array, world.copy)) == 0
    leaver, stayer = (world.array, world.copy) if first == "parent" else (world.copy, world.array)
    assert world.alone(world.twin.fork.mm_exit(leaver.index)) == 0
    world.spaces.remove(leaver)
    assert counts(world, world.off) == [1] * 4
    world.expect_bytes(stayer)
    world.audit()
    assert world.alone(world.twin.fork.mm_exit(stayer.index)) == 0
    world.spaces.remove(stayer)
    assert counts(world, world.off) == []
    world.audit()


def test_a_frame_of_another_space_does_not_keep_slots_that_nobody_refers_to():
    """The parent's frame has the bytes on standby; it lets go first, the child last."""
    world = family(pages=1)
    world.fill(world.array)
    world.alone(world.twin.reclaim.shrink(world.array.mm, 1, True))
    assert world.cached()
    assert world.alone(world.fork(world.array, world.copy)) == 0
    start = world.array.start
    assert world.alone(world.user_read(world.copy, 0)) == stamp(0)  # neither takes the parent's frame nor waits for it
    assert world.cached()
    assert world.alone(world.twin.mmap.mm_unmap(world.array.index, start)) == 0
    assert world.alone(world.twin.mmap.mm_unmap(world.copy.index, start)) == 0
    assert counts(world, world.off) == []
    assert not world.cached()
    world.audit()


@ORDERS
def test_swapoff_empties_parent_and_child(order):
    world = family(order=order)
    world.fill(world.array)
    world.evict(world.array, 2)
    assert world.alone(world.fork(world.array, world.copy)) == 0
    assert world.alone(world.swapoff(world.off))
    world.expect_off(world.off)
    world.expect_bytes(world.array)
    world.expect_bytes(world.copy)
    world.audit()


def torn(world):
    """The parent's program writes two pages in turn while a fork and a swapoff are under way: does a child ever have the second
    and not the first?"""
    world.fill(world.array)
    world.evict(world.array, 1)
    world.alone(world.user_read(world.array, 0))  # in and clean: shared at once, and a swapoff makes it dirty
    world.ready()

    def writer():
        yield from world.user_write(world.array, 0, b"written1")
        yield from world.user_write(world.array, 2, b"written2")

    def fork_and_look():
        assert (yield from world.fork(world.array, world.copy)) == 0
        first = yield from world.user_read(world.copy, 0)
        last = yield from world.user_read(world.copy, 2)
        seen.add((first, last))

    def check():
        world.audit()
        world.expect_off(world.off)
        world.expect_bytes(world.array, {0: b"written1", 2: b"written2"})

    seen = set()
    actors = [Actor("writer", writer), Actor("fork", fork_and_look), Actor("swapoff", lambda: world.swapoff(world.off))]
    machine, strategy = Machine(world.twin, actors, check), RandomWalk(seed=1, schedules=400)
    while strategy.begin():
        if finding := machine.run(strategy).finding:
            raise finding
    assert (stamp(0), stamp(2)) in seen
    assert (b"written1", b"written2") in seen
    return (stamp(0), b"written2") in seen


@pytest.mark.parametrize("guard", ["percpu_ref", "mmlist"])
def test_what_the_child_has_is_of_one_moment(guard):
    assert not torn(family(pages=3, guard=guard))


@pytest.mark.parametrize("room", [64, 0], ids=["clean", "loaded"])
def test_a_swapoff_leaves_the_protection_of_what_it_makes_dirty_on(room):
    """A fork under way may have copied the folio: a write has to ask first, and waits for the fork's mmap lock."""
    world = World()
    off = world.area(16)
    array = world.space(2, limit=16)
    world.fill(array)
    world.evict(array, 2)
    if room:
        world.area(room)
        world.alone(world.user_read(array, 0))
    assert world.alone(world.swapoff(off))
    assert kind(world, array, 0) == world.twin.mm.PTE_DIRTY
    assert world.seam.page_at(array.address(0)).protected
    world.alone(world.user_write(array, 0, b"written!"))
    world.expect_bytes(array, {0: b"written!"})
