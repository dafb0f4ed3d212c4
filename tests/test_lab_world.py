"""What scenarios stand on: accesses fault and are served, and the audit sees what is wrong at the end."""

import errno

import pytest

from hotswap.lab.findings import WrongEnd
from hotswap.lab.machine import Actor, Machine
from hotswap.lab.scenario.contract import Case, find, scenarios
from hotswap.lab.strategy.exhaustive import Exhaustive
from hotswap.lab.strategy.random_walk import RandomWalk
from hotswap.lab.world import World, stamp


@pytest.fixture
def world():
    """Two areas, an array of three pages, two of them out."""
    made = World()
    made.off = made.area(16)
    made.area(16, priority=-1)
    made.array = made.space(3)
    made.fill(made.array)
    made.evict(made.array, 2)
    made.ready()
    return made


def every_schedule(world, actors, check, bound):
    machine, strategy = (
        Machine(world.twin, [Actor(name, function) for name, function in actors.items()], check),
        Exhaustive(bound),
    )
    while strategy.begin():
        if finding := machine.run(strategy).finding:
            raise finding
    assert strategy.complete
    return strategy.schedules


@pytest.mark.parametrize("what", ["read", "write"])
def test_a_program_finds_its_bytes_whatever_swapoff_does_meanwhile(world, what):
    got = []

    def reads():
        got.append((yield from world.user_read(world.array, 0)))

    def writes():
        yield from world.user_write(world.array, 0, b"new word")

    def check():
        world.audit()
        world.expect_off(world.off)
        world.expect_bytes(world.array, {0: b"new word"} if what == "write" else {})

    actors = {what: reads if what == "read" else writes, "swapoff": lambda: world.swapoff(world.off)}
    assert every_schedule(world, actors, check, 1) > 20
    assert set(got) == ({stamp(0)} if what == "read" else set())


def test_two_faults_on_one_page_are_both_served(world):
    def reads():
        assert (yield from world.user_read(world.array, 1)) == stamp(1)

    def check():
        world.audit()
        world.expect_bytes(world.array)

    assert every_schedule(world, {"one": reads, "other": reads}, check, 2) > 20


def spoil_count(world):
    world.twin.area.areas[world.off].map.items[1] += 1


def spoil_inuse(world):
    world.twin.area.areas[world.off].inuse.v += 1


def spoil_cache_flag(world):
    world.twin.area.areas[world.off].map.items[1] |= world.twin.swap_map.SWAP_HAS_CACHE


def spoil_lock(world):
    world.twin.area.areas[world.off].lock.owner = 2


def spoil_entry_lock(world):
    world.array.mm.ptes[world.array.start].state.v |= 1


def spoil_reader(world):
    world.array.mm.mmap_lock.readers = [0]


def spoil_resident(world):
    world.array.mm.resident.v += 1


def spoil_limit(world):
    world.array.mm.budget.v = 0


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_count, "slot 1 of area 0 counts 2 references and has 1"),
        (spoil_inuse, "area 0 says that 3 slots are in use, and 2 are"),
        (spoil_cache_flag, "slot 1 of area 0 is held by 0 frames and says that the cache has it"),
        (spoil_lock, r"areas\[0\].lock is held at the end, by CPU 2"),
        (spoil_entry_lock, r"state is held at the end"),
        (spoil_reader, "mmap_lock is held at the end"),
        (spoil_resident, "counts 2 pages in memory and has 1"),
        (spoil_limit, "has 1 pages in memory and may have 0"),
    ],
)
def test_the_audit_sees_what_is_wrong(world, spoil, said):
    world.audit()
    spoil(world)
    with pytest.raises(WrongEnd, match=said):
        world.audit()


def test_the_audit_counts_what_is_continued():
    """A slot whose count went on in the cluster's table, and came back to one."""
    world = World(SWAP_MAP_MAX=1, CONTINUATION=1)
    world.area(16)
    array = world.space(1)
    world.fill(array)
    world.evict(array, 1)
    swap_map, entry = world.twin.swap_map, array.pte(0) >> world.twin.mm.PTE_ENTRY_SHIFT
    assert world.alone(swap_map.swap_duplicate(entry, 1)) == -errno.ENOMEM
    assert world.alone(swap_map.add_swap_count_continuation(entry, 1)) == 0
    assert world.alone(swap_map.swap_duplicate(entry, 1)) == 0
    with pytest.raises(WrongEnd, match="counts 2 references and has 1"):
        world.audit()
    assert world.alone(swap_map.swap_free(entry, 1)) == 0
    world.audit()


def test_an_error_for_one_cpu_is_no_others(world):
    world.seam.inject("table", errno.ENOMEM, cpu=1)
    swap_map, entry = world.twin.swap_map, world.array.pte(0) >> world.twin.mm.PTE_ENTRY_SHIFT
    refused = [world.twin.alone(swap_map.add_swap_count_continuation(entry, 1), cpu) for cpu in (1, 0)]
    assert refused == [-errno.ENOMEM, 0]


def test_the_audit_sees_an_entry_of_an_area_that_is_off(world):
    world.alone(world.twin.area.area_detach(world.off))
    with pytest.raises(WrongEnd, match="area 0 is off and slot [12] of it is still referred to"):
        world.audit()


def test_the_audit_sees_a_frame_of_an_area_that_is_off(world):
    world.alone(world.twin.area.area_detach(1))
    world.audit()
    frame = world.array.mm.frames[0]
    frame.state, frame.entry, frame.slots = world.twin.mm.FRAME_STANDBY, world.twin.entry.make_entry(1, 1), 1
    with pytest.raises(WrongEnd, match="area 1 is off and slot 1 of it is still held by a frame"):
        world.audit()


def test_bytes_that_are_not_those_written_are_seen(world):
    file = world.seam.files[next(iter(world.seam.files))]
    file[4096:8192] = bytes(4096)
    with pytest.raises(WrongEnd, match=r"page [01] of the array reads b'(\\x00)+', and b'page   [01]' was written"):
        world.expect_bytes(world.array)


def test_an_area_that_is_not_off_is_seen(world):
    with pytest.raises(WrongEnd, match="area 0 is not off"):
        world.expect_off(world.off)


def test_a_guard_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="the engine has no guard 'magic'"):
        World("magic")


@pytest.mark.parametrize("key", sorted(scenarios()))
def test_scenarios_without_a_race_end_well(key):
    """Random schedules with all fixes in: the check of every scenario accepts their ends."""
    scenario = find(key)
    case = Case(scenario.key, "percpu_ref", "", "sc")
    machine = scenario.machine(case)
    strategy = RandomWalk(50, seed=2)
    while strategy.begin():
        assert machine.run(strategy).finding is None
