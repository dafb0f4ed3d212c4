"""Shared arrays on real memory: what one space writes the others read, whatever reclaim and swapoffs do; in memory once; slots back at the end."""

import contextlib
import gc
import os
import pickle

import numpy as np
import pytest
from support import MIB, Crew, eventually, flipper, used

import hotswap

pytestmark = pytest.mark.usefixtures("nothing_leaked")


@pytest.fixture
def spaces(nothing_leaked):
    """Two spaces with folios of 16 KiB."""
    made = [hotswap.Space("2M", "16K") for _ in range(2)]
    yield made
    gc.collect()
    for space in made:
        space.close()


def memory():
    """Bytes that the objects of this process have in memory, by the kernel's own count."""
    total = 0
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}").startswith("/memfd:hotswap "):
                total += os.fstat(int(number)).st_blocks * 512
    return total


def test_what_one_space_writes_the_other_reads_within_one_limit(areas, spaces):
    areas(1, "32M")
    shared = hotswap.SharedArray(spaces[0], (1024, 2048), "u8", limit="2M")  # 16 MiB
    one, two = shared.array, shared.attach(spaces[1])
    assert not two[::100].any()
    one[...] = np.arange(one.size).reshape(one.shape)
    assert np.array_equal(two, np.arange(one.size).reshape(one.shape))
    two[5] = 7
    assert (one[5] == 7).all()
    staging = 16 * 16 * 1024
    assert shared.limit == 2 * MIB and shared.nbytes == 16 * MIB
    assert 0 < memory() <= 2 * MIB - staging
    assert shared.stats()["resident_bytes"] <= 2 * MIB
    assert all(space.stats()["resident_bytes"] < MIB for space in spaces)  # its staging frames
    assert "SharedArray (1024, 2048) uint64" in repr(shared)


def writer(array, number, writers, seed):
    """A step of work: looks at a stretch of the words that are its own, which are every ``writers``-th, and writes it anew."""
    mine, want = array[number::writers], np.arange(number, array.size, writers, dtype="u8")
    random = np.random.default_rng(seed)
    mine[...] = want

    def write():
        first = int(random.integers(0, len(mine) - 700))
        assert np.array_equal(mine[first : first + 700], want[first : first + 700])
        want[first : first + 700] += np.uint64(array.size)
        mine[first : first + 700] = want[first : first + 700]

    return write, lambda: np.array_equal(mine, want)


@pytest.mark.parametrize("way", ["move", "copy", "signal"])
def test_writers_in_two_spaces_while_areas_go_off_and_on(areas, way, monkeypatch):
    """Every folio is written through both. An eviction or a swapoff that missed a mapping would lose a write; "copy" is the way of
    kernels that cannot map shared pages write-protected."""
    if way == "copy":
        monkeypatch.setenv("HOTSWAP_MMU", "copy")
    paths = areas(3, "32M")
    first = hotswap.Space("1M", "16K")
    second = hotswap.Space("1M", "4K", faults="signal" if way == "signal" else "thread")
    shared = hotswap.SharedArray(first, MIB, "u8", limit="1M")  # 8 MiB
    arrays = [shared.array, shared.attach(second)] * 2
    work = [writer(array, number, 4, seed=number) for number, array in enumerate(arrays)]
    most = 0

    def watch():
        nonlocal most
        most = max(most, memory())

    crew = Crew()
    crew.start(flipper(paths[:2]), name="flipper")
    crew.start(watch)
    for number, (write, _) in enumerate(work):
        crew.start(write, name=f"writer {number}")
    crew.work(1.5, each=2)
    assert all(right() for _, right in work)
    assert most <= MIB - 16 * 16 * 1024
    stats = shared.stats()
    assert stats["pages_in"] and stats["pages_out"]
    assert (stats["faults_write"] == 0) == (way == "copy")  # pages that came in clean, and were written
    del arrays, work, write, _, shared, crew
    gc.collect()
    assert used() == 0
    first.close()
    second.close()


def test_views_come_and_go_while_others_write(areas, spaces):
    """An eviction unmaps a folio in every view; one that goes must not leave its addresses to be unmapped."""
    areas(1, "32M")
    shared = hotswap.SharedArray(spaces[0], MIB // 2, "u8", limit="1M")  # 4 MiB
    write, right = writer(shared.array, 0, 1, seed=1)
    size = shared.array.size

    def come_and_go():
        view = shared.attach(spaces[1])
        assert (view[:: 1 << 14] % size == np.arange(0, size, 1 << 14)).all()
        del view
        mine = spaces[1].full(1 << 15, 5, "u8")  # where the view was
        assert (mine == 5).all()

    crew = Crew()
    crew.start(write)
    crew.start(come_and_go)
    crew.work(1, each=3)
    assert right()


def test_a_clean_folio_leaves_without_a_write(areas, spaces):
    areas(1, "32M")
    shared = hotswap.SharedArray(spaces[0], MIB // 2, "u8", limit="1M")
    shared.array[...] = np.arange(MIB // 2)
    two = shared.attach(spaces[1])
    assert int(two.sum()) == sum(range(MIB // 2))  # what was dirty has left
    before = shared.stats()
    assert int(two.sum()) == sum(range(MIB // 2))
    after = shared.stats()
    assert after["pages_in"] > before["pages_in"] and after["pages_clean"] > before["pages_clean"]
    # What was never read since it was written may have stayed until now.
    assert after["pages_out"] - before["pages_out"] < (after["pages_clean"] - before["pages_clean"]) // 16


def test_a_view_can_be_kept_resident_for_a_system_call(areas, spaces, scratch):
    areas(1, "32M")
    shared = hotswap.SharedArray(spaces[0], 4 * MIB, "u1", limit="2M")
    two = shared.attach(spaces[1])
    two[...] = np.arange(4 * MIB) % 251
    part = two[MIB : MIB + 300_000]
    with spaces[1].resident(part):
        assert shared.stats()["pinned_bytes"] >= part.nbytes
        with open(scratch / "out", "wb") as file:
            file.write(part)
        shared.array[...] += 1  # all of it goes through memory, but for this part
        with open(scratch / "out", "rb") as file:
            assert file.readinto(part) == part.nbytes
    assert shared.stats()["pinned_bytes"] == 0
    want = np.arange(4 * MIB) % 251 + 1
    want[MIB : MIB + 300_000] -= 1
    assert np.array_equal(two, want.astype("u1"))
    with pytest.raises(hotswap.OutOfSwap), spaces[1].resident(two):
        pass
    assert shared.stats()["pinned_bytes"] == 0


def test_arrays_outlive_the_shared_array_and_the_last_one_gives_everything_back(areas, spaces):
    areas(1, "32M")
    shared = hotswap.SharedArray(spaces[0], MIB, "u8", limit="1M")
    two = shared.attach(spaces[1])
    shared.array[...] = np.arange(MIB)
    del shared
    gc.collect()
    assert np.array_equal(two, np.arange(MIB))
    with pytest.raises(hotswap.SpaceError, match="still in use"):
        spaces[1].close()
    assert used()
    del two
    gc.collect()
    assert eventually(lambda: used() == 0)
    assert memory() == 0


def test_a_swapoff_without_another_area_puts_the_object_in_memory(areas, spaces):
    path = areas(1, "32M")[0]
    shared = hotswap.SharedArray(spaces[0], MIB, "u8", limit="16M")
    two = shared.attach(spaces[1])
    two[...] = np.arange(MIB)
    hotswap.swapoff(path)
    hotswap.swapon(path)
    assert np.array_equal(shared.array, np.arange(MIB))


def test_a_lower_limit_holds_when_it_is_set(areas, spaces):
    areas(1, "32M")
    shared = hotswap.SharedArray(spaces[0], MIB, "u8", limit="4M")
    shared.attach(spaces[1])[...] = np.arange(MIB)
    assert memory() > MIB
    shared.limit = "1M"
    assert shared.limit == MIB and memory() <= MIB
    assert np.array_equal(shared.array, np.arange(MIB)) and memory() <= MIB
    with pytest.raises(hotswap.SizeError, match="below what faults need"):
        shared.limit = "64K"
    assert shared.limit == MIB


def test_fortran_order_and_small_folios(areas, spaces):
    areas(1, "32M")
    shared = hotswap.SharedArray(spaces[0], (300, 70), "f4", "F", folio="4K", limit="256K")
    assert shared.array.flags.f_contiguous and shared.attach(spaces[1]).strides == (4, 1200)
    large = hotswap.SharedArray(spaces[0], 4 * MIB, "u1", folio="512K")  # the limit is what such folios need
    large.array[...] = 9
    assert (large.attach(spaces[1]) == 9).all() and large.limit == 24 * MIB
    shared.array[3, 4] = 5
    assert shared.attach(spaces[1])[3, 4] == 5


def test_bad_input(areas, spaces):
    areas(1, "32M")
    one = spaces[0]
    with pytest.raises(hotswap.DtypeError, match="Python objects"):
        hotswap.SharedArray(one, 10, object)
    with pytest.raises(hotswap.SpaceError, match="negative"):
        hotswap.SharedArray(one, (5, -1))
    with pytest.raises(hotswap.SizeError, match="holds nothing"):
        hotswap.SharedArray(one, 0)
    with pytest.raises(hotswap.SizeError, match="below what faults need"):
        hotswap.SharedArray(one, MIB, limit="4K")
    with pytest.raises(hotswap.SizeError, match="power of two"):
        hotswap.SharedArray(one, MIB, folio="5K")
    with pytest.raises(hotswap.OutOfSwap, match="add an area"):
        hotswap.SharedArray(one, 64 * MIB, "u1", limit="1M")
    shared = hotswap.SharedArray(one, MIB, "u1")
    with pytest.raises(hotswap.UnsupportedError, match="cannot be pickled"):
        pickle.dumps(shared)
    with pytest.raises(hotswap.SpaceError, match="SharedArray is attached"):
        one.snapshot()
    views = [shared.attach(spaces[1]) for _ in range(127)]
    with pytest.raises(hotswap.SpaceError, match="128 times"):
        shared.attach(one)
    views.pop()
    gc.collect()
    shared.attach(one)[0] = 3
    assert views[0][0] == 3
    closed = hotswap.Space("4M")
    closed.close()
    with pytest.raises(hotswap.SpaceError, match="closed"):
        shared.attach(closed)
    with pytest.raises(hotswap.SpaceError, match="closed"):
        hotswap.SharedArray(closed, 10)


def test_a_space_that_protects_in_another_way_is_refused(areas, spaces, monkeypatch):
    areas(1, "32M")
    shared = hotswap.SharedArray(spaces[0], MIB, "u1")
    monkeypatch.setenv("HOTSWAP_MMU", "copy")
    with hotswap.Space("4M") as other, pytest.raises(hotswap.UnsupportedError, match="another way"):
        shared.attach(other)
