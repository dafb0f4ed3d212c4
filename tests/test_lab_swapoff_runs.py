"""What a swapoff reads at one go: slots that are close to each other, and of those in between only that they may not be readable."""

import pytest

from hotswap.lab.world import World

MANY = 100


def made():
    """Eight single pages are out in slots in a row; two of them are in memory too, clean."""
    world = World()
    world.off = world.area(16)
    world.area(16, priority=-1)
    world.array = world.space(8, limit=16, order=0)
    world.fill(world.array)
    world.evict(world.array, 8)
    for page in (1, 6):
        world.alone(world.user_read(world.array, page))
    world.seam.wanted.clear()
    return world


def reads_of_a_swapoff(world):
    """How many there were."""
    world.seam.inject("disk_read", after=MANY)
    assert world.alone(world.swapoff(world.off))
    world.expect_off(world.off)
    left = world.seam.wanted.pop("disk_read")[-1][0]
    world.audit()
    world.expect_bytes(world.array)
    return MANY - left


def test_slots_of_pages_that_are_in_memory_do_not_part_a_transfer():
    assert reads_of_a_swapoff(made()) == 2  # of four pages each, which is all that is in hand at one time here


@pytest.mark.parametrize("fails", [0, 1])
def test_a_transfer_that_fails_is_made_folio_by_folio(fails):
    """As it may have been one of the slots in between that could not be read."""
    world = made()
    world.seam.inject("disk_read", after=fails)
    assert reads_of_a_swapoff(world) == 1 + 3  # those that did not fail before it was counted, and the folios of the one that did
