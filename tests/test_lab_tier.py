"""Compressed RAM on the engine as it is run from source: what is written back while somebody else frees, writes, reads or switches off.

The codec is the lab's (zlib); pool, slots, write-back and all locks are the engine's.
"""

import random

import pytest

from hotswap.lab.findings import NullDereference, UseAfterFree, WrongEnd
from hotswap.lab.machine import Actor, Machine
from hotswap.lab.memory import name_of
from hotswap.lab.scenario.switches import Switch
from hotswap.lab.strategy.exhaustive import Exhaustive
from hotswap.lab.strategy.pct import Pct
from hotswap.lab.world import World, stamp

SMALL = {"PIECE_SLOTS": 2, "STRETCH": 8, "HIGH": 0, "LOW": 0, "RAM_SHARE": 1 << 20, "CODECS": 4}
NEW = random.Random(5).randbytes(4096)  # does not pack, so that it goes to the file


def tier(front=True, pages=2, slots=8, **more):
    """Stamped pages that are out, packed, and can be written back: to the file behind, or to an area that has one."""
    world = World(**{**SMALL, **more})
    world.packed = world.packing(slots, 5, front)
    if not front:
        world.file = world.area(16)
    world.array = world.space(pages, limit=16)
    world.fill(world.array)
    world.evict(world.array, pages)
    assert ram_of(world).stored.v == pages * 4096
    return world


def ram_of(world):
    return world.twin.store.ram.rams[world.packed]


def write_back(world):
    return world.outside(world.twin.writeback.writeback_some(world.packed))


def entries(world):
    return [world.array.pte(page) for page in range(world.array.pages)]


def leftovers(world):
    """Beside the audit: what a tier must not leave."""
    world.audit()
    ram = ram_of(world)
    if ram.pool.lock.owner is not None:
        raise WrongEnd(f"{name_of(ram.pool.lock)} is held at the end")
    if world.twin.area.objects[world.packed].inuse.v == 0 and (ram.stored.v or ram.packed.v or world.array.mm.packed.v):
        raise WrongEnd(f"nothing is in use and {ram.stored.v} bytes are stored in {ram.packed.v}")


def found(world, actors, want=None, strategy=None):
    """The finding of some schedules of these actors, or None. Without a strategy: drawn ones, with few preemptions at any step."""
    world.ready()

    def check():
        leftovers(world)
        world.expect_bytes(world.array, want or {})

    strategy = strategy or Pct(120, seed=3)
    machine = Machine(world.twin, [Actor(name, actor) for name, actor in actors.items()], check)
    while strategy.begin():
        if finding := machine.run(strategy).finding:
            return finding
    return None


def test_what_is_written_back_in_front_of_a_file_keeps_its_slot():
    world = tier()
    before = entries(world)
    assert world.alone(write_back(world)) == 2
    ram = ram_of(world)
    assert ram.stored.v == 0 and ram.packed.v == 0 and ram.backed.v == 2 and world.array.mm.packed.v == 0
    assert entries(world) == before
    leftovers(world)
    world.expect_bytes(world.array)


def test_what_is_written_back_of_an_area_of_its_own_has_slots_in_the_next():
    world = tier(front=False)
    entry_type = world.twin.entry.entry_type
    assert world.alone(write_back(world)) == 2
    assert {entry_type(state >> world.twin.mm.PTE_ENTRY_SHIFT) for state in entries(world)} == {world.file}
    assert ram_of(world).stored.v == 0
    leftovers(world)
    world.expect_bytes(world.array)


def test_what_was_read_of_late_is_spared_once():
    world = tier(pages=4)
    world.alone(world.user_read(world.array, 1))
    assert world.alone(write_back(world)) == 3
    assert ram_of(world).stored.v == 4096
    assert world.alone(write_back(world)) == 1
    leftovers(world)
    world.expect_bytes(world.array)


@pytest.mark.parametrize("front", [True, False])
def test_a_write_back_that_fails_loses_nothing(front):
    world = tier(front=front)
    before = entries(world)
    world.seam.inject("disk_write", times=1)
    assert world.alone(write_back(world)) <= 0
    assert ram_of(world).stored.v == 2 * 4096 and entries(world) == before
    leftovers(world)
    assert world.alone(write_back(world)) == 2
    world.expect_bytes(world.array)


def overtaking(world):
    """A page is written anew, to the slot that its old bytes are on their way to: slots are scarce. All schedules with one preemption."""

    def writes():
        yield from world.user_write(world.array, 0, NEW)
        yield from world.reclaim(world.array, 1)
        yield from world.outside(world.twin.cache.cache_sweep(world.array.mm, world.twin.cache.EVERY_AREA), world.array)

    return found(world, {"write-back": lambda: write_back(world), "writer": writes}, {0: NEW}, Exhaustive(1))


def test_new_bytes_are_not_overtaken_by_old_ones_on_their_way_to_the_file():
    assert overtaking(tier(pages=1, slots=2)) is None


def test_new_bytes_that_do_not_wait_are_overtaken():
    hasty = Switch("hasty", "store.front", "write_through", "if not front_settled(")
    assert isinstance(overtaking(tier(pages=1, slots=2, patches=(hasty,))), WrongEnd)


def test_new_bytes_do_not_wait_for_a_process_that_died_when_everybody_is_asked_to_rest():
    """Who cleans up after it wants all to let go of what they have locked first."""
    world = tier(pages=1)
    world.alone(world.user_write(world.array, 0, NEW))
    ram_of(world).back.v = 1  # as one leaves it that is killed while it writes the first stretch back
    world.twin.family.family.rest.v = 1
    world.evict(world.array, 1)
    assert world.array.pte(0) & world.twin.mm.PTE_KIND == world.twin.mm.PTE_DIRTY
    assert world.twin.area.areas[world.packed].errors.v == 0
    ram_of(world).back.v = 0
    world.twin.family.family.rest.v = 2
    world.evict(world.array, 1)
    assert world.array.pte(0) & world.twin.mm.PTE_KIND == world.twin.mm.PTE_SWAPPED
    leftovers(world)
    world.expect_bytes(world.array, {0: NEW})


@pytest.mark.parametrize("front", [True, False])
def test_readers_and_writers_find_their_bytes_while_the_coldest_goes(front):
    world = tier(front=front)

    def reads():
        for page in (0, 1):
            got = yield from world.user_read(world.array, page, 8)
            if got != stamp(page):
                raise WrongEnd(f"page {page} reads {got!r}")

    def writes():
        yield from world.user_write(world.array, 1, stamp(1))
        yield from world.reclaim(world.array, 2)

    assert found(world, {"write-back": lambda: write_back(world), "reader": reads, "writer": writes}) is None


def off_under_its_thread(world):
    """A swapoff of an area whose own thread is writing back: the finding, or None."""
    ended = []

    def off():
        assert (yield from world.twin.writeback.writeback_start(world.packed)) == 0
        yield from world.user_read(world.array, 0, 8)
        ended.append((yield from world.swapoff(world.packed)))

    finding = found(world, {"swapoff": off, "reader": lambda: world.user_read(world.array, 1, 8)})
    assert finding or all(ended)
    return finding


@pytest.mark.parametrize("guard", ["percpu_ref", "mmlist", "rcu_pointer"])
@pytest.mark.parametrize("front", [True, False])
def test_a_swapoff_ends_the_thread_that_writes_back_and_loses_nothing(front, guard):
    world = tier(front=front, guard=guard)
    if front:
        world.area(16)
    assert off_under_its_thread(world) is None


@pytest.mark.parametrize("front", [True, False])
def test_a_swapoff_that_does_not_wait_for_that_thread_frees_what_it_looks_at(front):
    unwaited = Switch("unwaited", "store.ram", "ram_stop", "arch.event_wait(", "return")
    world = tier(front=front, patches=(unwaited,))
    if front:
        world.area(16)
    assert isinstance(off_under_its_thread(world), NullDereference | UseAfterFree)


def half_written():
    """A page is packed anew, in all schedules with one preemption, while the coldest is looked for."""
    world = tier(pages=2)

    def writes():
        yield from world.user_write(world.array, 0, stamp(7))
        yield from world.reclaim(world.array, 1)

    return found(world, {"writer": writes, "write-back": lambda: write_back(world)}, {0: stamp(7)}, Exhaustive(1))


def test_a_page_that_is_packed_anew_is_not_lost_to_the_write_back():
    assert half_written() is None


def test_a_piece_is_freed_by_its_last_reader():
    """A read by one who holds a slot of a piece, while the other slots go: one of the piece's slots is enough to keep it."""
    world = tier(pages=2, slots=8)

    def writes():
        yield from world.user_write(world.array, 0, stamp(0))

    def reads():
        yield from world.user_read(world.array, 1, 8)

    assert found(world, {"writer": writes, "reader": reads, "write-back": lambda: write_back(world)}) is None
