"""Areas go off and on at any moment, from any thread, under load; nothing is lost, and what cannot go off stays as usable as
before."""

import errno
import functools
import itertools
import os
import shutil
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
from support import MIB, PAGE, ROOT, Crew, Pages, eventually, flipper, passes, settled, toucher, used

import hotswap
from hotswap import AreaError, Space, control

pytestmark = pytest.mark.usefixtures("nothing_leaked")


def on():
    return [swap.path for swap in hotswap.swaps()]


def filled(space, nbytes=8 * MIB, **options):
    pages = Pages(space, nbytes, **options)
    pages.stamp(0, pages.count, 1)
    return pages


class _Pause(Exception):
    """Raised by a progress callback."""


@pytest.fixture
def slowly(monkeypatch):
    """Progress is told as often as can be, so that it comes in swapoffs that take no tenth of a second."""
    monkeypatch.setattr(control, "_TICK_US", 100)


@pytest.fixture
def slow_area(areas, space, slowly):
    """An area with so many 4 KiB folios, in no order, that its swapoff takes a while; its path, the pages, another area."""
    with Space("4M", "4K") as fine:
        path = areas(1, "64M")[0]
        pages = Pages(fine, 40 * MIB)
        for page in np.random.default_rng(7).permutation(pages.count // 8):
            pages.stamp(int(page) * 8, 8, 1)
        (other,) = areas(1, "64M")
        case = [path, pages, other]
        del pages
        yield case
        case[1].check()
        case.clear()


# --- where the data goes ---------------------------------------------------------------------------------------------


def test_the_data_moves_into_another_area(areas, space):
    (first,) = areas()
    pages = filled(space)
    (second,) = areas(1, "16M", -1)
    assert eventually(lambda: settled(space))
    there = used(first)
    assert there > 4 * MIB and used(second) == 0
    done = hotswap.swapoff(first)
    assert on() == [second]
    assert done.path == first and done.pages == done.moved + done.loaded
    assert done.moved * PAGE > there // 2
    assert used(second) == done.moved * PAGE
    pages.check()
    del pages
    assert used(second) == 0


def test_the_data_goes_into_memory_where_no_other_area_is(areas, space):
    (path,) = areas()
    pages = filled(space)
    assert used(path) > 0
    space.limit = "16M"
    done = hotswap.swapoff(path)
    assert (done.moved, on()) == (0, [])
    assert done.loaded > 0
    pages.check()
    assert space.stats()["resident_bytes"] >= 8 * MIB
    del pages


def test_an_area_with_nothing_in_it_goes_off_at_once(areas):
    (path,) = areas()
    assert hotswap.swapoff(path)[1:4] == (0, 0, 0)
    assert on() == []


def test_the_data_of_several_spaces_moves(areas):
    first, second = areas(2)
    with Space("2M", "4K") as one, Space("4M") as two:
        members = [filled(one, 6 * MIB, name=1), filled(two, 8 * MIB, name=2)]
        for path in (first, second, first, second):
            hotswap.swapoff(path)
            hotswap.swapon(path)
            for pages in members:
                pages.check()
        del members, pages


def test_an_area_that_is_off_can_be_used_again_or_deleted(areas, space, scratch):
    (path,) = areas()
    pages = filled(space, 2 * MIB)
    space.limit = "8M"
    hotswap.swapoff(path)
    os.unlink(path)
    hotswap.swapon(path, size="8M")
    assert hotswap.swaps()[0].size == 8 * MIB - PAGE
    pages.check()
    del pages
    hotswap.swapoff(path)
    shutil.copy(path, scratch / "copy")


@pytest.mark.skipif(not ROOT, reason="the kernel's swapon needs root")
def test_the_kernel_takes_the_area_afterwards(areas, space):
    tool = shutil.which("swapon", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tool is None:
        pytest.skip("swapon is not installed")
    first, second = areas(2)
    pages = filled(space)
    hotswap.swapoff(first)
    taken = subprocess.run([tool, first], capture_output=True, text=True)
    try:
        if taken.returncode and "Operation not permitted" in taken.stderr:
            pytest.skip(f"swapon is not permitted here: {taken.stderr.strip()}")
        assert taken.returncode == 0, taken.stderr
        assert first in open("/proc/swaps").read()
        with pytest.raises(AreaError, match="swap"):
            hotswap.swapon(first)
    finally:
        subprocess.run(["/usr/sbin/swapoff", first], capture_output=True)
    hotswap.swapon(first)
    hotswap.swapoff(second)
    pages.check()
    del pages


# --- priorities ------------------------------------------------------------------------------------------------------


def test_areas_of_higher_priority_fill_first(areas, space):
    (low,) = areas(1, "16M", -1)
    (middle,) = areas(1, "16M", 5)
    (high,) = areas(1, "4M", 32767)
    assert on() == [high, middle, low]
    pages = filled(space, 12 * MIB)
    assert used(high) > 3 * MIB and used(middle) > 4 * MIB and used(low) == 0
    pages.check()
    del pages


def test_areas_of_equal_priority_share(areas, space):
    paths = areas(4)
    pages = filled(space, 32 * MIB)
    shares = [used(path) for path in paths]
    assert min(shares) > 2 * MIB and max(shares) < 14 * MIB, shares
    pages.check()
    del pages


def test_the_data_of_an_area_goes_to_the_best_of_the_others(areas, space):
    (leaving,) = areas(1, "16M", 1)
    pages = filled(space)
    assert eventually(lambda: settled(space))
    (low,) = areas(1, "16M", 3)
    (high,) = areas(1, "16M", 4)
    hotswap.swapoff(leaving)
    assert used(high) > 0 and used(low) == 0
    pages.check()
    del pages


def test_thirty_two_areas_are_on_and_a_thirty_third_is_refused(areas, space, scratch):
    paths = areas(32, "1M")
    pages = filled(space, 20 * MIB)
    assert all(used(path) for path in paths)
    wanted = scratch / "one.too.many"
    with pytest.raises(AreaError, match="32 areas are on already"):
        hotswap.swapon(wanted, size="1M")
    assert not wanted.exists(), "a file was made for an area that was refused"
    assert len(on()) == 32
    space.limit = "24M"
    hotswap.swapoff(paths[9])
    hotswap.swapon(wanted, size="1M")
    hotswap.swapoff(wanted)
    pages.check()
    del pages
    for path in paths:
        if path in on():
            hotswap.swapoff(path)


# --- progress, interruption, refusal ---------------------------------------------------------------------------------


def test_progress_is_told(slow_area):
    path, _pages, _other = slow_area
    told = []
    done = hotswap.swapoff(path, progress=told.append)
    assert len(told) > 2
    assert all(isinstance(step, hotswap.SwapoffProgress) and step.path == path for step in told)
    assert [step.moved for step in told] == sorted(step.moved for step in told)
    assert [step.left for step in told] == sorted((step.left for step in told), reverse=True)
    assert 0 < told[-1].moved <= done.pages
    assert told[-1].rate > 0 and told[-1].seconds_left == pytest.approx(told[-1].left / told[-1].rate)
    assert all((step.seconds_left is None) == (step.moved == 0) for step in told)


def test_an_exception_in_progress_leaves_the_area_on(slow_area):
    path, pages, other = slow_area
    before = used(path)

    def raising(step):
        if step.moved:
            raise _Pause

    for _time in range(2):
        with pytest.raises(_Pause):
            hotswap.swapoff(path, progress=raising)
    assert set(on()) == {path, other}
    assert "active" in next(swap for swap in hotswap.swaps() if swap.path == path).flags
    assert 0 < used(path) < before
    pages.check()
    for first in range(0, pages.count, 64):
        pages.stamp(first, 64, 2)
    assert next(swap for swap in hotswap.swaps() if swap.path == path).bytes_out > before, "nothing is written there any more"
    hotswap.swapoff(path)
    assert on() == [other]


def test_ctrl_c_leaves_the_area_on(slow_area):
    path, pages, other = slow_area
    pulled = []

    def kill(step):
        if step.moved and not pulled:
            pulled.append(step)
            threading.Timer(0.0, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        hotswap.swapoff(path, progress=kill)
        time.sleep(1)
    assert path in on() and other in on() or used(path) == 0
    pages.check()
    if path in on():
        hotswap.swapoff(path)


def test_a_second_ctrl_c_does_not_leave_the_area_between_on_and_off(slow_area, monkeypatch):
    """While a cancelled swapoff winds up, Ctrl-C may come again: then too the area must be on or off afterwards."""
    path, pages, _other = slow_area
    waits = []

    class Api:
        def __getattr__(self, name):
            return getattr(control_api, name)

        def swap_off_wait(self, *arguments):
            waits.append(1)
            if len(waits) in (3, 4):
                raise KeyboardInterrupt
            return control_api.swap_off_wait(*arguments)

    control_api = control.api
    monkeypatch.setattr(control, "api", Api())
    with pytest.raises(KeyboardInterrupt):
        hotswap.swapoff(path)
    monkeypatch.setattr(control, "api", control_api)
    assert eventually(lambda: path not in on() or "active" in next(s for s in hotswap.swaps() if s.path == path).flags)
    if path in on():
        hotswap.swapoff(path)
    assert path not in on()
    pages.check()


def test_an_area_whose_data_fits_nowhere_stays_on_and_usable(areas, space):
    (path,) = areas()
    pages = filled(space)
    before = used(path)
    for _time in range(3):
        with pytest.raises(AreaError, match=r"fit neither in the other areas nor in memory.*stays on.*Add an area") as caught:
            hotswap.swapoff(path)
        assert caught.value.errno == errno.ENOSPC
    assert on() == [path]
    pages.check()
    for generation in (2, 3):
        pages.stamp(0, pages.count, generation)
        pages.check()
    assert used(path) > before // 2
    areas()
    hotswap.swapoff(path)
    pages.check()
    del pages


def test_an_area_that_almost_fits_goes_off_when_there_is_room_again(areas, space):
    first, second = areas(2, "8M")
    big, small = filled(space, 9 * MIB, name=1), filled(space, 5 * MIB, name=2)
    with pytest.raises(AreaError, match="fit neither"):
        hotswap.swapoff(first)
    big.check()
    small.check()
    del small
    space.limit = "6M"
    hotswap.swapoff(first)
    big.check()
    assert on() == [second]
    del big


def test_an_area_that_is_not_on_is_refused(areas, scratch):
    (path,) = areas()
    with pytest.raises(AreaError, match="is not on"):
        hotswap.swapoff(scratch / "none")
    hotswap.swapoff(path)
    with pytest.raises(AreaError, match="is not on"):
        hotswap.swapoff(path)


# --- several at once -------------------------------------------------------------------------------------------------


def at_once(*calls):
    """Runs calls on threads that start together; what each returned or raised."""
    results = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(number):
        gate.wait()
        try:
            results[number] = calls[number]()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_areas_go_off_at_once(areas, space):
    paths = areas(4)
    pages = filled(space, 16 * MIB)
    for _time in range(10):
        results = at_once(*[functools.partial(hotswap.swapoff, path) for path in paths[:2]])
        assert all(isinstance(result, hotswap.Swapoff) for result in results), results
        assert sorted(on()) == sorted(paths[2:])
        hotswap.swapon(paths[0])
        hotswap.swapon(paths[1])
        pages.check()
        paths = paths[2:] + paths[:2]
    del pages


def test_the_same_area_twice_at_once_is_refused_once(areas, space):
    first, second = areas(2)
    pages = filled(space)
    for _time in range(20):
        results = at_once(*[functools.partial(hotswap.swapoff, first)] * 3)
        assert sum(isinstance(result, hotswap.Swapoff) for result in results) == 1, results
        for result in results:
            if not isinstance(result, hotswap.Swapoff):
                assert isinstance(result, AreaError) and ("already" in str(result) or "is not on" in str(result))
        assert on() == [second]
        hotswap.swapon(first)
        pages.check(0, 64)
        first, second = second, first
    pages.check()
    del pages


def test_a_late_swapoff_does_not_pull_the_area_that_took_the_place(areas, scratch, monkeypatch):
    """One thread is about to switch an area off; before it does, another switches that one off, and a new one takes its row."""
    (path,) = areas(1, "1M")
    other = str(scratch / "other")
    control_api = control.api

    class Late:
        def __getattr__(self, name):
            return getattr(control_api, name)

        def swap_off_start(self, name):
            monkeypatch.setattr(control, "api", control_api)
            hotswap.swapoff(path)
            hotswap.swapon(other, size="1M")
            return control_api.swap_off_start(name)

    monkeypatch.setattr(control, "api", Late())
    with pytest.raises(AreaError, match="is not on|already"):
        hotswap.swapoff(path)
    assert on() == [other]
    hotswap.swapoff(other)


def test_a_name_can_be_on_once_only(areas, space):
    """The file is replaced by another one of its name while it is on: both cannot be told apart, so the second is refused."""
    (path,) = areas(1, "8M")
    pages = filled(space, 6 * MIB)
    os.rename(path, path + ".old")
    try:
        hotswap.swapon(path, size="8M")
    except AreaError as error:
        assert "already" in str(error)
    assert len(on()) == len(set(on()))
    assert sum(swap.used for swap in hotswap.swaps()) > 0, "the area with the data is not listed any more"
    pages.check()
    del pages
    for name in on():
        hotswap.swapoff(name)
    from hotswap.engine import api

    assert not any(api.area_figures(number)["on"] for number in range(32)), "an area can never be switched off again"


def test_an_area_goes_off_while_arrays_die(areas, space):
    paths = areas(2)
    for turn in range(12):
        members = [filled(space, MIB, name=number) for number in range(8)]
        off = threading.Thread(target=hotswap.swapoff, args=(paths[turn % 2],))
        off.start()
        while members:
            members.pop()
        off.join()
        assert eventually(lambda: used() == 0)
        assert on() == [paths[1 - turn % 2]]
        hotswap.swapon(paths[turn % 2])


def test_an_area_goes_off_while_the_limit_changes(areas):
    paths = areas(2)
    with Space("12M") as space:
        pages = filled(space, 12 * MIB)
        limits = itertools.cycle([4, 12, 6, 10])

        def change():
            space.limit = next(limits) * MIB

        crew = Crew()
        crew.start(flipper(paths))
        crew.start(change)
        crew.start(toucher(pages, 0, pages.count, np.random.default_rng(8)))
        crew.work(1.5)
        print(crew.rounds)
        assert min(crew.rounds.values()) > 3, crew.rounds
        pages.check()
        del pages, crew


@pytest.mark.parametrize("folio", ["4K", "64K"])
def test_areas_go_off_and_on_in_a_loop_under_load(areas, folio):
    """Four threads with stamped pages of their own; three areas, pulled by two threads."""
    paths = areas(3, "24M")
    with Space("6M", folio) as space:
        pages = Pages(space, 24 * MIB)
        part = pages.count // 4
        crew = Crew()
        for number in range(4):
            crew.start(toucher(pages, number * part, part, np.random.default_rng(number)))
        pulled = crew.start(flipper(paths[:1]))
        crew.start(flipper(paths[1:2]))
        crew.work(2.5, each=6)
        assert crew.rounds[pulled] > 5
        pages.check()
        del pages, crew
    assert eventually(lambda: used() == 0)


def test_areas_go_off_and_on_under_load_without_move(areas):
    """The same on a kernel without UFFDIO_MOVE."""
    paths = areas(3)
    for path in paths:
        hotswap.swapoff(path)
    passes(
        """
        import sys, numpy as np, hotswap
        from hotswap.engine import api
        from support import *
        for path in sys.argv[1:]:
            hotswap.swapon(path)
        space = hotswap.Space("4M")
        assert not api.space_features(space._index) & api.MOVE
        pages = Pages(space, 16 * MIB)
        part = pages.count // 4
        crew = Crew()
        for number in range(4):
            crew.start(toucher(pages, number * part, part, np.random.default_rng(number)))
        crew.start(flipper(sys.argv[1:2]))
        crew.start(flipper(sys.argv[2:3]))
        crew.work(2, each=6)
        pages.check()
        del pages, crew
        assert eventually(lambda: used() == 0)
        """,
        *paths,
        env={"HOTSWAP_MMU": "copy"},
    )


def test_an_area_that_went_off_may_go_on_though_a_child_still_has_its_file_open(areas):
    """As one has between fork and exec, which knows nothing of hotswap."""
    (path,) = areas(1, "1M")
    name = os.path.realpath(path)
    (fd,) = [int(fd) for fd in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{fd}") == name]
    with subprocess.Popen(["sleep", "60"], pass_fds=[fd]) as child:
        try:
            hotswap.swapoff(path)
            hotswap.swapon(path)
        finally:
            child.kill()
