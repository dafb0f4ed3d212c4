"""Shared objects, on the engine as it is run from source: bytes through all views, counts, what swapoff does, and what an eviction needs."""

import errno

import pytest

from hotswap.lab.findings import BusError, WrongEnd
from hotswap.lab.machine import Actor, Machine
from hotswap.lab.scenario.switches import Switch
from hotswap.lab.strategy.exhaustive import Exhaustive
from hotswap.lab.strategy.random_walk import RandomWalk
from hotswap.lab.world import World

ORDERS = pytest.mark.parametrize("order", [0, 1])
NEW = b"new word"


def family(pages=4, order=0, **more):
    """An object with two views, each page stamped, and two areas."""
    made = World(**{"MMS": 3, **more})
    made.off = made.area(64)
    made.area(64, priority=-1)
    made.object = made.shared(pages, limit=16, order=order)
    made.one, made.two = made.view(made.object), made.view(made.object)
    made.fill(made.one)
    return made


def kind(world, page):
    return world.twin.mm.PTE_KIND & world.object.pte(page)


@ORDERS
def test_a_page_is_in_once_for_all_views_and_keeps_its_slot_until_one_writes(order):
    world = family(order=order)
    mm = world.twin.mm
    world.expect_bytes(world.two)
    world.evict(world.object, 4)
    assert all(kind(world, page) == mm.PTE_SWAPPED for page in range(0, 4, 1 << order))
    world.expect_bytes(world.one)
    assert all(kind(world, page) == mm.PTE_CLEAN for page in range(0, 4, 1 << order))
    world.expect_bytes(world.two)
    world.audit()
    world.alone(world.user_write(world.two, 0, NEW))
    assert kind(world, 0) == mm.PTE_DIRTY
    world.audit()
    world.alone(world.user_write(world.one, 0, NEW[::-1]))  # protected there from when it was clean
    world.evict(world.object, 4)
    world.expect_bytes(world.two, {0: NEW[::-1]})
    world.audit()


@ORDERS
@pytest.mark.parametrize("elsewhere", [True, False])
def test_swapoff_visits_an_object_that_nobody_touches(order, elsewhere):
    world = family(order=order)
    if not elsewhere:
        assert world.alone(world.swapoff(1))
    world.evict(world.object, 4)
    assert world.alone(world.swapoff(world.off))
    world.expect_off(world.off)
    assert kind(world, 0) == (world.twin.mm.PTE_SWAPPED if elsewhere else world.twin.mm.PTE_DIRTY)
    world.expect_bytes(world.two)
    world.audit()


def test_views_go_and_the_object_goes_with_the_last():
    world = family()
    world.evict(world.object, 2)
    destroy, unmap = world.twin.attach.shm_destroy, world.twin.mmap.mm_unmap
    assert world.alone(destroy(world.object.index)) == -errno.EBUSY
    world.alone(unmap(world.one.index, world.one.start))
    world.expect_bytes(world.two)
    world.alone(unmap(world.two.index, world.two.start))
    tables = world.seam.tables
    world.object.mm.thread_count = 0  # threads are nobody here
    assert world.alone(destroy(world.object.index)) == 0
    assert world.seam.tables < tables
    assert world.twin.area.areas[world.off].inuse.v == 0


def test_what_cannot_be_read_is_told_to_every_view_and_its_slot_is_free():
    world = family(pages=1)
    world.evict(world.object, 1)
    world.seam.inject("disk_read", times=2)
    for view in (world.one, world.two):
        with pytest.raises(BusError):
            world.alone(world.user_read(view, 0))
    assert kind(world, 0) == world.twin.mm.PTE_POISON
    assert world.twin.area.areas[world.off].inuse.v == 0
    world.audit()


@pytest.mark.parametrize(
    ("name", "after"),
    [("shm_open", 0), ("reserve", 0), ("reserve", 1), ("shm_pipe", 0), ("table", 0), ("table", 1), ("table", 2)],
)
def test_an_object_that_cannot_be_made_leaves_nothing(name, after):
    world = World(MMS=3)
    tables, reserved = world.seam.tables, len(world.seam.reserved)
    world.seam.inject(name, error=errno.ENOMEM, after=after)
    create = world.twin.attach.shm_create
    least = world.twin.sizes.least_limit(0)
    assert world.alone(create(4, least, 0, world.seam.features)) == -errno.ENOMEM
    assert world.seam.tables == tables and len(world.seam.reserved) == reserved
    assert world.alone(create(4, least, 0, world.seam.features)) == 0
    assert world.alone(create(4, least, 0, 0)) == -errno.ENOSYS


def made_while_served(**more):
    """An object is made, and goes, while the service thread looks for some that have no threads: the finding, or None."""
    world = World(**{"MMS": 3, **more})
    world.ready()
    attach, threads = world.twin.attach, world.twin.mm.AHEADERS + 1

    def makes():
        index = yield from attach.shm_create(4, world.twin.sizes.least_limit(0), 0, world.seam.features)
        if index < 0:
            raise WrongEnd(f"errno {-index}")
        if world.twin.mm.mms[index].thread_count != threads:
            raise WrongEnd(f"it has {world.twin.mm.mms[index].thread_count} threads")
        yield from attach.shm_destroy(index)

    def all_gone():
        if world.seam.threads:
            raise WrongEnd(f"{len(world.seam.threads)} threads are left")

    actors = [Actor("maker", makes), Actor("service", attach.shm_adopt)]
    machine, strategy = Machine(world.twin, actors, all_gone), Exhaustive(1)
    while strategy.begin():
        if finding := machine.run(strategy).finding:
            return finding
    return None


def test_an_object_that_is_being_made_gets_its_threads_once():
    assert made_while_served() is None


def test_an_object_that_is_open_before_it_has_its_threads_gets_others():
    early = Switch(
        "open-early", "attach", "shm_set_up", "arch.store(cython.address(object.open), 0)",
        "arch.store(cython.address(object.open), cython.cast(uint64_t, 1) << own.member)",
    )  # fmt: skip
    assert isinstance(made_while_served(patches=(early,)), WrongEnd)


def test_a_view_that_cannot_be_made_leaves_its_range_free():
    world = family()
    world.seam.inject("shm_attach", error=errno.ENOMEM)
    attach = world.twin.attach.mm_attach
    ranges = world.two.mm.vma_count
    assert world.alone(attach(world.two.index, world.object.index)) == -errno.ENOMEM
    assert world.two.mm.vma_count == ranges
    again = world.alone(attach(world.two.index, world.object.index))
    assert again > world.two.start


def test_pins_are_the_objects_and_map_the_view():
    world = family(FOLIOS_LEAST=2)
    world.evict(world.object, 4)
    pin, two = world.twin.pin, world.two
    assert world.alone(pin.mm_pin(two.index, two.start + 1, 2)) == 0
    assert world.object.mm.pinned.v == 2 and two.mm.pinned.v == 0
    world.evict(world.object, 4)
    assert [kind(world, page) == world.twin.mm.PTE_DIRTY for page in range(4)] == [False, True, True, False]
    world.alone(pin.mm_unpin(two.index, two.start + 1, 2))
    world.evict(world.object, 4)
    assert world.object.mm.pinned.v == 0 and kind(world, 1) == world.twin.mm.PTE_SWAPPED
    world.expect_bytes(world.one)
    world.audit()


def test_a_fork_refuses_an_object_and_leaves_nothing():
    world = family(MMS=4)
    child = world.child(world.one)
    assert world.alone(world.fork(world.one, child)) == -errno.EOPNOTSUPP
    assert child.mm.vma_count == 0
    world.expect_bytes(world.one)
    world.audit()


def lost(world, schedules):
    """Two views write one page, each word its own, while it is evicted: the finding, or None."""
    world.ready()

    def writes(view, offset):
        for number in range(2):
            word = b"%7d " % number
            yield from world.access(view, "user_write", view.address(0) + offset, word)
            got = yield from world.access(view, "user_read", view.address(0) + offset, 8)
            if got != word:
                raise WrongEnd(f"a view reads {got!r}, and has just written {word!r}")

    actors = [
        Actor("one", lambda: writes(world.one, 64)),
        Actor("two", lambda: writes(world.two, 128)),
        Actor("reclaim", lambda: world.reclaim(world.object, 1)),
    ]
    machine, strategy = Machine(world.twin, actors, world.audit), RandomWalk(seed=1, schedules=schedules)
    while strategy.begin():
        if finding := machine.run(strategy).finding:
            return finding
    return None


@pytest.mark.parametrize("guard", ["percpu_ref", "mmlist"])
def test_an_eviction_loses_no_write_of_any_view(guard):
    assert lost(family(pages=1, guard=guard), 300) is None


def test_an_eviction_that_copies_before_it_unmaps_loses_one():
    """Without the pipe: what is written between the copy and the hole is nowhere."""
    copied = Switch(
        "copied-before", "shm", "shm_take_out", "held: ", "held = part; arch.copy(to + done, mine.base + offset, part)"
    )
    forgotten = Switch("copied-before", "shm", "shm_take_out", "arch.check(not arch.shm_held(")
    assert isinstance(lost(family(pages=1, patches=(copied, forgotten)), 300), WrongEnd)
