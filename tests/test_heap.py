"""Ranges as an allocator has them, on the engine as it is run from source: what changes length or place keeps its bytes and slots."""

import errno

import pytest

from hotswap.lab.world import World, stamp

ORDERS = pytest.mark.parametrize("order", [0, 1])


def world_with(pages=4, order=0, out=2, **more):
    """An array of which some pages are out, and some in memory: dirty, and clean."""
    made = World(**more)
    made.off = made.area(64)
    made.area(64, priority=-1)
    made.array = made.space(pages, limit=32, order=order)
    made.fill(made.array)
    made.evict(made.array, out)
    made.alone(made.user_read(made.array, 0))
    return made


@ORDERS
@pytest.mark.parametrize("out", [0, 2, 4])
@pytest.mark.parametrize("copy", [False, True])
def test_a_range_that_moves_keeps_its_bytes_and_reads_nothing(order, out, copy):
    world = world_with(order=order, out=out)
    mm = world.array.mm
    if copy:
        mm.features &= ~world.seam.MMU_MOVE
    before = world.twin.mm.PAGES_IN
    reads = mm.counter[before].v
    to = world.alone(world.twin.mmap.mm_map(world.array.index, 8, order))
    assert world.alone(world.twin.mremap.mm_move(world.array.index, world.array.start, to, 4)) == 0
    assert mm.counter[before].v == reads
    assert world.alone(world.twin.mmap.mm_unmap(world.array.index, world.array.start)) == 0
    world.array.base += (to - world.array.start) * 4096
    world.array.start = to
    world.expect_bytes(world.array)
    world.audit()
    assert world.alone(world.swapoff(world.off))
    world.expect_bytes(world.array)


@ORDERS
def test_a_range_grows_where_it_is_or_is_refused(order):
    world = world_with(order=order)
    index, start = world.array.index, world.array.start
    assert world.alone(world.twin.mremap.mm_resize(index, start, 8)) == 8
    world.expect_bytes(world.array)
    assert world.alone(world.user_read(world.array, 7)) == bytes(8)
    assert world.alone(world.twin.mmap.mm_map(index, 2, order)) >= 0  # what follows is taken now
    assert world.alone(world.twin.mremap.mm_resize(index, start, 16)) == -errno.ENOMEM
    assert world.alone(world.twin.mremap.mm_resize(index, start + 1, 16)) == -errno.EINVAL
    world.expect_bytes(world.array)


@ORDERS
def test_what_is_cut_off_gives_its_slots_back_and_reads_as_zeros_when_it_comes_again(order):
    world = world_with(order=order, out=4)
    index, start = world.array.index, world.array.start
    assert world.alone(world.twin.mremap.mm_resize(index, start, 2)) == 2
    assert world.alone(world.twin.mremap.mm_resize(index, start, 4)) == 4
    assert world.alone(world.user_read(world.array, 0)) == stamp(0)
    assert world.alone(world.user_read(world.array, 3)) == bytes(8)
    world.audit()


def test_what_is_pinned_is_not_moved():
    world = world_with()
    assert world.alone(world.twin.pin.mm_pin(world.array.index, world.array.start + 3, 1)) == 0
    to = world.alone(world.twin.mmap.mm_map(world.array.index, 4, 0))
    assert world.alone(world.twin.mremap.mm_move(world.array.index, world.array.start, to, 4)) == -errno.EBUSY
    world.expect_bytes(world.array)
    world.audit()


def test_a_new_block_has_its_pages_while_the_limit_has_room_to_spare():
    world = World(VMAS=8)
    world.alone(world.twin.commit.commit_area(world.area(64), 63))
    array = world.space(1, limit=24)
    mm, heap = array.mm, world.twin.heap
    block = world.alone(heap.heap_map(array.index, 2 * 4096, False))
    assert mm.resident.v == 2
    faults = mm.counter[world.twin.mm.FAULTS_ZERO].v
    for page in range(2):
        assert world.alone(world.access(array, "user_read", block + page * 4096, 8)) == bytes(8)
    assert mm.counter[world.twin.mm.FAULTS_ZERO].v == faults
    assert world.alone(heap.heap_map(array.index, 2 * 4096, True)) and mm.resident.v == 2  # zeros may never be written
    # Of a block that is larger than a part of the limit only so much; of one that is made when a quarter is free no more, nothing.
    most = mm.budget.v >> heap.KEPT_SHIFT
    large = world.alone(heap.heap_map(array.index, 32 * 4096, False))
    assert large and mm.resident.v == 2 + most < 2 + 32
    while world.alone(heap.roomy(array.index)):
        world.alone(world.access(array, "user_write", large + mm.resident.v * 4096, b"8 bytes."))
    before = mm.resident.v
    assert world.alone(heap.heap_map(array.index, 4096, False))
    assert mm.resident.v == before
    assert before <= mm.budget.v - (mm.budget.v >> heap.ROOMY_SHIFT)
