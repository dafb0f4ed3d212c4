"""The machine finds what goes wrong and nothing else: first the broken thing is caught, then the whole one is not."""

import pytest
from lab_programs import state_of

from hotswap.lab import twin
from hotswap.lab.findings import (
    Deadlock,
    Livelock,
    LostWakeUp,
    NotPublished,
    UseAfterFree,
    WrongEnd,
)
from hotswap.lab.machine import Actor, Machine
from hotswap.lab.scenario.contract import Case, find
from hotswap.lab.strategy.exhaustive import Exhaustive
from hotswap.lab.strategy.random_walk import RandomWalk
from hotswap.lab.strategy.replay import Replay
from hotswap.lab.world import World


class Bench:
    """Words and locks for small programs, and the machine that runs them."""

    def __init__(self, model="sc"):
        self.twin = twin.load([], stepping=True, model=model)
        seam = self.twin.seam
        self.w, self.x, self.event = (seam.word.make(name) for name in ("w", "x", "event"))
        self.a, self.b = (seam.mutex.make(name) for name in ("a", "b"))
        self.seam = seam

    def machine(self, *programs, check=lambda: None, daemons=()):
        self.twin.checkpoint()
        return Machine(self.twin, [Actor(p.__name__, p, p in daemons) for p in programs], check)

    def found(self, *programs, check=lambda: None, bound=None, **more):
        """The first finding, and the strategy that found it; all schedules are tried."""
        machine, strategy = self.machine(*programs, check=check, **more), Exhaustive(bound)
        while strategy.begin():
            if finding := machine.run(strategy).finding:
                return finding, strategy
        assert strategy.complete
        return None, strategy


def counter(kind):
    bench = Bench()

    def broken():
        value = yield "load", bench.w
        yield "store", bench.w, value + 1

    def atomic():
        yield "add", bench.w, 1

    def locked():
        yield "mutex_lock", bench.a
        yield from broken()
        yield "mutex_unlock", bench.a

    def check():
        if bench.w.v != 2:
            raise WrongEnd(f"the counter says {bench.w.v}")

    program = {"broken": broken, "atomic": atomic, "locked": locked}[kind]
    return bench.found(program, program, check=check)


def test_the_broken_counter_is_caught():
    finding, _ = counter("broken")
    assert isinstance(finding, WrongEnd) and "says 1" in str(finding)


@pytest.mark.parametrize("kind", ["atomic", "locked"])
def test_the_whole_counter_is_not(kind):
    finding, strategy = counter(kind)
    assert finding is None
    assert strategy.coverage().schedules == 2  # who comes first: nothing else differs


def ab_ba(same_order):
    bench = Bench()

    def one():
        yield "mutex_lock", bench.a
        yield "mutex_lock", bench.b
        yield "mutex_unlock", bench.b
        yield "mutex_unlock", bench.a

    def other():
        yield "mutex_lock", bench.b
        yield "mutex_lock", bench.a
        yield "mutex_unlock", bench.a
        yield "mutex_unlock", bench.b

    return bench.found(one, one if same_order else other)


def test_locks_taken_in_two_orders_deadlock():
    finding, _ = ab_ba(same_order=False)
    assert type(finding) is Deadlock
    assert "CPU 0 (one) waits in mutex_lock of b, held by CPU 1" in str(finding)
    assert "CPU 1 (other) waits in mutex_lock of a, held by CPU 0" in str(finding)


def test_locks_taken_in_one_order_do_not():
    assert ab_ba(same_order=True)[0] is None


def wake_up(read_first):
    bench = Bench()

    def waits():
        seen = (yield "event_read", bench.event) if read_first else None
        while not (yield "load", bench.w):
            if not read_first:
                seen = yield "event_read", bench.event
            yield "event_wait", bench.event, seen, -1
            if read_first:
                seen = yield "event_read", bench.event

    def wakes():
        yield "store", bench.w, 1
        yield "event_wake", bench.event

    return bench.found(waits, wakes)


def test_an_event_read_after_the_look_loses_a_wake_up():
    finding, _ = wake_up(read_first=False)
    assert type(finding) is LostWakeUp
    assert "CPU 0 (waits) waits in event_wait of event; CPU 1 woke it before it slept" in str(finding)


def test_an_event_read_before_the_look_does_not():
    assert wake_up(read_first=True)[0] is None


@pytest.mark.parametrize("pause", ["yield_cpu", "nap_us", "nothing"])
def test_who_spins_until_another_comes_is_no_livelock(pause):
    bench = Bench()

    def spins():
        while not (yield "load", bench.w):
            if pause != "nothing":
                yield (pause, 5) if pause == "nap_us" else (pause,)

    def comes():
        yield "store", bench.x, 1
        yield "store", bench.w, 1

    assert bench.found(spins, comes)[0] is None


@pytest.mark.parametrize("pause", ["yield_cpu", "nap_us", "event_wait", "nothing"])
def test_who_spins_for_nobody_is(pause):
    bench = Bench()
    operation = {"nap_us": ("nap_us", 5), "event_wait": ("event_wait", bench.event, 0, 1000)}.get(pause, ("yield_cpu",))

    def spins():
        while not (yield "load", bench.w):
            if pause != "nothing":
                yield operation

    def comes():
        yield "store", bench.x, 1

    finding, _ = bench.found(spins, comes)
    assert type(finding) is Livelock


def test_a_timeout_ends_when_nobody_else_can_go_on_and_not_before():
    bench = Bench()
    seen = []

    def waits():
        yield "event_wait", bench.event, 0, 1000
        seen.append((yield "load", bench.w))

    def works():
        yield "store", bench.w, 1
        yield "store", bench.w, 2

    assert bench.found(waits, works)[0] is None
    assert set(seen) == {2}


@pytest.mark.parametrize("eager", [0, 1])
def test_where_a_scenario_asks_for_it_a_timeout_may_end_at_any_moment(eager):
    bench = Bench()
    seen = []

    def waits():
        yield "event_wait", bench.event, 0, 1000
        seen.append((yield "load", bench.w))

    def works():
        yield "store", bench.w, 1
        yield "store", bench.w, 2

    bench.twin.checkpoint()
    machine = Machine(bench.twin, [Actor("waits", waits), Actor("works", works)], eager=eager)
    for strategy in (Exhaustive(), Exhaustive(1)):
        seen.clear()
        while strategy.begin():
            assert machine.run(strategy).finding is None
        assert set(seen) == ({0, 1, 2} if eager else {2})


def test_a_thread_begins_after_its_start_and_ends_before_its_join():
    bench = Bench()
    seen = []

    def child(argument):
        value = yield "load", bench.w
        yield "store", bench.w, value + argument

    def parent():
        yield "store", bench.w, 1
        handle = yield "thread_start", child, 10, b"child"
        yield "thread_join", handle
        seen.append((yield "load", bench.w))

    finding, strategy = bench.found(parent)
    assert finding is None and seen == [11] and strategy.schedules == 1


def test_daemons_may_wait_at_the_end_and_others_may_not():
    bench = Bench()

    def handler():
        yield "event_wait", bench.event, 0, -1

    def ends():
        yield "store", bench.w, 1

    assert bench.found(handler, ends, daemons=[handler])[0] is None
    assert type(bench.found(handler, ends)[0]) is Deadlock


def test_a_read_lock_lets_readers_in_and_keeps_writers_out():
    bench = Bench()
    lock = bench.seam.rwlock.make("lock")
    together = []

    def reader():
        yield "read_lock", lock
        together.append(len(lock.readers))
        yield "load", bench.w
        yield "read_unlock", lock

    def writer():
        yield "write_lock", lock
        assert not lock.readers
        yield "store", bench.w, 1
        yield "write_unlock", lock

    assert bench.found(reader, reader, writer)[0] is None
    machine, strategy = bench.machine(reader, reader, writer), RandomWalk(50)
    while strategy.begin():
        assert machine.run(strategy).finding is None
    assert set(together) == {1, 2}


# On the engine

RACE = Case("r01_readahead_vs_swapoff", "none", "", "sc")
GUARDED = Case("r01_readahead_vs_swapoff", "percpu_ref", "", "sc")


@pytest.mark.parametrize("case", [RACE, GUARDED], ids=lambda case: case.guard)
def test_after_a_schedule_everything_is_as_before_it(case):
    """Structs, tables freed and made, pages, files, locks: text by path, all of it."""
    world = find(case.scenario).world(case)
    machine = Machine(world.twin, [Actor(n, f) for n, f in find(case.scenario).module.actors(world).items()], world.audit)
    before = state_of(world.twin)
    assert len(before) > 200
    strategy = Exhaustive(1)
    ends: list[bool] = []
    while strategy.begin() and len(ends) < 60:
        ends.append(bool(machine.run(strategy).finding))
        assert state_of(world.twin) != before
        world.twin.rollback()
        assert state_of(world.twin) == before
    assert any(ends) == (case is RACE)


def test_a_finding_names_both_sides():
    """Who freed it, where; who touches it, where. Here what the one waits for goes with what the other frees."""
    case = Case("r06_count_readers", "rcu_pointer", "count-outside", "sc")
    machine, strategy = find(case.scenario).machine(case), Exhaustive(2)
    finding = None
    while strategy.begin() and not finding:
        finding = machine.run(strategy).finding
    assert isinstance(finding, UseAfterFree)
    assert finding.freed is not None
    cpu, stack = finding.freed
    assert (finding.cpu, cpu) == (0, 1)
    assert stack[:2] == ("swapoff_main", "area_free_tables")
    assert finding.stack == ("swap_count",)
    assert "freed by CPU 1 in swapoff_main > area_free_tables" in str(finding) and "CPU 0 (count) is in swap_count" in str(
        finding
    )


@pytest.mark.parametrize("guard", ["none", "percpu_ref"])
def test_a_table_that_is_touched_before_it_is_published_is_found(guard):
    """An old entry is counted while the row is taken by another area, which is not on yet."""
    world = World(guard)
    off = world.area(16)
    array = world.space(1)
    world.fill(array)
    world.evict(array, 1)
    stale = array.pte(0) >> world.twin.mm.PTE_ENTRY_SHIFT
    world.ready()

    def off_and_on():
        yield from world.swapoff(off)
        yield from world.swapon(16)

    actors = [Actor("count", lambda: world.twin.swap_map.swap_count(stale)), Actor("off and on", off_and_on)]
    machine, strategy = Machine(world.twin, actors, world.audit), Exhaustive(2)
    found = []
    while strategy.begin():
        if isinstance(finding := machine.run(strategy).finding, NotPublished):
            found.append(str(finding))
        else:
            assert guard == "none" or finding is None
    assert bool(found) == (guard == "none")
    for text in found:
        assert text.startswith("areas[0].map, which CPU 1 made in area_setup > map_setup") and "is not published to CPU 0" in text


@pytest.mark.parametrize(("model", "told"), [("sc", True), ("tso", True), ("weak", False)])
def test_who_is_told_of_a_table_is_the_models(model, told):
    """A load that finds what was stored with release tells its CPU of the tables made before only where loads stay in order."""
    machine = find("r09").machine(Case("r09_tryget_without_acquire", "percpu_ref", "no-acquire", model))
    strategy, found = Exhaustive(2), False
    while strategy.begin() and not found:
        finding = machine.run(strategy).finding
        found = isinstance(finding, NotPublished)
        assert finding is None or not told
    assert found != told


def test_the_same_choices_give_the_same_steps():
    machine = find(RACE.scenario).machine(RACE)
    strategy = RandomWalk(20, seed=3)
    while strategy.begin():
        first = machine.run(strategy, record=True)
        again = machine.run(Replay(list(first.choices)), record=True)
        assert again.steps == first.steps and str(again.finding) == str(first.finding)


def test_a_trace_says_who_does_what_where():
    machine = find(GUARDED.scenario).machine(GUARDED)
    steps = machine.run(Replay([]), record=True).steps
    assert {step.cpu for step in steps} == {0, 1}
    assert any(step.kind == "mutex_lock" and step.target == "areas[0].lock" and "cache_reserve" in step.stack for step in steps)
    assert any(step.kind == "table_free" and step.target == "areas[0].map" and step.stack[-1] == "map_free" for step in steps)
