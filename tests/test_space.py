"""Arrays of a space are ordinary arrays; their pages are in memory only as far as the limit allows, and nothing stays behind."""

import gc
import os
import threading
import weakref

import numpy as np
import pytest
from support import MIB, PAGE, Crew, Pages, eventually, flipper, passes, run_python, toucher, used

import hotswap
from hotswap import OutOfSwap, Space

pytestmark = pytest.mark.usefixtures("nothing_leaked")

RECORD = np.dtype([("when", "M8[ns]"), ("what", "S5"), ("x", "f4", (3,)), ("z", "c16")])
DTYPES = ["u1", "i2", ">i4", "f2", "f8", "c8", "c16", "?", "M8[s]", "m8[D]", "S7", "U3", "V9", "longdouble", RECORD]


def varied(shape, dtype, seed=1):
    """Values of a dtype from random bytes (no two pages alike)."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape))
    bits = np.random.default_rng(seed).integers(0, 100, count * kind.itemsize, "u1")
    if kind.kind == "?" or kind == np.bool_:
        bits %= 2
    if kind.kind == "U":  # code points
        return bits.view(np.uint8)[: count * 3].astype("u4").view(f"U{kind.itemsize // 4}")[:count].reshape(shape)
    return np.frombuffer(bits.tobytes(), kind, count).reshape(shape)


def same(array, wanted):
    return array.dtype == wanted.dtype and array.shape == wanted.shape and array.tobytes() == wanted.tobytes()


def push_out(space):
    """Makes everything else of a space leave: writes a stretch as large as its limit."""
    filler = space.empty(space.limit, "u1").view("u8")
    filler[...] = np.arange(filler.size)
    return int(filler[::512].sum())


# --- the arrays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_array_of_any_dtype_survives_eviction(areas, space, dtype):
    areas(2)
    wanted = varied((3, 70_000), dtype)
    array = space.array(wanted)
    push_out(space)
    assert same(array, wanted)
    assert type(array) is np.ndarray
    assert array.flags.writeable and array.flags.aligned


def test_arrays_begin_as_zeros(space):
    for array in (space.empty((100, 100), "f4"), space.zeros(10_000, "c16"), space.empty_like(np.ones(5_000, "i2"))):
        assert not array.any()
        array.fill(1)  # the addresses are used again by the next one, which must not show it
        del array
        assert not space.empty(100_000, "u1").any()


def test_full_and_array_and_empty_like_follow_numpy(space):
    assert same(space.full((3, 4), 7), np.full((3, 4), 7))
    assert same(space.full(5, "ab"), np.full(5, "ab"))
    assert same(space.full(5, 1.5, "f2"), np.full(5, 1.5, "f2"))
    assert same(space.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]]))
    assert same(space.array([1, 2], "f4"), np.array([1, 2], "f4"))
    like = space.empty_like(np.zeros((2, 3), RECORD))
    assert (like.shape, like.dtype) == ((2, 3), RECORD)
    assert space.empty_like(np.zeros(4), "i1").dtype == np.int8
    assert space.zeros(np.int64(3)).shape == (3,)
    assert space.zeros([2, np.int8(3)]).shape == (2, 3)


def test_fortran_order_is_kept(areas, space):
    areas()
    assert space.empty((30, 40), "f4", "F").flags.f_contiguous
    source = np.asfortranarray(np.arange(600_000, dtype="f8").reshape(300, 2000))
    array = space.array(source)
    push_out(space)
    assert array.flags.f_contiguous and not array.flags.c_contiguous
    assert np.array_equal(array, source)
    assert space.empty_like(source).flags.f_contiguous


def test_an_array_may_have_no_dimension(space):
    array = space.array(np.float32(2.5))
    assert array.shape == () and array[()] == 2.5
    array[()] = 3
    assert array == 3


@pytest.mark.parametrize("shape", [0, (0,), (5, 0, 3)])
def test_an_array_may_have_no_values(space, shape):
    array = space.empty(shape, "f4")
    assert array.size == 0 and array.shape == (shape if isinstance(shape, tuple) else (shape,))
    with space.resident(array) as held:
        assert held is array
    assert space.empty(3, "V0").nbytes == 0


def test_numpy_works_in_place_on_an_array_larger_than_the_limit(areas, space):
    areas(2)
    wanted = np.random.default_rng(2).integers(0, 1 << 40, MIB, "i8")  # 8 MiB
    array = space.array(wanted)
    array.sort()
    wanted.sort()
    assert np.array_equal(array, wanted)
    np.multiply(array, 3, out=array)
    assert int(array.sum()) == int(wanted.sum()) * 3


# --- folios ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kib", [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048])
def test_writes_survive_eviction_with_folios_of_any_size(areas, kib):
    folio = kib * 1024
    limit = max(2 * MIB, 48 * folio)
    areas(1, 2 * limit + 16 * MIB)
    with Space(limit, folio) as space:
        pages = Pages(space, 2 * limit)
        for generation in (1, 2):
            for first in range(0, pages.count, 97):
                pages.stamp(first, min(61 if generation == 2 else 97, pages.count - first), generation)
            pages.check()
        assert space.stats()["pages_out"] > 0
        del pages


def test_an_array_may_have_smaller_folios_than_its_space(areas, space):
    areas(2)
    small, large = Pages(space, 5 * MIB, 1, folio="4K"), Pages(space, 5 * MIB, 2)
    for pages in (small, large, small):
        pages.stamp(0, pages.count, int(pages.generation[0]) + 1)
    before = space.stats()["pages_in"]
    assert small.words[3, 5] and large.words[3, 5]
    assert space.stats()["pages_in"] - before < 200
    small.check()
    large.check()
    del small, large, pages


def test_a_single_read_of_a_small_folio_moves_a_single_page(areas):
    areas()
    with Space("2M", "4K") as space:
        pages = Pages(space, 8 * MIB)
        pages.stamp(0, pages.count, 1)
        before = space.stats()
        for page in (7, 911, 230, 590, 61, 985, 411, 700):  # in no steps that could be read ahead
            assert pages.words[page, 9]
        after = space.stats()
        # Nothing around them comes along; the one or the other may still be in a staging frame.
        assert 6 <= after["faults_major"] - before["faults_major"] <= 8
        assert after["pages_in"] - before["pages_in"] <= 8
        pages.check()
        del pages


# --- several spaces, and their limits --------------------------------------------------------------------------------


def test_spaces_have_limits_and_contents_of_their_own(areas):
    areas(2)
    with Space("4M") as one, Space("2M", "16K") as two, Space("1M", "4K") as three:
        members = [Pages(space, 6 * MIB, number) for number, space in enumerate((one, two, three))]
        crew = Crew()
        for number, pages in enumerate(members):
            crew.start(toucher(pages, 0, pages.count, np.random.default_rng(number)))
        crew.work(1.5)
        for space, limit in ((one, 4 * MIB), (two, 2 * MIB), (three, MIB)):
            assert space.limit == limit == space.stats()["limit_bytes"]
            assert space.stats()["resident_bytes"] <= limit
        for pages in members:
            pages.check()
        del members, pages, crew


def test_a_limit_is_lowered_and_raised_while_threads_work(areas):
    areas(2)
    with Space("16M") as space:
        pages = Pages(space, 16 * MIB)
        crew = Crew()
        crew.start(toucher(pages, 0, pages.count // 2, np.random.default_rng(1)))
        crew.start(toucher(pages, pages.count // 2, pages.count // 2, np.random.default_rng(2)))
        sizes = [4, 12, 5, 16, 6]
        for limit in sizes * 3:
            before = crew.steps()
            space.limit = limit * MIB
            assert space.limit == limit * MIB
            assert space.stats()["resident_bytes"] <= limit * MIB
            assert eventually(lambda before=before, crew=crew: crew.steps() > before + 10 or crew.failure)
        crew.join()
        pages.check()
        del pages, crew


def test_a_lowered_limit_is_what_the_kernel_counts(areas):
    areas()
    passes(
        """
        import sys, numpy as np, hotswap, support
        hotswap.swapon(sys.argv[1])
        space = hotswap.Space("12M")
        a = space.empty(11 << 20, "u1")
        a.view("u8")[...] = np.arange(a.size // 8)
        full = support.rss_anon()
        space.limit = "4M"
        assert full - support.rss_anon() > 6 << 20, (full, support.rss_anon())
        assert (a.view("u8") == np.arange(a.size // 8)).all()
        """,
        _own_area(areas),
    )


def _own_area(areas):
    """A formatted area that is off, for a child."""
    (path,) = areas()
    hotswap.swapoff(path)
    return path


def test_resident_memory_stays_within_the_limit_and_a_constant(areas):
    """By the kernel's own figure, under four threads, with an area going off and on; the constant is 16 MiB."""
    first, second = areas(2, "32M")
    hotswap.swapoff(first)
    hotswap.swapoff(second)
    out = passes(
        """
        import sys, threading, numpy as np, hotswap, support
        for path in sys.argv[1:]:
            hotswap.swapon(path)
        block = np.arange(8192, dtype="u8")
        before = support.rss_anon()
        space = hotswap.Space("8M")
        pages = space.empty(28 << 20, "u1").view("u8").reshape(-1, 8192)
        crew = support.Crew()
        def write(first):
            for start in range(first * 8, len(pages), 32):
                for number in range(start, min(start + 8, len(pages))):
                    pages[number] = block
                    pages[number, 5] = number
                for number in range(start, min(start + 8, len(pages))):
                    assert pages[number, 5] == number and pages[number, 8191] == 8191
        for first in range(4):
            crew.start(write, first)
        crew.start(support.flipper(sys.argv[1:]))
        most = 0
        for _look in range(2000):
            most = max(most, support.rss_anon())
            if crew.stop.wait(0.0005):
                break
        crew.join()
        assert min(crew.rounds.values()) > 0, crew.rounds
        print(most - before)
        """,
        first,
        second,
    )
    grown = int(out)
    assert 6 * MIB < grown <= 8 * MIB + 16 * MIB


# --- pinned arrays ---------------------------------------------------------------------------------------------------


def test_a_pinned_array_stays_in_memory_while_others_are_pushed_out(areas, space):
    areas()
    array = space.array(np.arange(MIB // 8))
    with space.resident(array) as held:
        assert held is array
        assert space.stats()["pinned_bytes"] == MIB
        push_out(space)
        push_out(space)
        before = space.stats()
        assert int(array.sum()) == (MIB // 8) * (MIB // 8 - 1) // 2
        after = space.stats()
        assert after["faults_major"] + after["faults_minor"] == before["faults_major"] + before["faults_minor"]
    assert space.stats()["pinned_bytes"] == 0
    push_out(space)
    assert int(array[-1]) == MIB // 8 - 1
    assert space.stats()["faults_major"] > after["faults_major"] or space.stats()["faults_minor"] > after["faults_minor"]


def test_pins_nest_and_overlap(areas, space):
    areas()
    array = space.array(np.arange(98_304))  # 768 KiB
    left, right, strided = array[:60_000], array[40_000:], array[::-2]
    with space.resident(left):
        with space.resident(right), space.resident(left), space.resident(strided):
            assert space.stats()["pinned_bytes"] == array.nbytes
        held = space.stats()["pinned_bytes"]
        assert left.nbytes <= held < array.nbytes
        push_out(space)
        before = space.stats()["faults_major"]
        assert left[-1] == 59_999
        assert space.stats()["faults_major"] == before
    assert space.stats()["pinned_bytes"] == 0


def test_a_system_call_reaches_a_pinned_array(areas, space, scratch):
    areas()
    data = np.random.default_rng(3).integers(0, 256, MIB, "u1").tobytes()
    (scratch / "data").write_bytes(data)
    array = space.empty(MIB, "u1")
    push_out(space)
    with space.resident(array), open(scratch / "data", "rb", buffering=0) as file:
        assert os.preadv(file.fileno(), [array[: MIB // 2]], 0) == MIB // 2
        file.seek(MIB // 2)
        assert file.readinto(array[MIB // 2 :]) == MIB // 2
    push_out(space)
    assert array.tobytes() == data


def test_what_was_read_into_a_pinned_array_is_written_when_it_leaves(areas, space, scratch):
    """The kernel writes without a fault: a pinned folio must count as dirty even where it was clean before."""
    areas()
    array = space.array(np.arange(MIB // 8))
    push_out(space)
    assert array[::512].sum() >= 0  # in, and clean
    (scratch / "data").write_bytes(bytes(range(256)) * 4096)
    with space.resident(array), open(scratch / "data", "rb", buffering=0) as file:
        push_out(space)
        file.readinto(array.view("u1"))
    push_out(space)
    assert array.tobytes() == bytes(range(256)) * 4096


def test_pinning_beyond_the_limit_is_refused_and_pins_nothing(areas, space):
    areas()
    array = space.zeros(8 * MIB, "u1")
    with pytest.raises(OutOfSwap, match="cannot be kept in memory within the limit"), space.resident(array):
        pass
    assert space.stats()["pinned_bytes"] == 0
    with space.resident(array[:MIB]), pytest.raises(OutOfSwap), space.resident(array[:MIB]), space.resident(array[MIB:]):
        pass
    assert space.stats()["pinned_bytes"] == 0
    push_out(space)


def test_pins_hold_while_an_area_is_pulled(areas, space):
    paths = areas(2)
    array = space.array(np.arange(MIB // 8))
    pages = Pages(space, 6 * MIB)
    crew = Crew()
    crew.start(toucher(pages, 0, pages.count, np.random.default_rng(4)))
    crew.start(flipper(paths))

    def pin():
        with space.resident(array[5000:30_000]) as part:
            assert part[0] == 5000 and part[-1] == 29_999
            before = space.stats()["pinned_bytes"]
            assert before >= part.nbytes

    crew.start(pin)
    crew.start(pin)
    crew.work(1.0, each=4)
    assert space.stats()["pinned_bytes"] == 0
    pages.check()
    del pages, crew


# --- memory and slots go back ----------------------------------------------------------------------------------------


def test_memory_and_slots_go_back_when_the_last_view_dies(areas, space):
    areas()
    empty = space.stats()["resident_bytes"]
    array = space.empty(8 * MIB, "u1")
    array.view("u8")[...] = np.arange(MIB)
    view = array.reshape(1024, -1)[::2].T[3:]
    del array
    assert used() > 4 * MIB
    assert view.any()
    buffer = memoryview(view)
    del view
    assert used() > 4 * MIB
    del buffer
    assert eventually(lambda: used() == 0)
    # A read that was on its way when the array died gives its frames back when it ends, a few ms later.
    assert eventually(lambda: space.stats()["resident_bytes"] == empty)


def test_an_array_may_die_on_any_thread(areas, space):
    areas()
    box = [space.array(np.arange(MIB))]
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    assert eventually(lambda: used() == 0)


@pytest.mark.parametrize("pulled", ["areas stay on", "areas go off and on"])
def test_arrays_come_and_go_on_several_threads(areas, pulled):
    """Addresses are used again at once: a fault that is told late must not harm the array that lies there by then."""
    paths = areas(2)
    for path in paths:
        hotswap.swapoff(path)
    passes(
        """
        import sys, numpy as np, hotswap
        from support import *
        paths = sys.argv[2:]
        for path in paths:
            hotswap.swapon(path)
        space = hotswap.Space("4M")
        crew = Crew()
        random = [np.random.default_rng(number) for number in range(3)]
        def live_and_die(which):
            array = space.empty(int(random[which].integers(1, 2 * MIB)), "u1")
            array[::1024] = which + 1
            assert (array[::1024] == which + 1).all()
        for which in range(3):
            crew.start(live_and_die, which)
        if sys.argv[1] == "areas go off and on":
            crew.start(flipper(paths))
        crew.work(2, each=4)
        assert space.stats()["poisoned"] == 0, "pages that nobody touches any more were marked as unreadable"
        assert eventually(lambda: used() == 0)
        """,
        pulled,
        *paths,
    )


def test_a_space_lives_as_long_as_its_arrays(areas):
    areas()
    array = Space("4M").array(np.arange(MIB))
    gc.collect()
    assert np.array_equal(array, np.arange(MIB))


def test_an_array_in_a_cycle_is_collected_wherever_the_collector_runs(areas):
    """It may run at any allocation, also while hotswap holds a lock of its own; here it runs each time one is taken."""
    outcome = run_python(
        """
        import gc, sys, hotswap
        gc.disable()
        class Collecting:
            def __init__(self, lock):
                self.lock = lock
            def __enter__(self):
                self.lock.acquire()
                gc.collect()
            def __exit__(self, *exc):
                self.lock.release()
        hotswap.swapon(sys.argv[1])
        space = hotswap.Space("4M")
        kept = space.zeros(10)
        space._lock = Collecting(space._lock)
        class Node:
            pass
        def litter():
            node = Node()
            node.me, node.array = node, space.zeros(10_000, "u1")
        for _round in range(3):
            litter()
            space.zeros(10)
            litter()
            try:
                space.close()
            except hotswap.SpaceError:
                pass
        """,
        _own_area(areas),
        hangs=True,
        timeout=10,
    )
    assert outcome is not None, "the collector frees an array while its own thread holds the lock that this takes: a deadlock"
    assert outcome.code == 0, outcome


# --- what takes no slot, and no write --------------------------------------------------------------------------------


def test_pages_of_one_value_take_no_slot(areas, space):
    areas(1, "32M")
    zeros = space.zeros(6 * MIB, "u1")
    ones = space.full(6 * MIB, 0x1111, "u2")
    zeros[::PAGE] = 0
    assert eventually(lambda: used() == 0)
    assert space.stats()["pages_filled"] > 0 == space.stats()["pages_out"]
    assert (ones == 0x1111).all() and not zeros.any()
    ones[7] = 5
    push_out(space)
    assert ones[7] == 5 and int(ones.sum()) == (ones.size - 1) * 0x1111 + 5


def test_an_array_that_was_never_touched_takes_nothing(areas, space):
    areas(2)
    resident = space.stats()["resident_bytes"]
    array = space.empty(16 * MIB, "u1")
    assert space.stats()["resident_bytes"] == resident and eventually(lambda: used() == 0)
    assert array[5 * MIB] == 0


def test_a_clean_page_leaves_without_a_write(areas, space):
    areas()
    array = space.array(np.arange(MIB))  # 8 MiB
    assert int(array.sum()) == MIB * (MIB - 1) // 2  # all were written once now
    before = space.stats()
    for _pass in range(3):
        assert int(array.sum()) == MIB * (MIB - 1) // 2
    after = space.stats()
    assert after["pages_clean"] - before["pages_clean"] > 2000
    # What stayed dirty from before may leave once; not a folio more.
    assert after["pages_out"] - before["pages_out"] <= space.limit // PAGE
    assert after["writeback_bytes"] == after["pages_out"] * PAGE


def test_a_written_page_does_not_leave_as_a_clean_one(areas, space):
    areas()
    pages = Pages(space, 8 * MIB)
    pages.stamp(0, pages.count, 1)
    for generation in range(2, 6):
        pages.check()  # a pass of reads: clean
        for first in range(generation, pages.count, 16):
            pages.stamp(first, 1, generation)  # one page of a clean folio
    pages.check()
    del pages


# --- readahead and reclaim -------------------------------------------------------------------------------------------


def test_a_sequential_pass_is_read_ahead(areas):
    areas()
    with Space("4M", "16K") as space:
        array = space.array(np.arange(MIB))
        before = space.stats()
        for start in range(0, MIB, 2048):
            assert array[start] == start
        after = space.stats()
        ahead = after["readahead_pages"] - before["readahead_pages"]
        came = after["pages_in"] - before["pages_in"]
        assert ahead > came // 2
        assert after["readahead_hits"] - before["readahead_hits"] > 100  # of 512 folios
        del array


def test_scattered_reads_are_not_read_ahead(areas):
    areas()
    with Space("4M", "16K") as space:
        array = space.array(np.arange(MIB))
        before = space.stats()
        for start in np.random.default_rng(5).permutation(512)[:200] * 2048:
            assert array[start] == start
        after = space.stats()
        assert after["readahead_pages"] - before["readahead_pages"] < 200  # of 800 that were wanted
        del array


def test_a_scan_does_not_flush_a_hot_set(areas):
    """A set of 1 MiB is read between stretches of a scan that together are larger than the limit. First in, first out would
    have all of it read anew every second time; recency from refaults keeps it."""
    areas(1, "64M")
    with Space("4M", "16K") as space:
        hot, cold = space.array(np.arange(MIB // 8)), space.array(np.arange(4 * MIB))
        scan = 2 * MIB // 8
        faults = []
        for turn in range(60):
            start = turn * scan % (cold.size - scan)
            assert cold[start : start + scan : 512].any()
            before = space.stats()
            assert hot[::512].sum() == np.arange(0, MIB // 8, 512).sum()
            after = space.stats()
            faults.append(after["faults_major"] + after["faults_minor"] - before["faults_major"] - before["faults_minor"])
        folios = 64
        assert sum(faults[20:]) < 40 * folios // 4, faults
        assert space.stats()["activations"] > 0
        del hot, cold


def test_figures_only_grow_and_add_up(areas, space):
    areas()
    array = space.array(np.arange(MIB))
    one = space.stats()
    assert int(array[::100].sum()) == int(np.arange(MIB)[::100].sum())
    two = space.stats()
    levels = {"resident_bytes", "limit_bytes", "pinned_bytes", "active_bytes", "inactive_bytes"}
    assert all(two[name] >= one[name] for name in one if name not in levels)
    assert two["pages_in"] > one["pages_in"]
    assert hotswap.swaps()[0].bytes_out == two["pages_out"] * PAGE
    assert hotswap.swaps()[0].bytes_in == two["pages_in"] * PAGE
    assert two["resident_bytes"] <= two["limit_bytes"] == 4 * MIB


# --- what may be promised --------------------------------------------------------------------------------------------


def test_an_array_that_could_not_be_held_is_refused(areas, space):
    with pytest.raises(OutOfSwap, match="add an area"):
        space.empty(5 * MIB, "u1")
    areas()
    array = space.empty(5 * MIB, "u1")
    with pytest.raises(MemoryError):
        space.empty(1 << 60, "u1")
    assert array.nbytes == 5 * MIB


def test_what_is_promised_can_be_held(areas):
    """As much as is allowed, all written, then read again and again: nobody waits for room."""
    paths = areas(2, "8M")
    for path in paths:
        hotswap.swapoff(path)
    outcome = run_python(
        """
        import sys, numpy as np, hotswap
        from support import *
        for path in sys.argv[1:]:
            hotswap.swapon(path)
        for _round in range(4):
            space = hotswap.Space("4M")
            arrays = []
            while True:
                try:
                    arrays.append(Pages(space, MIB // 2 + len(arrays) * 8 * PAGE, len(arrays)))
                except hotswap.OutOfSwap:
                    break
            assert sum(pages.count for pages in arrays) * PAGE > 12 * MIB
            for generation in (1, 2):
                for pages in arrays:
                    pages.stamp(0, pages.count, generation)
            for _pass in range(4):
                for pages in arrays:
                    pages.check()
            del arrays, pages
            space.close()
        """,
        *paths,
        hangs=True,
        timeout=20,
    )
    assert outcome is not None, "the arrays were promised, and reading them waits for ever"
    assert outcome.code == 0, outcome


def test_what_is_promised_to_folios_of_several_sizes_can_be_held(areas):
    """Small folios must not break up the room that large ones were promised."""
    outcome = run_python(
        """
        import sys, numpy as np, hotswap
        from support import Pages
        hotswap.swapon(sys.argv[1])
        space = hotswap.Space("8M", "128K")
        small = Pages(space, 7 << 20, 1, folio="4K")
        small.stamp(0, small.count, 1)
        random = np.random.default_rng(1)
        for generation in range(2, 12):
            for page in random.permutation(small.count)[:600]:
                small.stamp(int(page), 1, generation)
        large = []
        try:
            while True:
                large.append(Pages(space, 1 << 20, 2 + len(large)))
        except hotswap.OutOfSwap:
            pass
        assert large
        for generation in (1, 2, 3):
            for pages in large:
                pages.stamp(0, pages.count, generation)
            for page in random.permutation(small.count)[:600]:
                small.stamp(int(page), 1, 20 + generation)
        for pages in (small, *large):
            pages.check()
        """,
        _own_area(areas),
        hangs=True,
        timeout=15,
    )
    assert outcome is not None, "the arrays were promised, and writing to them waits for ever: there is room, but in pieces"
    assert outcome.code == 0, outcome


def test_a_lowered_limit_lowers_what_may_be_promised(areas):
    """Staging frames are as many as the first limit called for; what is promised later must count them so."""
    with Space("256M") as space:
        space.limit = "32M"
        outcome = run_python(
            """
            import hotswap
            space = hotswap.Space("256M")
            space.limit = "32M"
            try:
                array = space.empty(29 << 20, "u1")
            except hotswap.OutOfSwap:
                pass
            else:
                array[::4096] = range(256)[5]
                for page in range(0, array.size, 4096):
                    array[page + 1] = page // 4096 % 251
            """,
            hangs=True,
            timeout=10,
        )
    assert outcome is not None, "the array was promised, and writing to it waits for ever"
    assert outcome.code == 0, outcome


# --- the end of a space ----------------------------------------------------------------------------------------------


def test_a_closed_space_leaves_no_threads(areas):
    from support import engine_threads

    assert not engine_threads()
    with Space("4M") as space:
        assert eventually(lambda: len(engine_threads()) >= 3)
        reference = weakref.ref(space)
    assert eventually(lambda: not engine_threads())
    space.close()
    assert repr(space) == "<Space, closed>"
    del space
    gc.collect()
    assert reference() is None


def test_spaces_come_and_go(areas):
    areas()
    for number in range(40):
        with Space("2M", "4K") as space:
            pages = Pages(space, 3 * MIB)
            pages.stamp(0, pages.count, number + 1)
            pages.check(700, 30)
            del pages
    assert eventually(lambda: used() == 0)
