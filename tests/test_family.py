"""Processes that share swap areas: fork, both sides' bytes, shared slots, swapoff for everybody, and members that end without a word.

Each test is a process of its own, which forks: what pytest's process has open is nobody's to inherit.
"""

import contextlib
import os
import random
import time
from pathlib import Path

import pytest
from support import TESTS, passes, run_python

FAULTS = pytest.mark.parametrize("faults", ["thread", "signal"])
SETUP = """
import contextlib, os, random, signal, sys, time, hotswap, numpy as np
from support import *
area = sys.argv[1]
hotswap.swapon(area, size="48M")

def make(bytes=12 << 20, limit="4M", **options):
    space = hotswap.Space(limit, **options)
    array = space.empty(bytes // 8, "u8")
    array[:] = np.arange(array.size)
    return space, array

def child(main):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        main()
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(code)

def stands_by():  # a child's: until its parent ends
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.1)

def ends(pid, code=0):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code

def drawn():
    seed = random.randrange(1 << 31)
    print("seed", seed)
    return random.Random(seed)

def same(array, change=()):
    want = np.arange(array.size, dtype="u8")
    for step, value in change:
        want[::step] = value
    return np.array_equal(array, want)
"""


def family(script, scratch, **options):
    lines = script.splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return passes(SETUP + "\n".join(line[indent:] for line in lines), scratch / "area", **options)


@FAULTS
@pytest.mark.parametrize("folio", ["4K", "64K"])
def test_parent_and_child_each_see_their_own_bytes(scratch, faults, folio):
    family(
        f"""
        space, array = make(faults={faults!r}, folio={folio!r})
        array[5 * 512 :: 7 * 512]  # some in and clean, some in and dirty, most out
        array[: 64 * 512].sum()

        def main():
            assert same(array)
            array[::1000] = 1
            assert same(array, [(1000, 1)])
            more = space.full(1 << 20, 3, "u1")
            assert (more == 3).all() and same(array, [(1000, 1)])

        pid = child(main)
        array[::999] = 2
        assert same(array, [(999, 2)])
        ends(pid)
        assert same(array, [(999, 2)])
        """,
        scratch,
    )


def test_swapped_pages_are_shared_until_either_writes(scratch):
    family(
        """
        space, array = make()
        before = used()

        def main():
            assert used() < before + (2 << 20)  # what was in memory may have gone out since
            assert same(array)
            assert used() < before + (6 << 20)  # reading makes none; what was in memory at the fork goes out for both
            array[::512] = 1
            assert used() > before + (6 << 20)

        ends(child(main))
        assert eventually(lambda: used() < before + (2 << 20))
        del array
        assert eventually(lambda: used() == 0)
        hotswap.swapoff(area)
        """,
        scratch,
    )


def test_no_slot_is_left_by_a_child_that_closes_exits_or_is_killed(scratch):
    family(
        """
        space, array = make()

        def closes():
            global array
            array[::512] = 1
            del array
            space.close()

        def exits():
            array[::512] = 2

        def killed():
            array[::512] = 3
            os.kill(os.getpid(), signal.SIGKILL)

        def becomes_another_program():
            array[::512] = 4
            os.execv("/bin/true", ["true"])

        ends(child(closes))
        ends(child(exits))
        ends(child(killed), -signal.SIGKILL)
        ends(child(becomes_another_program))
        assert same(array)
        del array
        assert eventually(lambda: used() == 0)
        hotswap.swapoff(area)
        """,
        scratch,
    )


def test_a_grandchild_goes_on_when_those_before_it_have_gone(scratch):
    family(
        """
        space, array = make()
        ready, tell = os.pipe()

        def main():
            def inner():
                while os.getppid() == parent:
                    time.sleep(0.01)
                time.sleep(0.3)  # the dead one is cleaned up after
                good = same(array, [(10, 5)])
                os.write(tell, b"y" if good else b"n")

            parent = os.getpid()
            array[::10] = 5
            child(inner)

        ends(child(main))
        assert os.read(ready, 1) == b"y"
        assert same(array)
        """,
        scratch,
    )


@pytest.mark.parametrize("who", ["parent", "child"])
def test_a_swapoff_from_either_side_empties_both(scratch, who):
    family(
        f"""
        space, array = make()
        other = area + "2"
        hotswap.swapon(other, size="64M", priority=-1)
        ready, tell = os.pipe()
        go, told = os.pipe()

        def off():
            result = hotswap.swapoff(area)
            assert result.moved > 0, result
            assert [swap.path for swap in hotswap.swaps()] == [other]

        def main():
            assert same(array)
            os.write(tell, b"r")
            if {who!r} == "child":
                off()
            else:
                os.read(go, 1)
            assert same(array)
            os.write(tell, b"d")

        pid = child(main)
        os.read(ready, 1)
        if {who!r} == "parent":
            off()
            os.write(told, b"g")
        os.read(ready, 1)
        assert same(array)
        ends(pid)
        del array
        assert eventually(lambda: used() == 0)
        """,
        scratch,
    )


@pytest.mark.parametrize("kind", ["ram:", "front"])
@pytest.mark.parametrize("end", ["child", "parent", "killed"])
def test_compressed_memory_is_the_familys(scratch, kind, end):
    """Its thread is one process's. A swapoff by another ends that; when its process has gone, another one has it."""
    family(
        f"""
        def data(first):
            return np.sin(np.arange(first, first + (1 << 18), dtype="f4") / 1000)

        def holds(array):
            return all(np.array_equal(array[n : n + (1 << 18)], data(n)) for n in range(0, array.size, 1 << 18))

        hotswap.swapoff(area)
        name = "ram:" if {kind!r} == "ram:" else area
        go, tell = os.pipe()

        def on():
            if name == "ram:":
                hotswap.swapon(name, size="16M", priority=5)
            else:
                hotswap.swapon(name, priority=5, compressed="2M")
            hotswap.swapon(area + "2", size="64M")

        def main():
            on()
            os.write(tell, b"g")
            if {end!r} == "parent":
                os.read(ready, 1)
            elif {end!r} == "killed":
                signal.pause()

        ready, told = os.pipe()
        if {end!r} == "child":
            on()
        else:
            pid = child(main)
            os.read(go, 1)
        space = hotswap.Space("4M")
        array = space.empty(4 << 20, "f4")
        for n in range(0, array.size, 1 << 18):
            array[n : n + (1 << 18)] = data(n)

        def off():
            assert holds(array)
            hotswap.swapoff(name)
            assert holds(array)

        if {end!r} == "child":
            ends(child(off))
        elif {end!r} == "parent":
            off()
            os.write(told, b"g")
            ends(pid)
        else:
            os.kill(pid, signal.SIGKILL)
            ends(pid, -signal.SIGKILL)
            for n in range(0, array.size, 1 << 18):
                array[n : n + (1 << 18)] = data(n)  # more is written back
            off()
        assert holds(array)
        del array
        assert eventually(lambda: sum(swap.used for swap in hotswap.swaps()) == 0)
        """,
        scratch,
    )


def test_an_area_that_a_child_switched_on_serves_its_parent_also_when_the_child_has_gone(scratch):
    family(
        """
        space, array = make()
        other = area + "2"

        def main():
            hotswap.swapon(other, size="64M", priority=9)

        ends(child(main))
        hotswap.swapoff(area)
        assert same(array)
        array[:] = array + 1
        assert np.array_equal(array, np.arange(1, array.size + 1, dtype="u8"))
        assert used() > 6 << 20
        """,
        scratch,
    )


def test_a_member_that_is_stopped_is_named_and_waited_for(scratch):
    family(
        """
        space, array = make()
        other = area + "2"
        hotswap.swapon(other, size="64M", priority=-1)
        ready, tell = os.pipe()

        def main():
            os.write(tell, b"r")
            signal.pause()

        pid = child(main)
        os.read(ready, 1)
        os.kill(pid, signal.SIGSTOP)
        seen = set()

        def progress(far):
            seen.add(far.waiting_for)
            if far.waiting_for:
                os.kill(pid, signal.SIGCONT)

        hotswap.swapoff(area, progress=progress)
        assert pid in seen, seen
        assert same(array)
        os.kill(pid, signal.SIGKILL)
        ends(pid, -signal.SIGKILL)
        """,
        scratch,
    )


def test_a_member_that_is_killed_during_its_own_swapoff_leaves_the_area_usable(scratch):
    family(
        """
        space, array = make(40 << 20)
        other = area + "2"
        hotswap.swapon(other, size="64M", priority=-1)
        ready, tell = os.pipe()

        def main():
            os.write(tell, b"r")
            hotswap.swapoff(area)
            signal.pause()

        for turn in range(4):
            pid = child(main)
            os.read(ready, 1)
            time.sleep(0.004 * turn)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            assert eventually(lambda: hotswap.family_stats()["members"] == 1)  # what it had begun is given up or ended by then
            if not eventually(lambda: all("emptying" not in swap.flags for swap in hotswap.swaps())):
                raise AssertionError(hotswap.swaps())
            if area not in [swap.path for swap in hotswap.swaps()]:
                hotswap.swapon(area)
        assert same(array)
        hotswap.swapoff(area)
        assert same(array)
        del array
        assert eventually(lambda: used() == 0)
        """,
        scratch,
    )


@contextlib.contextmanager
def slow_writes(path, bytes_per_second):
    """A cgroup whose processes write so slowly to the disk that ``path`` is on; skips where there can be none."""
    disk = os.stat(path).st_dev
    disk = f"{os.major(disk)}:{os.minor(disk)}"
    for tree, limit, text in (
        ("blkio", "blkio.throttle.write_bps_device", f"{disk} {bytes_per_second}"),
        ("", "io.max", f"{disk} wbps={bytes_per_second}"),
    ):
        group = Path("/sys/fs/cgroup", tree, f"hotswap-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            try:
                (group / limit).write_text(text)
            except OSError:
                continue
            yield group / "cgroup.procs"
            return
        finally:
            until = time.monotonic() + 10
            while time.monotonic() < until:
                try:
                    group.rmdir()
                    break
                except OSError:  # a process of it has not ended
                    time.sleep(0.05)
    pytest.skip("no cgroup that slows writes to this disk can be made here (root, and the blkio or io controller)")


def test_a_write_that_a_killed_process_has_under_way_does_not_come_down_on_anothers_slots(scratch):
    """Its threads end with their transfers, some time after the process is dead to all who look; its slots are free only then."""
    with slow_writes(scratch, 100_000) as group:
        family(
            f"""
            space = hotswap.Space("4M", folio="64K")
            ready, tell = os.pipe()

            def main():
                with open({str(group)!r}, "w") as file:
                    file.write(str(os.getpid()))
                theirs = space.empty(10 << 20, "u1")
                os.write(tell, b"r")
                theirs[:] = np.random.default_rng(2).integers(201, 256, theirs.size, dtype="u1")

            pid = child(main)
            os.read(ready, 1)
            time.sleep(0.7)  # its writes wait for each other by now
            os.kill(pid, signal.SIGKILL)
            assert eventually(lambda: hotswap.family_stats()["members"] == 1, 30)
            mine = space.empty(40 << 20, "u1")  # all slots, so those of the dead one too
            model = np.random.default_rng(1).integers(0, 200, mine.size, dtype="u1")
            mine[:] = model
            os.waitpid(pid, 0)
            assert np.array_equal(mine, model)
            """,
            scratch,
            timeout=50,
        )


def test_who_is_killed_while_he_counts_without_a_dead_one_leaves_no_half_counted_areas(scratch):
    """Areas so large that counting them takes milliseconds; who counts is one of the others, which are killed at about that time."""
    seed = int(os.environ.get("HOTSWAP_FAMILY_SEED", random.randrange(1 << 31)))
    print(f"seed {seed}")
    family(
        f"""
        import random
        chance = random.Random({seed})
        for name in "bc":
            hotswap.swapon(area + name, size="2G")
        space, array = make()
        for turn in range(30):
            first, *others = [child(stands_by) for _ in range(4)]
            os.kill(first, signal.SIGKILL)
            time.sleep(chance.uniform(0, 0.12))  # it is noticed within a tenth of a second
            for pid in others:
                os.kill(pid, signal.SIGKILL)
            for pid in (first, *others):
                os.waitpid(pid, 0)
            assert same(array)
        assert eventually(lambda: hotswap.family_stats()["members"] == 1)
        assert same(array)
        del array
        assert eventually(lambda: used() == 0)
        """,
        scratch,
        timeout=50,
    )


def test_an_area_whose_swapon_or_swapoff_was_killed_can_be_switched_on_at_once(scratch):
    """Others of the family had its file open, and with that its lock, until the one who died was cleaned up after."""
    seed = int(os.environ.get("HOTSWAP_FAMILY_SEED", random.randrange(1 << 31)))
    print(f"seed {seed}")
    family(
        f"""
        import random
        chance = random.Random({seed})
        space, array = make()
        other = area + "2"
        hotswap.swapon(other, size="64M", priority=-1)
        bystanders = [child(stands_by) for _ in range(2)]
        ready, tell = os.pipe()

        def main():
            os.write(tell, b"r")
            while True:
                hotswap.swapoff(area)
                hotswap.swapon(area)

        def on():
            return area in [swap.path for swap in hotswap.swaps()]

        def switch_on():
            if not on():
                try:
                    hotswap.swapon(area)
                except hotswap.AreaError:  # whoever cleaned up had found that it was as good as on
                    assert on()

        for turn in range(12):
            pid = child(main)
            os.read(ready, 1)
            time.sleep(chance.uniform(0.05, 0.3))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            switch_on()
            assert eventually(lambda: hotswap.family_stats()["members"] == 3)
            switch_on()  # it may have been off, which was not to be seen yet
        assert same(array)
        hotswap.swapoff(area)
        for pid in bystanders:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert same(array)
        """,
        scratch,
        timeout=50,
    )


def test_a_pool_of_workers_reads_an_array_five_times_the_limit_that_they_share(scratch):
    """A quarter of 8 MiB each, for the parent and three workers; what the kernel says is in memory of the array agrees."""
    family(
        """
        import multiprocessing
        space, array = make(40 << 20, "2M", folio="4K")

        def in_memory():
            address = array.ctypes.data
            for line in open("/proc/self/smaps"):
                first, dash, rest = line.partition("-")
                if dash and " " in rest and not line.startswith("VmFlags"):
                    try:
                        here = int(first, 16) <= address < int(rest.split()[0], 16)
                    except ValueError:
                        continue
                elif here and line.startswith("Rss:"):
                    return int(line.split()[1]) << 10

        def total(part):
            assert space.limit == 2 << 20
            return os.getpid(), int(array[part * array.size // 40 : (part + 1) * array.size // 40].sum()), in_memory()

        with multiprocessing.get_context("fork").Pool(3) as pool:
            found = pool.map(total, range(40), chunksize=1)
        assert sum(part for _, part, _ in found) == array.size * (array.size - 1) // 2
        most = {}
        for pid, _, resident in found:
            most[pid] = max(resident, most.get(pid, 0))
        assert sum(most.values()) + in_memory() <= 8 << 20, most
        del array
        assert eventually(lambda: used() == 0)
        """,
        scratch,
    )


def test_an_area_in_compressed_memory_that_was_coming_or_going_when_its_process_was_killed_goes(scratch):
    """Whoever finds that must not hold up the one who cleans up: it ends the thread that wrote the area back."""
    family(
        """
        chance = drawn()
        space, array = make()

        def switches():
            while True:
                for switch in (lambda: hotswap.swapon("ram:", size="16M", priority=4), lambda: hotswap.swapoff("ram:")):
                    with contextlib.suppress(hotswap.AreaError):
                        switch()

        for turn in range(40):
            pid = child(switches)
            time.sleep(chance.uniform(0.001, 0.08))
            os.kill(pid, signal.SIGKILL)
            ends(pid, -signal.SIGKILL)
            assert len(hotswap.swaps()) in (1, 2)

        def on():
            try:
                hotswap.swapon("ram:", size="16M", priority=4)
            except hotswap.AreaError:  # the last one had come so far that it is on, or will be
                with contextlib.suppress(hotswap.AreaError):
                    hotswap.swapoff("ram:")
                return False
            return True

        assert eventually(on)
        array += np.uint64(0)
        hotswap.swapoff("ram:")
        assert same(array)
        """,
        scratch,
    )


def test_a_round_of_a_swapoff_that_was_given_up_does_not_disturb_ones_own(scratch):
    """A member is asked to empty its spaces while it is stopped; who asked gives up, and once it goes on it switches the same area off itself."""
    family(
        """
        hotswap.swapon(area + ".b", size="48M", priority=0)
        hotswap.swapoff(area)
        hotswap.swapon(area, size="48M", priority=1)
        space, array = make()
        told, tells = os.pipe()
        heard, says = os.pipe()

        def switches():
            array[...] *= np.uint64(3)
            os.write(says, b".")
            while os.read(told, 1) == b".":
                hotswap.swapoff(area)
                hotswap.swapon(area, size="48M", priority=1)
                assert np.array_equal(array, 3 * np.arange(array.size, dtype="u8"))
                array[...] += np.uint64(0)  # goes there again
                os.write(says, b".")

        def gives_up(far):
            if far.waiting_for:
                raise TimeoutError

        pid = child(switches)
        for turn in range(6):
            os.read(heard, 1)
            os.kill(pid, signal.SIGSTOP)
            with contextlib.suppress(TimeoutError):
                hotswap.swapoff(area, progress=gives_up)
                raise AssertionError("it was not waited for")
            os.write(tells, b".")
            os.kill(pid, signal.SIGCONT)
        os.read(heard, 1)
        os.write(tells, b"-")
        ends(pid)
        assert same(array)
        """,
        scratch,
        timeout=60,
    )


def test_who_is_killed_together_with_the_child_that_he_was_forking_leaves_nothing(scratch):
    """As when a whole group of processes is killed: nobody is left who waits for that child."""
    family(
        """
        chance = drawn()
        space, array = make()

        def forks():
            os.setpgid(0, 0)
            while True:
                os.waitpid(os.fork() or os._exit(0), 0)

        for turn in range(60):
            pid = child(forks)
            with contextlib.suppress(PermissionError):
                os.setpgid(pid, pid)
            time.sleep(chance.uniform(0.02, 0.1))
            os.killpg(pid, signal.SIGKILL)
            ends(pid, -signal.SIGKILL)
        assert same(array)
        del array
        assert eventually(lambda: used() == 0), used()
        hotswap.swapoff(area)
        """,
        scratch,
    )


def test_a_process_that_is_killed_while_it_closes_its_spaces_has_its_tables_freed_once(scratch):
    """Freed twice they would be given to two spaces, which then had one page table."""
    family(
        """
        chance = drawn()
        space, array = make()
        others = [(other, other.full(MIB // 4, 1, "u8")) for other in (hotswap.Space("1M", "4K") for _ in range(6))]

        def closes(ready):
            global array, others
            os.write(ready, b".")
            del array
            space.close()
            while others:
                other, ones = others.pop()
                del ones
                other.close()
            time.sleep(60)

        def same_in_child():
            assert same(array)
            for number, (_, ones) in enumerate(others):
                ones[...] = number
            for number, (_, ones) in enumerate(others):
                assert (ones == number).all()

        for turn in range(60):
            heard, ready = os.pipe()
            pid = child(lambda: closes(ready))
            os.read(heard, 1)
            time.sleep(chance.uniform(0.0, 0.006))
            os.kill(pid, signal.SIGKILL)
            ends(pid, -signal.SIGKILL)
            os.close(heard)
            os.close(ready)
            if turn % 5 == 4:
                ends(child(same_in_child))
        same_in_child()
        """,
        scratch,
    )


def test_a_child_without_an_engine_forks_and_starts_none(scratch):
    """What it has of the family is its parent's; it must not act in that one's name."""
    family(
        """
        import resource
        space, array = make()

        def threads():
            return [name for task in os.listdir("/proc/self/task") if "hotswap" in (name := open(f"/proc/self/task/{task}/comm").read())]

        def alone():
            assert not threads(), threads()
            ends(child(lambda: None))
            assert not threads(), threads()

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        pid = os.fork()
        if not pid:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            try:
                alone()
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(1)
            os._exit(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        ends(pid)
        assert same(array)
        hotswap.swapon(area + ".b", size="48M")
        hotswap.swapoff(area)
        assert same(array)
        """,
        scratch,
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize("areas", ["a,b,c", "a,b,c,ram:"], ids=["files", "files and ram:"])
def test_a_family_that_does_everything_at_random_loses_no_byte_and_no_slot(scratch, areas):
    seconds = float(os.environ.get("HOTSWAP_FAMILY_SECONDS", "6"))
    seed = int(os.environ.get("HOTSWAP_FAMILY_SEED", random.randrange(1 << 31)))
    script = (TESTS / "family_program.py").read_text()
    print(f"seed {seed}")
    outcome = run_python(script, scratch, seed, seconds, 8, areas, timeout=seconds + 45)
    assert outcome.code == 0, f"seed {seed}: {outcome}"
    assert "failed with errno" not in outcome.err, f"seed {seed}: {outcome}"
