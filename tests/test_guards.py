"""Every guard keeps the contract, in both lives: compiled, and from source on the lab's seam. One suite; it asserts what it ran.

``none`` is the negative control: each test that a guard passes because it guards something, says what ``none`` does instead.
What needs several threads at once is shown with real ones, compiled; the lab looks at interleavings one by one.
"""

import errno
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from support import MIB, run_python

import hotswap
from hotswap import control
from hotswap.control import GUARDS
from hotswap.lab import twin
from hotswap.lab.findings import InvariantBroken, UseAfterFree, WouldWaitForEver
from hotswap.lab.mmu import User
from hotswap.lab.native import Compiled

NO_MM = -1
SLOTS = 600
ENTRY_SHIFT = 40


@dataclass(frozen=True)
class Promise:
    """What a design says of itself at the top of its file."""

    may_sleep: bool
    own_area_only: bool  # retire waits for users of that area only
    new_objects: bool = False
    stops: bool = False  # the callbacks run while nobody can enter
    guards: bool = True


PROMISES = {
    "none": Promise(True, True, guards=False),
    "mmlist": Promise(True, False),
    "stop_machine": Promise(False, False),
    "stop_machine_work": Promise(False, False, stops=True),
    "rcu": Promise(False, False),
    "srcu": Promise(True, True),
    "percpu_ref": Promise(True, True),
    "rcu_pointer": Promise(True, True, new_objects=True),
}
LIVES = {"compiled": ".so", "uncompiled": ".py"}


@pytest.fixture(params=LIVES)
def life(request):
    return request.param


@pytest.fixture(params=GUARDS)
def engine(request, life):
    """The engine in one of its lives under one guard, and a check that it is that one."""
    one = Compiled() if life == "compiled" else twin.load(["swapon", "guard.meter", "cache"])
    name = request.param
    for module in (one.swap_map, one.swapon, one.guard.contract, getattr(one.guard, name)):
        assert module.__file__.endswith(LIVES[life])
    before = one.guard.contract.guard_chosen()
    assert one.guard.contract.choose_guard(GUARDS[name]) == 0
    assert one.guard.contract.guard_chosen() == GUARDS[name]
    yield SimpleNamespace(
        name=name,
        compiled=life == "compiled",
        promise=PROMISES[name],
        guard=one.guard.contract,
        meter=one.guard.meter,
        map=one.swap_map,
        area=one.area,
        on=one.swapon,
        seam=None if life == "compiled" else one.seam,
        callback=lambda module, function: module.address(function) if life == "compiled" else getattr(module, function),
    )
    assert one.guard.contract.choose_guard(before) == 0


def set_up(engine, slots=SLOTS, fd=-1):
    type = engine.on.area_setup(fd, slots, 0)
    assert type >= 0
    return type


def publish(engine, type):
    engine.on.area_publish(type)


def retire(engine, type):
    engine.area.area_deactivate(type)
    engine.guard.guard_retire(type, engine.callback(engine.area, "area_detach"))


@contextmanager
def areas_on(engine, *slots):
    types = [set_up(engine, count) for count in slots]
    for type in types:
        publish(engine, type)
    yield types if len(types) > 1 else types[0]
    for type in types:
        retire(engine, type)
        engine.on.area_teardown(type)


@contextmanager
def inside(engine, type):
    """A section, of a thread that works for no address space; gives the area, or NULL when it could not be entered."""
    used = engine.guard.guard_use_mm(NO_MM)
    area = engine.guard.guard_enter(type)
    yield area
    if area:
        engine.guard.guard_exit(type)
    engine.guard.guard_unuse_mm(NO_MM, used)


def can_enter(engine, type):
    with inside(engine, type) as area:
        return bool(area)


def test_every_guard_has_made_its_promises():
    assert PROMISES.keys() == GUARDS.keys()
    assert sorted(GUARDS.values()) == list(range(Compiled().guard.contract.GUARDS))
    assert Compiled().guard.contract.choose_guard(len(GUARDS)) == -1


def test_a_guard_does_what_it_says_of_sleeping_and_objects(engine):
    assert bool(engine.guard.guard_may_sleep()) == engine.promise.may_sleep
    assert bool(engine.guard.guard_new_objects()) == engine.promise.new_objects
    with areas_on(engine, SLOTS) as type, inside(engine, type):
        assert engine.guard.guard_inside() != engine.promise.may_sleep
    assert not engine.guard.guard_inside()


def test_nobody_enters_before_publish_or_after_retire(engine):
    type = set_up(engine)
    assert can_enter(engine, type) != engine.promise.guards  # the bug of 2019 lets everybody in
    for _turn in range(3):
        publish(engine, type)
        assert can_enter(engine, type)
        retire(engine, type)
        assert can_enter(engine, type) != engine.promise.guards
        engine.on.area_teardown(type)
        assert can_enter(engine, type) != engine.promise.guards
        assert set_up(engine) == type
    engine.on.area_teardown(type)


def test_an_area_that_cannot_be_entered_is_left_as_it_was_found(engine):
    """Whoever comes too late leaves nothing behind that the next retire would wait for."""
    type = set_up(engine)
    for _turn in range(5):
        can_enter(engine, type)
    publish(engine, type)
    retire(engine, type)
    for _turn in range(5):
        can_enter(engine, type)
    assert not engine.guard.guard_inside()
    engine.guard.guard_retire(type, None)
    engine.on.area_teardown(type)


class Retiring:
    """A retire under way on a thread of its own; compiled only."""

    def __init__(self, engine, type):
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(engine, type), daemon=True)
        self.thread.start()

    def run(self, engine, type):
        engine.guard.guard_retire(type, None)
        self.over.set()


def waits(engine, type, of):
    """Does retiring ``type`` wait while somebody is inside area ``of``? On the lab's seam, where there is one thread, it says that
    it would for ever, and nothing can be done with that twin afterwards."""
    if not engine.compiled:
        engine.guard.guard_use_mm(NO_MM)
        assert engine.guard.guard_enter(of)
        engine.seam.current = 1  # retire is another thread's
        try:
            engine.guard.guard_retire(type, None)
            return False
        except WouldWaitForEver:
            return True
    with inside(engine, of) as area:
        assert area
        retiring = Retiring(engine, type)
        early = retiring.over.wait(0.1)
    assert retiring.over.wait(60), "retire was not woken"
    retiring.thread.join()
    return not early


def test_retire_waits_for_who_is_inside(engine):
    type = set_up(engine)
    publish(engine, type)
    assert waits(engine, type, type) == engine.promise.guards
    if engine.compiled:
        assert can_enter(engine, type) != engine.promise.guards
        retire(engine, type)
        engine.on.area_teardown(type)


def test_retire_waits_for_users_of_other_areas_only_where_it_says_so(engine):
    one, other = set_up(engine), set_up(engine)
    publish(engine, one)
    publish(engine, other)
    assert waits(engine, one, other) != engine.promise.own_area_only
    if engine.compiled:
        assert can_enter(engine, other)
        for type in (one, other):
            retire(engine, type)
            engine.on.area_teardown(type)


@pytest.mark.parametrize("life", ["uncompiled"], indirect=True)
def test_the_callbacks_run_once_when_users_may_come_and_when_nobody_is_inside(engine):
    """Could another thread enter meanwhile? Where the work runs during a stop it would have to wait."""
    said = []

    def callback(name):
        def call(type):
            engine.seam.current = 1
            try:
                said.append((name, can_enter(engine, type)))
            except WouldWaitForEver:
                said.append((name, "waits"))
            engine.seam.current = 0

        return call

    type = set_up(engine)
    engine.guard.guard_publish(type, callback("insert"))
    assert said == [("insert", "waits" if engine.promise.stops else True)]
    engine.guard.guard_retire(type, callback("detach"))
    assert said[1:] == [("detach", "waits" if engine.promise.stops else not engine.promise.guards)]


@pytest.mark.parametrize("life", ["uncompiled"], indirect=True)
def test_who_is_inside_and_would_wait_for_himself_is_told(engine):
    """Where retire waits for every section. The others wait for ever, as the contract says they may."""
    type, other = set_up(engine), set_up(engine)
    publish(engine, type)
    publish(engine, other)
    engine.guard.guard_use_mm(NO_MM)
    assert engine.guard.guard_enter(other)
    if engine.promise.may_sleep:
        engine.guard.guard_exit(other)
        return
    with pytest.raises(InvariantBroken, match="inside a section"):
        engine.guard.guard_retire(type, None)


@pytest.mark.parametrize("life", ["uncompiled"], indirect=True)
def test_an_object_of_its_own_is_found_by_entering_and_is_freed(engine):
    type = set_up(engine)
    assert (engine.area.area_at(type) is not engine.area.areas[type]) == engine.promise.new_objects
    publish(engine, type)
    with inside(engine, type) as area:
        assert area is engine.area.area_at(type)
    retire(engine, type)
    engine.on.area_teardown(type)
    assert engine.area.area_at(type) is engine.area.areas[type]
    if engine.promise.new_objects:
        with pytest.raises(UseAfterFree, match=r"swapon.py|area.py"):
            area.slots  # noqa: B018


TRANSFER = """
import sys
from ctypes import c_uint64, addressof, create_string_buffer
from hotswap.lab.native import Compiled
engine = Compiled()
engine.guard.contract.choose_guard(int(sys.argv[1]))
file = open(sys.argv[2], "rb")
type = engine.swapon.area_setup(file.fileno(), 600, 0)
engine.swapon.area_publish(type)
page = create_string_buffer(4096)
where = (c_uint64 * 1)(addressof(page))
used = engine.guard.contract.guard_use_mm(-1)
area = engine.guard.contract.guard_enter(type)
assert area and area == engine.area.area_at(type)
print("inside", flush=True)
assert engine.area.area_read(area, addressof(where), 1, 1, 3) == 0
assert page.raw == b"3" * 4096
engine.guard.contract.guard_exit(type)
engine.guard.contract.guard_unuse_mm(-1, used)
assert engine.area.area_read(area, addressof(where), 1, 1, 4) == 0
assert page.raw == b"4" * 4096
"""


@pytest.mark.parametrize("name", GUARDS)
def test_a_transfer_inside_a_section_that_may_not_sleep_ends_the_process(name, tmp_path):
    """Compiled. Where sections may sleep it is right, though the engine makes none there."""
    (tmp_path / "file").write_bytes(b"".join(bytes([48 + page % 10]) * 4096 for page in range(10)))
    outcome = run_python(TRANSFER, GUARDS[name], tmp_path / "file")
    assert outcome.out == "inside\n", outcome
    if PROMISES[name].may_sleep:
        assert outcome.code == 0, outcome
    else:
        assert outcome.code == -signal.SIGABRT, outcome
        assert "no transfer is made inside a section that may not sleep" in outcome.err


@pytest.mark.parametrize("life", ["uncompiled"], indirect=True)
def test_a_transfer_inside_a_section_that_may_not_sleep_is_a_finding(engine):
    type = set_up(engine, fd=engine.seam.disk_file(SLOTS * 4096))
    publish(engine, type)
    with inside(engine, type) as area:
        if engine.promise.may_sleep:
            return
        with pytest.raises(InvariantBroken, match="may not sleep"):
            engine.area.area_read(area, [0], 1, 1, 3)


def test_the_swap_map_keeps_its_promises(engine):
    """Counts, the cache's mark, what a stale entry gets: of an area that is off, and of a smaller one that took its row."""

    def entry(slot):
        return type << ENTRY_SHIFT | slot

    with areas_on(engine, 2000) as type:
        taken = engine.map.swap_alloc(type, 2, 3)
        first, got = taken >> 16, taken & 0xFFFF
        assert got == 3 and first % 4 == 0
        assert engine.map.swap_inuse(type) == 12
        for slot in range(first, first + 12):
            assert engine.map.swap_count(entry(slot)) == 1 and engine.map.swap_has_cache(entry(slot))
        assert engine.map.swapcache_free(entry(first), 12) == 0
        assert engine.map.swap_duplicate(entry(first), 4) == 0
        assert engine.map.swap_free(entry(first), 12) == 0
        assert engine.map.swapcache_prepare(entry(first), 4) == 0
        assert engine.map.swap_free(entry(first), 4) == 1, "the cache has it still"
        assert engine.map.swapcache_free(entry(first), 4) == 0
        assert engine.map.swap_inuse(type) == 0
        late = 0
        while taken := engine.map.swap_alloc(type, 0, 64):
            late = max(late, (taken >> 16) + (taken & 0xFFFF) - 1)
        assert late == 1999 and engine.map.swap_inuse(type) == 1999
    for stale in (first, late, 1, 512):
        assert engine.map.swap_count(entry(stale)) == 0
        assert not engine.map.swap_has_cache(entry(stale))
        assert engine.map.swap_duplicate(entry(stale), 1) == -errno.ENOENT
        assert engine.map.swapcache_prepare(entry(stale), 1) == -errno.ENOENT
    assert engine.map.swap_alloc(type, 0, 1) == 0
    with areas_on(engine, SLOTS) as new:
        assert new == type and late > SLOTS
        assert engine.map.swap_count(entry(late)) == 0
        assert engine.map.swap_duplicate(entry(late), 1) == -errno.ENOENT
        assert engine.map.swapcache_prepare(entry(late), 1) == -errno.ENOENT


# The whole engine


@pytest.mark.parametrize("name", GUARDS)
def test_pages_survive_reclaim_and_a_swapoff_on_the_labs_seam(name):
    """The whole engine from source, one thread: faults, eviction under a limit, swapoff, and nothing left at the end.

    Nobody takes a lock for reading that he has: with a writer in between he would wait for himself.
    """
    whole = twin.load(WATCH_NS=0)  # there is nobody to be woken, and so no telling what that costs
    seam = whole.seam
    assert whole.guard.contract.choose_guard(GUARDS[name]) == 0
    taken = []

    def on_access(kind, target, *details):
        if kind == "read_lock":
            assert seam.current not in target.readers
            taken.append(target)

    seam.on_access = on_access
    tables = seam.tables
    for slots in (300, 500):
        whole.swapon.area_publish(whole.swapon.area_setup(seam.disk_file(slots * 4096), slots, 0))
    index = whole.mmap.mm_create(whole.sizes.least_limit(0) + 16, 0, 0, False)
    assert index >= 0
    mm = whole.mm.mm_at(index)
    start = whole.mmap.mm_map(index, 150, 0)
    base = whole.mmap.mm_base(index) + start * 4096
    user = User(seam, lambda address, flags: whole.fault.serve(mm, address, flags))
    for turn in range(3):
        for page in range(0, 150, 1 + turn):
            user.write(base + page * 4096 + 8 * turn, (page * 1000 + turn).to_bytes(8, "little"))
    expected = [b"".join((p * 1000 + t if p % (1 + t) == 0 else 0).to_bytes(8, "little") for t in range(3)) for p in range(150)]
    assert [user.read(base + page * 4096, 24) for page in range(150)] == expected
    assert whole.swap_map.swap_inuse(0) > 0
    assert whole.swapoff.swapoff_start(0) == 0
    seam.thread_join(whole.swapoff.emptyings[0].thread)
    assert whole.swapoff.swapoff_progress(0, whole.swapoff.OFF_STATE) == whole.swapoff.OFF_DONE
    assert [user.read(base + page * 4096, 24) for page in range(150)] == expected
    assert whole.mmap.mm_unmap(index, start) == 0
    assert whole.mmap.mm_destroy(index) == 0
    assert whole.swap_map.swap_inuse(1) == 0
    assert seam.tables == tables + 3 + PROMISES[name].new_objects  # the area that is on: map, clusters, buckets
    assert taken
    assert whole.mmap.mm_destroy(whole.mmap.mm_create(whole.sizes.least_limit(0), 0, 0, False)) == 0


# Real threads

UNDER_FIRE = """
import sys, threading, time
from hotswap.lab.native import Compiled
engine = Compiled()
contract, meter, area, on = engine.guard.contract, engine.guard.meter, engine.area, engine.swapon
assert meter.__file__.endswith(".so")
contract.choose_guard(int(sys.argv[1]))
on.poison_freed(1)
until = time.monotonic() + float(sys.argv[2])
found = [0, 0]
def look(which):
    while time.monotonic() < until:
        found[which] += meter.meter_look(0, 20_000_000)
readers = [threading.Thread(target=look, args=(which,)) for which in range(2)]
for reader in readers:
    reader.start()
turns = 0
while time.monotonic() < until:
    type = on.area_setup(-1, (600, 1700)[turns % 2], 0)
    assert type == 0
    on.area_publish(type)
    time.sleep(0.001 * (turns % 3))
    area.area_deactivate(type)
    contract.guard_retire(type, area.address("area_detach"))
    on.area_teardown(type)
    turns += 1
for reader in readers:
    reader.join()
assert turns > 20 and min(found) > 20, (turns, found)
print(turns, *found)
"""


@pytest.mark.parametrize("name", GUARDS)
def test_nobody_inside_sees_an_area_go_while_areas_come_and_go(name):
    """Compiled, native threads, freed tables made inaccessible: two look whether all of the area is there and of one piece.
    ``none`` does not live through it: the negative control."""
    outcome = run_python(UNDER_FIRE, GUARDS[name], 1.5, timeout=60)
    if PROMISES[name].guards:
        assert outcome.code == 0, outcome
    else:
        assert outcome.code in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT), outcome


@pytest.mark.parametrize("life", ["compiled"], indirect=True)
def test_threads_hand_their_numbers_back(engine):
    """More threads than there are numbers for, one after the other; retire still finds nobody inside."""
    with areas_on(engine, SLOTS) as type:
        entered = []
        for _ in range(1100):
            thread = threading.Thread(target=lambda: entered.append(can_enter(engine, type)))
            thread.start()
            thread.join()
        assert entered.count(True) == len(entered) == 1100
    assert can_enter(engine, type) != engine.promise.guards


# As users choose it


@pytest.fixture
def chosen(request, nothing_leaked):
    before = control.guard_in_use()
    hotswap.configure(guard=request.param)
    yield request.param
    hotswap.configure(guard=before)


@pytest.mark.parametrize("chosen", GUARDS, indirect=True)
def test_arrays_live_through_swapoffs_under_every_guard(chosen, areas):
    assert control.guard_in_use() == chosen
    paths = areas(3)
    space = hotswap.Space("4M")
    array = space.array(np.arange(2 * MIB))
    for turn in range(6):
        path = paths[turn % 3]
        assert hotswap.swapoff(path).path == path
        assert [swap.path for swap in hotswap.swaps()] == [other for other in paths if other != path]
        hotswap.swapon(path, priority=-1)
        paths = [other for other in paths if other != path] + [path]
        assert (array == np.arange(2 * MIB)).all()
    del array
    space.close()


@pytest.mark.parametrize("name", ["rcu", "percpu_ref"])
def test_the_environment_chooses(name):
    outcome = run_python("from hotswap import control; print(control.guard_in_use())", env={"HOTSWAP_GUARD": name})
    assert outcome.out == f"{name}\n", outcome
