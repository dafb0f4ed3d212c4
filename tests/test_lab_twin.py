"""The swap map keeps its contract in both lives: compiled, and from source on the lab's seam. (The guards: test_guards.py.)

One suite. It asserts which of the two it ran.
"""

import errno
import signal
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.lab import twin
from hotswap.lab.findings import InvariantBroken, UseAfterFree
from hotswap.lab.native import Compiled

HEADER = 1  # slot 0
ENTRY_SHIFT = 40


@pytest.fixture(scope="module", params=["compiled", "uncompiled"])
def engine(request):
    """The engine in one of its lives, and a check that it is that one."""
    if request.param == "compiled":
        life, suffix = Compiled(), ".so"
    else:
        life, suffix = twin.load(), ".py"
    for module in (life.swap_map, life.swapon, life.guard.contract, life.guard.percpu_ref):
        assert module.__file__.endswith(suffix)
    return SimpleNamespace(
        compiled=request.param == "compiled",
        map=life.swap_map,
        on=life.swapon,
        guard=life.guard.contract,
        area=life.area,
        entry=life.entry,
    )


@contextmanager
def area(engine, slots=2000, bad=()):
    """A published area without a file; off again at the end, whatever is in it."""
    type = engine.on.area_setup(-1, slots, 0)
    assert type >= 0
    try:
        for slot in bad:
            assert engine.map.swap_map_mark_bad(type, slot)
        engine.on.area_publish(type)
        yield type
    finally:
        engine.area.area_deactivate(type)
        engine.guard.guard_retire(type, None)
        engine.on.area_teardown(type)


def entry(type, slot):
    return type << ENTRY_SHIFT | slot


def take(engine, type, order=0, want=1):
    """The slots that swap_alloc() gave, folio by folio; the cache, which has them from the start, lets go of them."""
    taken = engine.map.swap_alloc(type, order, want)
    if taken:
        first = entry(type, taken >> 16)
        assert engine.map.swap_has_cache(first)
        assert engine.map.swapcache_prepare(first, 1 << order) < 0  # nobody can read them before they are written
        engine.map.swapcache_free(first, (taken & 0xFFFF) << order)
    return [
        range(first, first + (1 << order))
        for first in range(taken >> 16, (taken >> 16) + ((taken & 0xFFFF) << order), 1 << order)
    ]


def take_all(engine, type, order=0):
    found = []
    while folios := take(engine, type, order, 64):
        found += folios
    return found


# The swap map


def test_slots_do_not_overlap_and_the_header_and_bad_ones_stay_out(engine):
    bad = {1, 511, 512, 700, 1998}
    with area(engine, 1999, bad) as type:
        slots = [slot for folio in take_all(engine, type) for slot in folio]
        assert sorted(slots) == sorted(set(range(1, 1999)) - bad)
        assert engine.map.swap_inuse(type) == len(slots)
        for slot in slots:
            assert engine.map.swap_free(entry(type, slot), 1) == 0
        assert engine.map.swap_inuse(type) == 0
        assert len(take_all(engine, type)) == len(slots)


@pytest.mark.parametrize("order", [1, 4, 9])
def test_big_folios_are_aligned_and_whole(engine, order):
    size = 1 << order
    with area(engine, 512 * 5) as type:
        small = take(engine, type)
        folios = take_all(engine, type, order)
        assert folios
        assert all(folio[0] % size == 0 for folio in folios)
        slots = [slot for folio in [*folios, *small] for slot in folio]
        assert len(slots) == len(set(slots))
        for folio in folios:
            assert engine.map.swap_free(entry(type, folio[0]), size) == 0
        assert engine.map.swap_inuse(type) == 1


def test_neighbours_get_neighbouring_slots(engine):
    with area(engine) as type:
        folios = take(engine, type, 2, 16)
        assert [folio[0] for folio in folios] == list(range(folios[0][0], folios[0][0] + 64, 4))


def test_a_count_goes_beyond_its_byte_and_comes_back(engine):
    """62 in the byte; beyond that -ENOMEM asks for a continuation, which is there once it was made."""
    with area(engine) as type:
        [[slot]] = take(engine, type)
        one = entry(type, slot)
        asked = 0
        for count in range(2, 301):
            result = engine.map.swap_duplicate(one, 1)
            if result == -errno.ENOMEM:
                asked += 1
                assert engine.map.swap_count(one) == count - 1 == 62
                assert engine.map.add_swap_count_continuation(one, 1) == 0
                result = engine.map.swap_duplicate(one, 1)
            assert result == 0
            assert engine.map.swap_count(one) == count
        assert asked == 1
        for count in range(299, -1, -1):
            assert engine.map.swap_free(one, 1) == 0
            assert engine.map.swap_count(one) == count
        assert engine.map.swap_inuse(type) == 0


def test_the_cache_keeps_a_slot_that_nobody_refers_to(engine):
    with area(engine, 600) as type:
        [[slot]] = take(engine, type)
        one = entry(type, slot)
        assert engine.map.swapcache_prepare(one, 1) == 0
        assert engine.map.swapcache_prepare(one, 1) == -errno.EEXIST
        assert engine.map.swap_has_cache(one)
        assert engine.map.swap_free(one, 1) == 1
        assert engine.map.swap_count(one) == 0
        assert engine.map.swap_duplicate(one, 1) == -errno.ENOENT
        assert slot not in [s for folio in take_all(engine, type) for s in folio]
        assert engine.map.swapcache_free(one, 1) == 0
        assert not engine.map.swap_has_cache(one)
        assert engine.map.swapcache_prepare(one, 1) == -errno.ENOENT
        assert take(engine, type) == [range(slot, slot + 1)]


def test_an_area_that_is_emptied_gives_no_slots(engine):
    with area(engine) as type:
        assert take(engine, type)
        engine.area.area_deactivate(type)
        assert take(engine, type) == []
        engine.area.area_activate(type)
        assert take(engine, type)


def test_entries_of_an_area_that_is_off_are_refused(engine):
    with area(engine) as type:
        [[slot]] = take(engine, type)
        one = entry(type, slot)
    assert engine.map.swap_count(one) == 0
    assert not engine.map.swap_has_cache(one)
    assert engine.map.swap_duplicate(one, 1) == -errno.ENOENT
    assert engine.map.swapcache_prepare(one, 1) == -errno.ENOENT
    assert take(engine, type) == []


def test_an_old_entry_of_a_larger_area_is_out_of_bounds(engine):
    with area(engine, 2000) as old:
        slot = max(folio[0] for folio in take_all(engine, old))
    with area(engine, 600) as new:
        assert new == old and slot > 600
        assert engine.map.swap_count(entry(new, slot)) == 0
        assert engine.map.swap_duplicate(entry(new, slot), 1) == -errno.ENOENT
        assert engine.map.swapcache_prepare(entry(new, slot), 1) == -errno.ENOENT


def test_nothing_before_the_first_slot_or_past_the_last_is_one(engine):
    """Slots 1 to 1023 of 1024; the map has no byte to spare behind them."""
    with area(engine, 1024) as type:
        assert len(take_all(engine, type)) == 1023
        for slot, slots in ((0, 1), (1024, 1), (1023, 2), (1 << 39, 1)):
            assert engine.map.swap_duplicate(entry(type, slot), slots) == -errno.ENOENT
            assert engine.map.swapcache_prepare(entry(type, slot), slots) == -errno.ENOENT
            assert engine.map.swap_count(entry(type, slot + slots - 1)) == 0
        assert engine.map.swap_duplicate(entry(type, 1022), 2) == 0
        assert engine.map.swap_count(entry(type, 1023)) == 2


DOUBLE_FREE = """
from hotswap.lab.native import Compiled
engine = Compiled()
type = engine.swapon.area_setup(-1, 600, 0)
engine.swapon.area_publish(type)
one = type << 40 | engine.swap_map.swap_alloc(type, 0, 1) >> 16
engine.swap_map.swapcache_free(one, 1)
assert engine.swap_map.swap_free(one, 1) == 0
print("freed once", flush=True)
engine.swap_map.swap_free(one, 1)
print("freed twice", flush=True)
"""


def test_a_slot_is_not_freed_twice(engine):
    """Compiled the process ends, before data is lost; on the lab's seam that is a finding."""
    said = "a count never falls below zero"
    if engine.compiled:
        done = subprocess.run([sys.executable, "-c", DOUBLE_FREE], check=False, capture_output=True, text=True, timeout=120)
        assert done.stdout == "freed once\n"
        assert done.returncode == -signal.SIGABRT
        assert said in done.stderr
        return
    fresh = twin.load(["swapon"])  # the broken one keeps its lock
    type = fresh.swapon.area_setup(-1, 600, 0)
    fresh.swapon.area_publish(type)
    one = entry(type, fresh.swap_map.swap_alloc(type, 0, 1) >> 16)
    fresh.swap_map.swapcache_free(one, 1)
    assert fresh.swap_map.swap_free(one, 1) == 0
    with pytest.raises(InvariantBroken, match=said):
        fresh.swap_map.swap_free(one, 1)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("alloc"), st.integers(0, 4), st.integers(1, 6)),
        st.tuples(st.sampled_from(["duplicate", "free", "prepare", "uncache"]), st.integers(0, 1 << 30), st.integers(1, 70)),
    ),
    max_size=60,
)


@given(steps=STEPS, bad=st.sets(st.integers(1, 699), max_size=5))
def test_the_map_does_what_a_dictionary_does(engine, steps, bad):
    """Slot by slot against a model: counts, the cache's mark, errors, what is in use, which slots come out."""
    counts: dict[int, int] = {}
    cached: set[int] = set()
    folios: list[range] = []
    with area(engine, 700, bad) as type:
        for what, which, times in steps:
            if what == "alloc":
                for folio in take(engine, type, which, times):
                    assert folio[0] % len(folio) == 0 and 0 < folio[0] and folio[-1] < 700
                    assert not any(slot in bad or slot in counts or slot in cached for slot in folio)
                    counts |= dict.fromkeys(folio, 1)
                    folios.append(folio)
            elif folios:
                folio = folios[which % len(folios)]
                used = folio[0] in counts
                one = entry(type, folio[0])
                if what == "duplicate":
                    for _ in range(times):
                        result = engine.map.swap_duplicate(one, len(folio))
                        if result == -errno.ENOMEM:
                            assert max(counts[slot] for slot in folio) >= 62
                            assert engine.map.add_swap_count_continuation(one, len(folio)) == 0
                            result = engine.map.swap_duplicate(one, len(folio))
                        assert result == (0 if used else -errno.ENOENT)
                        counts |= {slot: counts[slot] + 1 for slot in folio if used}
                elif what == "free" and used:
                    for _ in range(min(times, counts[folio[0]])):
                        counts |= {slot: counts[slot] - 1 for slot in folio}
                        gone = not counts[folio[0]] and folio[0] in cached
                        assert engine.map.swap_free(one, len(folio)) == gone
                    counts = {slot: count for slot, count in counts.items() if count}
                elif what == "prepare":
                    expected = -errno.EEXIST if folio[0] in cached else 0 if used else -errno.ENOENT
                    assert engine.map.swapcache_prepare(one, len(folio)) == expected
                    cached |= set(folio) if expected == 0 else set()
                elif what == "uncache" and folio[0] in cached:
                    assert engine.map.swapcache_free(one, len(folio)) == 0
                    cached -= set(folio)
                if not used or folio[0] not in counts:
                    folios = [f for f in folios if f[0] in counts or f[0] in cached]
            assert engine.map.swap_inuse(type) == len(counts.keys() | cached)
        for slot in range(1, 700):
            assert engine.map.swap_count(entry(type, slot)) == counts.get(slot, 0)
            assert engine.map.swap_has_cache(entry(type, slot)) == (slot in cached)


# The twin alone


def test_two_twins_share_nothing():
    one, other = twin.load(["swapon"]), twin.load(["swapon"])
    one.guard.contract.guard_publish(3, None)
    assert one.guard.contract.guard_enter(3)
    assert not other.guard.contract.guard_enter(3)
    assert one.seam.tables == other.seam.tables > 0
    assert one.area.Area is not other.area.Area


def test_all_of_the_engine_loads_and_leaves_sys_modules_alone():
    before = set(sys.modules)
    everything = twin.load()
    assert set(sys.modules) == before
    assert {f"hotswap.engine.{name}" for name in twin.engine_modules()} <= everything.modules.keys()


def test_constants_can_be_made_small():
    small = twin.load(["swap_map"], CLUSTER_SLOTS=64, THREADS=2)
    assert small.swap_map.CLUSTER_SLOTS == small.area.CLUSTER_SLOTS == 64
    assert small.seam.THREADS == 2


def test_what_a_swapoff_freed_is_not_touched_again():
    """A stale pointer to the map, as a user without the guard would have one."""
    alone = twin.load(["swapon"])
    type = alone.swapon.area_setup(-1, 600, 0)
    alone.swapon.area_publish(type)
    stale = alone.area.area_at(type).map
    cluster = alone.area.area_at(type).clusters[0]
    alone.area.area_deactivate(type)
    alone.guard.contract.guard_retire(type, None)
    before = alone.seam.tables
    alone.swapon.area_teardown(type)
    assert alone.seam.tables == before - 3
    with pytest.raises(UseAfterFree, match=r"swap_map.py:\d+, map_free\(\)"):
        stale[5]
    with pytest.raises(UseAfterFree, match="used"):
        cluster.used += 1
