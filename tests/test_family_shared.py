"""A shared array over fork: all members read and write it, within one limit; others open it by name; who leaves or is killed takes nothing along."""

import os
import random

import pytest
from support import TESTS, run_python
from test_family import family

MORE = """
def held():
    "Bytes that the object has in memory, by the kernel's own count."
    total = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith("/memfd:hotswap "):
                total += os.fstat(int(number)).st_blocks * 512
        except OSError:
            pass
    return total

def threads():
    return sum(open(f"/proc/self/task/{t}/comm").read() == "hotswap-reclaim\\n" for t in os.listdir("/proc/self/task"))

space = hotswap.Space("2M", folio="16K")
"""


def shared_family(script, scratch, **options):
    lines = script.splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    family(MORE + "\n".join(line[indent:] for line in lines), scratch, **options)


@pytest.mark.parametrize("way", ["move", "copy", "signal"])
def test_members_write_one_array_while_areas_go_off_and_on(scratch, way):
    """Parent, child and grandchild write every folio. "copy": the way of kernels that cannot map shared pages write-protected."""
    faults = "signal" if way == "signal" else "thread"
    shared_family(
        f"""
        other = area + "2"
        hotswap.swapon(other, size="48M", priority=-1)
        space = hotswap.Space("2M", folio="16K", faults={faults!r})
        shared = hotswap.SharedArray(space, 1 << 20, "u8", limit="1M")  # 8 MiB
        array = shared.array
        array[:] = np.arange(array.size)

        def write(place, until, also=lambda: True):
            mine, want = array[place::3], np.arange(place, array.size, 3, dtype="u8")
            numbers = np.random.default_rng(place)
            enough = False
            while time.monotonic() < until or not enough:
                first = int(numbers.integers(0, len(mine) - 700))
                assert np.array_equal(mine[first : first + 700], want[first : first + 700]), (place, first)
                want[first : first + 700] += np.uint64(array.size)
                mine[first : first + 700] = want[first : first + 700]
                enough = also()
            assert np.array_equal(mine, want)

        until = time.monotonic() + 1.5

        def main():
            pid = child(lambda: write(2, until))
            write(1, until)
            ends(pid)

        pid = child(main)
        turns, most = 0, 0

        def also():
            global turns, most
            turns += 1
            most = max(most, held())
            if turns % 50 == 0:
                path = area if turns % 100 else other
                hotswap.swapoff(path)
                hotswap.swapon(path)
            return turns >= 100

        write(0, until, also)
        ends(pid)
        stats = shared.stats()
        assert stats["pages_in"] and stats["pages_out"]
        assert most <= (1 << 20) - 16 * 16384, most
        del array, shared
        assert eventually(lambda: used() == 0)
        """,
        scratch,
        env={"HOTSWAP_MMU": "copy"} if way == "copy" else {},
    )


def test_it_goes_with_its_last_attachment_in_any_process_and_the_next_one_looks_after_it(scratch):
    shared_family(
        """
        ready, tell = os.pipe()
        go, told = os.pipe()
        shared = hotswap.SharedArray(space, 1 << 20, "u8", limit="1M")
        array = shared.array
        array[:] = np.arange(array.size)

        def main():
            assert eventually(lambda: threads() == 1)  # the space's own; a thread has its name a moment after it began
            os.write(tell, b"r")
            os.read(go, 1)
            assert eventually(lambda: threads() == 2)  # and the object's, which nobody else has
            assert same(array)
            array[:] = array + 1
            hotswap.swapoff(area)
            os.write(tell, b"r")
            os.read(go, 1)

        other = area + "2"
        hotswap.swapon(other, size="48M", priority=-1)
        pid = child(main)
        os.read(ready, 1)
        assert eventually(lambda: threads() == 2)
        del array, shared
        assert eventually(lambda: threads() == 1) and held() == 0
        assert used() > 6 << 20
        os.write(told, b"g")
        os.read(ready, 1)
        assert used() > 6 << 20 and [swap.path for swap in hotswap.swaps()] == [other]
        os.write(told, b"g")
        ends(pid)
        assert eventually(lambda: used() == 0)
        """,
        scratch,
    )


def test_others_find_it_by_its_name(scratch):
    shared_family(
        """
        ready, tell = os.pipe()
        go, told = os.pipe()

        def main():  # forked before the array was made
            os.read(go, 1)
            there = hotswap.SharedArray(space, name="grid")
            assert there.array.shape == (1000, 500) and there.array.dtype == np.dtype([("x", "f4"), ("y", "i4")])
            assert there.array.flags.f_contiguous and there.name == "grid"
            assert (there.array["x"] == 3).all()
            there.array["y"] = 4
            again = hotswap.SharedArray(space, name="grid")
            again.array["x"][0] = 5
            del again
            os.write(tell, b"r")
            os.read(go, 1)
            assert (there.array["y"] == 4).all()
            there.unlink()
            fresh = hotswap.SharedArray(space, 10, name="grid")
            os.write(tell, b"r")
            os.read(go, 1)

        pid = child(main)
        shared = hotswap.SharedArray(space, (1000, 500), [("x", "f4"), ("y", "i4")], "F", limit="1M", name="grid")
        shared.array["x"] = 3
        os.write(told, b"g")
        os.read(ready, 1)
        assert (shared.array["y"] == 4).all() and (shared.array["x"][0] == 5).all() and (shared.array["x"][1:] == 3).all()
        try:
            hotswap.SharedArray(space, 10, name="grid")
            raise AssertionError("there are two")
        except hotswap.SpaceError as error:
            assert "already" in str(error)
        del shared
        os.write(told, b"g")
        os.read(ready, 1)
        assert hotswap.SharedArray(space, name="grid").array.shape == (10,)
        os.kill(pid, signal.SIGKILL)
        ends(pid, -signal.SIGKILL)

        def gone():
            try:
                hotswap.SharedArray(space, name="grid")
            except hotswap.SpaceError as error:
                return "there is no shared array" in str(error)

        assert eventually(gone) and eventually(lambda: used() == 0)
        for bad in [{}, {"name": "grid", "limit": "1M"}, {"shape": 5, "name": ""}, {"shape": 5, "name": "x" * 300}]:
            try:
                hotswap.SharedArray(space, **bad)
                raise AssertionError(bad)
            except hotswap.HotswapError:
                pass
        """,
        scratch,
    )


def test_a_snapshot_and_a_private_array_beside_it(scratch):
    shared_family(
        """
        _, mine = make()
        shared = hotswap.SharedArray(space, 1 << 18, "u8", limit="1M")
        shared.array[:] = 7

        def main():
            mine[::1000] = 1
            assert same(mine, [(1000, 1)])
            shared.array[:] += 1
            shared.attach(space)[5] = 2

        ends(child(main))
        assert same(mine)
        assert (shared.array[6:] == 8).all() and shared.array[5] == 2
        """,
        scratch,
    )


@pytest.mark.timeout(240)
def test_members_that_are_killed_lose_no_word_that_others_have_and_leave_no_slot(scratch):
    seconds = float(os.environ.get("HOTSWAP_FAMILY_SECONDS", "5"))
    seed = int(os.environ.get("HOTSWAP_FAMILY_SEED", random.randrange(1 << 31)))
    print(f"seed {seed}")
    outcome = run_python((TESTS / "family_shared_program.py").read_text(), scratch, seed, seconds, timeout=seconds + 45)
    assert outcome.code == 0, f"seed {seed}: {outcome}"
