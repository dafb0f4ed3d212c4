"""``hotswap.arrays``, ``import hotswap.auto`` and ``%load_ext hotswap``: NumPy's own arrays, without ``hotswap run``."""

import contextvars
import gc
import threading

import numpy as np
import pytest
from support import passes

import hotswap
from hotswap.engine import api

pytestmark = pytest.mark.usefixtures("nothing_leaked")
BIG = 1 << 18  # doubles: 2 MiB


def inside(space, array):
    base, size = api.space_range(space._index)
    return base <= array.__array_interface__["data"][0] < base + size


def test_big_arrays_of_the_block_are_swappable_and_outlive_it(areas):
    areas(1, "64M")
    with hotswap.arrays("4M") as space:
        first, small = np.arange(4 * BIG), np.empty(10)
        assert inside(space, first) and not inside(space, small)
        kept = [np.full(BIG, number, "f8") for number in range(6)]
    assert not inside(space, np.empty(BIG))
    assert all((array == number).all() for number, array in enumerate(kept))
    assert np.array_equal(first, np.arange(4 * BIG))
    stats = space.stats()
    assert stats["pages_out"] > 0 and stats["resident_bytes"] <= stats["limit_bytes"] == 4 << 20
    with pytest.raises(hotswap.SpaceError, match="still in use"):
        space.close()
    del first, kept
    gc.collect()
    space.close()


def test_the_space_goes_with_its_last_array(areas):
    areas(1, "64M")
    with hotswap.arrays("4M"):
        kept = np.ones(BIG)
    assert kept.sum() == BIG
    del kept  # nothing_leaked looks for the threads of the space


def test_threads_that_are_started_in_the_block_follow_it_and_others_do_not(areas):
    areas(1, "64M")
    found = {}
    go = threading.Event()

    class Own(threading.Thread):
        def run(self):
            found["own run()"] = np.empty(BIG)

    def other():
        go.wait()
        found["before"] = np.empty(BIG)

    before = threading.Thread(target=other)
    before.start()
    with hotswap.arrays("4M") as space:
        threads = [threading.Thread(target=lambda: found.update(plain=np.empty(BIG))), Own()]
        for thread in threads:
            thread.start()
        go.set()
        for thread in [*threads, before]:
            thread.join()
        found["other context"] = contextvars.Context().run(np.empty, BIG)
    after = threading.Thread(target=lambda: found.update(after=np.empty(BIG)))
    after.start()
    after.join()
    where = {name: inside(space, array) for name, array in found.items()}
    assert where == {"plain": True, "own run()": True, "before": False, "other context": False, "after": False}
    found.clear()


def test_arrays_of_objects_stay_out(areas):
    areas(1, "64M")
    with hotswap.arrays("4M") as space:
        for make in (np.empty, np.zeros, np.ones):
            assert not inside(space, make(BIG, object)) and inside(space, make(BIG))
        assert not inside(space, np.zeros(BIG, [("a", object), ("b", "f8")]))


def test_blocks_may_be_nested_and_resize_keeps_the_bytes(areas):
    areas(1, "128M")
    with hotswap.arrays("4M") as outer:
        with hotswap.arrays("4M", "4K", min_size="64K") as inner:
            array = np.arange(BIG)
            assert inside(inner, array) and not inside(outer, array) and inside(inner, np.empty(1 << 13))
            array.resize(8 * BIG, refcheck=False)
            assert inside(inner, array) and np.array_equal(array[:BIG], np.arange(BIG)) and not array[BIG:].any()
            array.resize(100, refcheck=False)
            assert not inside(inner, array) and np.array_equal(array, np.arange(100))
        assert inside(outer, np.empty(BIG))


def test_what_could_not_be_held_is_numpys_memory_error(areas):
    areas(1, "8M")
    with hotswap.arrays("4M") as space, pytest.raises(MemoryError):
        np.empty(1 << 24)
    assert space.stats()["resident_bytes"] <= 4 << 20


@pytest.mark.parametrize(("limit", "min_size"), [("512K", "256K"), ("4M", "none"), ("x", "256K")])
def test_sizes_that_are_none_are_refused_and_change_nothing(limit, min_size):
    with pytest.raises(hotswap.SizeError), hotswap.arrays(limit, min_size=min_size):
        raise AssertionError("the block began")
    assert np.empty(BIG).size == BIG


def test_import_auto_reaches_every_thread_and_context(scratch):
    out = passes(
        """
        import contextvars, os, sys, threading
        os.environ |= {"HOTSWAP_LIMIT": "8M", "HOTSWAP_SWAP": sys.argv[1] + "/a:64M", "HOTSWAP_MIN_SIZE": "128K"}
        import hotswap.auto
        import numpy as np
        from hotswap.engine import api
        base, size = api.space_range(hotswap.auto.space._index)
        def inside(array): return base <= array.ctypes.data < base + size
        found = [np.arange(1 << 20), contextvars.Context().run(np.ones, 1 << 20), np.empty(16 << 10)]
        thread = threading.Thread(target=lambda: found.append(np.zeros(1 << 20)))
        thread.start(); thread.join()
        assert all(map(inside, found)), list(map(inside, found))
        assert not inside(np.empty(1 << 18, object)) and not inside(np.empty(10))
        assert found[0].sum() == (1 << 20) * ((1 << 20) - 1) // 2 and found[1].all() and not found[3].any()
        hotswap.load_ipython_extension(None)
        hotswap.load_ipython_extension(None)
        """,
        scratch,
    )
    lines = out.splitlines()
    assert len(lines) == 2 and all(line.startswith("hotswap: large arrays are swappable, ") for line in lines), out
    assert "of at most 8.0 MiB are in memory" in lines[0] and "a (" in lines[0]


def test_import_auto_under_hotswap_run_is_the_same_space():
    out = passes(
        """
        import subprocess, sys
        script = "import hotswap.auto, hotswap.run.inside as i; assert hotswap.auto.space is i.heap; print(len(hotswap.swaps()))"
        words = [sys.executable, "-m", "hotswap", "run", "--limit", "16M", "--", sys.executable, "-c", script]
        print(subprocess.run(words, capture_output=True, text=True, check=True).stdout, end="")
        """
    )
    assert out == "1\n"
