"""Snapshots on real memory: the bytes of one moment, whatever writers and swapoffs do; slots back at the end."""

import gc

import numpy as np
import pytest
from support import MIB, Crew, Pages, eventually, flipper, pattern, used

import hotswap

pytestmark = pytest.mark.usefixtures("nothing_leaked")


def test_a_snapshot_keeps_what_the_arrays_held(areas, space):
    areas(1, "64M")
    a = space.array(np.arange(MIB, dtype="u8"))  # twice the limit
    b = space.full(1000, 7, "f4")
    view = a[5:100:3]
    with space.snapshot() as snapshot:
        a += 1
        b[...] = 8
        old = snapshot.array_of(a)
        assert np.array_equal(old, np.arange(MIB))
        assert np.array_equal(snapshot.array_of(b), np.full(1000, 7, "f4"))
        assert np.array_equal(snapshot.array_of(view), np.arange(MIB)[5:100:3])
        assert snapshot.nbytes >= a.nbytes + b.nbytes
    assert np.array_equal(a, np.arange(1, MIB + 1))
    assert np.array_equal(old[::1000], np.arange(0, MIB, 1000))  # it outlives the snapshot


def test_what_is_out_is_shared_and_not_copied(areas, space):
    areas(1, "64M")
    a = space.array(np.arange(2 * MIB, dtype="u8"))
    space.snapshot().close()  # from here on everything is in an area
    before, written = used(), space.stats()["writeback_bytes"]
    snapshots = [space.snapshot(limit="3M") for _ in range(3)]
    assert used() == before
    assert space.stats()["writeback_bytes"] == written
    a[: MIB // 8] = 0xABCD  # a MiB
    assert all(s.array_of(a)[:: 1 << 16].tolist() == list(range(0, 2 * MIB, 1 << 16)) for s in snapshots)
    del snapshots
    gc.collect()
    assert eventually(lambda: used() <= before)


def test_more_snapshots_than_a_byte_counts(areas, nothing_leaked):
    """With 64 spaces on one slot its count goes on in a table, and comes back."""
    areas(1, "64M")
    space = hotswap.Space("1M", "4K")
    a = space.array(np.arange(1000, dtype="u8"))
    snapshots = [space.snapshot() for _ in range(63)]
    with pytest.raises(hotswap.SpaceError, match="64 exist"):
        space.snapshot()
    a[...] = 0
    assert all(np.array_equal(s.array_of(a), np.arange(1000)) for s in snapshots)
    del snapshots
    gc.collect()
    del a
    space.close()
    assert eventually(lambda: used() == 0)


@pytest.mark.parametrize("faults", ["thread", "signal"])
def test_writers_snapshots_and_swapoffs_at_once(areas, faults):
    """Each writer writes a number that rises to both ends of its part, first to last: a snapshot never has the last without the first.
    Areas go off and on meanwhile, and the space's limit is a sixth of what it holds."""
    paths = areas(3, "64M")
    space = hotswap.Space("4M", "16K", faults=faults)
    pages = Pages(space, 12 * MIB)
    marks = space.zeros((3, 2, 1 << 16), "u8")  # two ends far apart for each writer
    writers, part = 2, pages.count // 3
    for number in range(3):
        pages.stamp(number * part, part, 1)

    def writer(number, pages, marks):
        generation = iter(range(1, 1 << 60))

        def write():
            now = next(generation)
            marks[number, 0, 0] = now
            pages.stamp(number * part + now * 31 % (part - 32), 32, now)
            marks[number, 1, -1] = now

        return write

    crew = Crew()
    crew.start(flipper(paths[:1]), name="flipper")
    for number in range(writers):
        crew.start(writer(number, pages, marks), name=f"writer {number}")
    try:
        last = -1
        for _ in range(20):
            with space.snapshot(limit="2M") as snapshot:
                old = snapshot.array_of(marks)
                words = snapshot.array_of(pages.words)
                seen = [(int(old[n, 0, 0]), int(old[n, 1, -1])) for n in range(writers)]
                for first, second in seen:
                    assert first - 1 <= second <= first
                assert seen[0][0] >= last
                last = seen[0][0]
                frozen = words[2 * part : 2 * part + 64].copy()  # nobody writes there
                assert np.array_equal(frozen, pattern(np.arange(2 * part, 2 * part + 64) + pages.name, np.full(64, 1)))
                twice = [words[: 2 * part].sum(dtype="u8") for _ in range(2)]
                assert twice[0] == twice[1]
                assert snapshot.stats()["resident_bytes"] <= 2 * MIB
                assert space.stats()["resident_bytes"] <= 4 * MIB
                del old, words
    finally:
        crew.stop.set()
    crew.join()
    assert all(crew.rounds.values()), crew.rounds
    pages.check()
    del pages, marks, crew
    gc.collect()
    assert eventually(lambda: used() == 0), f"{used()} bytes are in use"
    space.close()


def test_a_snapshot_is_refused_where_both_could_not_be_held(areas):
    areas(1, "16M")
    space = hotswap.Space("4M")
    a = space.array(np.arange(12 * MIB // 8, dtype="u8"))
    with pytest.raises(hotswap.OutOfSwap):
        space.snapshot()
    a += 1
    assert np.array_equal(a, np.arange(1, len(a) + 1))
    gc.collect()
    del a
    space.close()


def test_bad_input(areas, space):
    areas(1, "16M")
    a = space.array(np.arange(1000))
    snapshot = space.snapshot()
    later = space.zeros(100)
    old = snapshot.array_of(a)
    with pytest.raises(ValueError, match="read-only"):
        old[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        old.flags.writeable = True
    for wrong in (later, np.zeros(5), old):
        with pytest.raises(hotswap.SpaceError, match="not one that the space had"):
            snapshot.array_of(wrong)
    with pytest.raises(hotswap.SizeError, match="below what faults need"):
        space.snapshot(limit="4K")
    with space.resident(a), pytest.raises(hotswap.SpaceError, match="resident"):
        space.snapshot()
    snapshot.close()
    with pytest.raises(hotswap.SpaceError, match="closed"):
        snapshot.array_of(a)
    closed = hotswap.Space("4M")
    closed.close()
    with pytest.raises(hotswap.SpaceError, match="closed"):
        closed.snapshot()
    assert np.array_equal(old, np.arange(1000))
