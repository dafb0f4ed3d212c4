"""A process that has a shared object open is killed, at each step of what it does with it: the others lose nothing, nothing is left behind.

A step is an access to what they share, a call of the kernel, a lock. The dead one is member 1 of the family and has the view ``one``; its steps
just end, its mutexes are had by the next one who wants them, and then its place is cleaned up as death.py does it.
"""

import pytest

from hotswap.errors import HotswapError
from hotswap.lab.findings import Finding as LabFinding
from hotswap.lab.mmu import PAGE
from hotswap.lab.scenario.switches import Switch
from hotswap.lab.steps import READY
from hotswap.lab.world import World, stamp

DEAD = 1
NEW = b"new word"


def family(order, **more):
    """An object with four folios, each page stamped, and two areas; a process that will die owns it and has its first view."""
    world = World(**{"MMS": 3, "MEMBERS": 2, **more})
    world.area(64)
    world.area(64, priority=-1)
    world.object = world.shared(4 << order, limit=16, order=order)
    world.one, world.two = world.view(world.object), world.view(world.object)
    world.fill(world.two)
    world.object.mm.member = world.one.mm.member = DEAD
    world.twin.shm.shms[world.object.index].open.v = 3
    world.twin.family.members[DEAD].state.v = world.twin.family.MEMBER_LIVE
    return world


def run_until(world, running, steps):
    """So many steps of it by the process that dies then; False when it ended before."""
    seam = world.twin.seam
    seam.current = world.twin.watch.cpu = DEAD
    try:
        operation = next(running)
        for _ in range(steps):
            assert operation[0] not in READY or READY[operation[0]](seam, operation) or operation[0] in ("event_wait", "nap_us")
            operation = running.send(getattr(seam, operation[0])(*operation[1:]))
    except StopIteration:
        return False
    finally:
        seam.current = world.twin.watch.cpu = 0
        world.twin.watch.clear()
    return True


def dies(world):
    """The kernel's part, and then death.py's."""
    twin, seam, object = world.twin, world.twin.seam, world.object
    area, shm = twin.area, twin.shm.shms[object.index]
    mends = {id(object.mm.lru_lock): lambda: setattr(object.mm, "lru_cut", 1)}
    mends[id(object.mm.frame_lock)] = lambda: setattr(object.mm, "frames_cut", 1)
    mends[id(shm.take)] = lambda: world.alone(twin.shm.take_mend(object.index))
    mends[id(area.active.lock)] = lambda: world.alone(twin.death.active_mend(0))
    for type in world.areas:
        mends[id(area.areas[type].lock)] = lambda type=type: world.alone(twin.swap_map.area_mend(type))
    locks = [area.active.lock, shm.lock, shm.take, twin.commit.account.lock, object.mm.lru_lock, object.mm.frame_lock]
    for lock in [*locks, object.mm.request_lock, *(area.areas[type].lock for type in world.areas)]:
        if lock.owner == DEAD:
            seam.own(lock, None)
            mends.get(id(lock), lambda: None)()
    for mutex in (world.one.mm.lru_lock, world.one.mm.frame_lock):
        seam.own(mutex, None)
    start = world.one.mm.arena
    for place in [p for p in seam.pages if start <= p < start + (world.one.mm.arena_pages << 12)]:
        seam.put_page(place, None)
    seam.views = [view for view in seam.views if not start <= view[0] < start + (world.one.mm.arena_pages << 12)]
    world.spaces.remove(world.one)
    world.alone(twin.death.remove_spaces(DEAD))
    world.alone(twin.shm_death.shms_lost(DEAD))
    assert world.alone(twin.shm_death.shms_mend())
    assert world.alone(twin.recount.count_everything())


def writes_through_two(world, page):
    """Where the page is mapped and writable: no fault, which might wait for who will be dead. Was it?"""
    seam, address = world.twin.seam, world.two.address(page)
    there = seam.page_at(address // PAGE * PAGE)
    if there and not there.protected:
        seam.write_memory(address, NEW)
        return True
    return False


def fragment(world):
    """No two slots in a row are free, so a folio of two is written page by page."""
    swap_map = world.twin.swap_map
    for type in world.areas:
        taken = []
        while got := world.alone(swap_map.swap_alloc(type, 0, 1)):
            taken.append(got >> 16)
        world.pads = getattr(world, "pads", []) + [(type, slot) for slot in taken if slot % 2]
        for slot in taken:
            if slot % 2 == 0:
                entry = world.twin.entry.make_entry(type, slot)
                world.alone(world.twin.writeout.slots_drop(entry, 1))


def deaths(prepare, work, order, write, **more):
    """For each step of ``work``: how many there were."""
    world = family(order, **more)
    prepare(world)
    world.ready()
    views, spaces = world.twin.seam.views, list(world.spaces)
    step, more_to_come = 0, True
    while more_to_come:
        more_to_come = run_until(world, work(world), step)
        changed = write and writes_through_two(world, 0)
        dies(world)
        assert world.object.mm.member == 0 and world.twin.shm.shms[world.object.index].open.v == 1
        found = world.alone(world.user_read(world.two, 0, 8))
        assert found == (NEW if changed else stamp(0)) or (not changed and found == NEW), (step, found)
        world.expect_bytes(world.two, {0: found})
        if not hasattr(world, "pads"):
            world.audit()
        step += 1
        world.twin.rollback()
        world.twin.seam.views, world.spaces = views, list(spaces)
    return step


def evicted(world):
    world.evict(world.object, world.object.pages)


def read_back(world):
    evicted(world)
    world.expect_bytes(world.two)


@pytest.mark.parametrize(("order", "write"), [(0, False), (1, True)])
def test_an_eviction(order, write):
    assert deaths(lambda world: None, lambda world: world.twin.reclaim.shrink(world.object.mm, 4, True), order, write) > 50


def test_an_eviction_of_clean_folios():
    assert deaths(read_back, lambda world: world.twin.reclaim.shrink(world.object.mm, 4, True), 1, False) > 20


def test_an_eviction_page_by_page():
    assert deaths(fragment, lambda world: world.twin.reclaim.shrink(world.object.mm, 4, True), 1, True) > 50


@pytest.mark.parametrize("write", [False, True])
def test_a_fault_on_what_is_out(write):
    def touches(world):
        return world.user_write(world.one, 0, NEW) if write else world.user_read(world.one, 0)

    assert deaths(evicted, touches, 1, False) > 10


def test_a_first_write_to_a_clean_folio():
    assert deaths(read_back, lambda world: world.user_write(world.one, 0, NEW), 1, False) > 10


def test_readahead():
    assert deaths(evicted, lambda world: world.twin.readahead.read_window(world.object.mm, 0, 4), 0, False) > 10


# Without what each step says before it is made, something is lost: the test would see it.

UNSAID = {
    "the note of a frame": ("reclaim", "take_out", "mm.frames[victim.frame].holds = victim.page + 1"),
    "what the pipe holds": ("shm", "take_mend", "if left and "),
    "a folio whose bytes are put back": ("shm_death", "mend_dirty", "for frame in "),
    "entries of those that were dropped": ("shm_death", "mend_folio", "if kind == PTE_CLEAN and "),
}


@pytest.mark.parametrize("what", UNSAID)
def test_it_would_be_seen_if_one_was_missing(what):
    switch = Switch(what, *UNSAID[what])
    prepare = read_back if "dropped" in what else lambda world: None
    with pytest.raises((AssertionError, HotswapError, LabFinding)):
        deaths(prepare, lambda world: world.twin.reclaim.shrink(world.object.mm, 4, True), 1, True, patches=(switch,))
