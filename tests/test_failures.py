"""When disks fail or are full: whoever is concerned is told, everybody else goes on, nothing is lost that was readable. And
when a test hangs: the watchdog shows where."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest
from support import MIB, PAGE, ROOT, SOURCES, TESTS, Pages, eventually, passes, run_python, settled, used

import hotswap
from hotswap import AreaError, OutOfSwap

pytestmark = pytest.mark.usefixtures("nothing_leaked")

PRELUDE = """
import os, sys, threading, time, numpy as np, hotswap
from support import *
path = sys.argv[1]
"""


def script(body):
    return PRELUDE + textwrap.dedent(body)


@pytest.fixture
def path(areas):
    """A formatted area of 9 MiB that is off, for a child."""
    (made,) = areas(1, "9M")
    hotswap.swapoff(made)
    return made


CUT = """
import resource
hotswap.swapon(path)
space = hotswap.Space("2M", "4K")
pages = Pages(space, 8 << 20)
pages.stamp(0, pages.count, 1)
start = 4 << 20  # of the file: what lies from here on cannot be read any more, about half of the pages
hotswap.swapon(path + ".small", size="2M", priority=-1)
for _pass in range(2):  # all written, and what is in memory clean
    pages.check()
os.truncate(path, start)
resource.setrlimit(resource.RLIMIT_FSIZE, (start, resource.RLIM_INFINITY))  # and the file does not grow again
def find_bad():
    "Which pages cannot be read, found by pinning, which tells instead of killing; the others must be right."
    bad = []
    for page in range(pages.count):
        try:
            with space.resident(pages.words[page]):
                pages.check(page, 1)
        except hotswap.SpaceError as error:
            assert "cannot be kept in memory" in str(error), error
            bad.append(page)
    assert 256 < len(bad) < pages.count - 256, len(bad)
    return bad
"""
WHOLE = """
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
os.truncate(path, 9 << 20)
"""


# --- read errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [{}, {"HOTSWAP_MMU": "copy"}, {"HOTSWAP_FAULTS": "signal"}], ids=["move", "copy", "signal"])
def test_a_page_that_cannot_be_read_is_a_signal_to_who_touches_it(path, way):
    outcome = run_python(
        script(
            CUT
            + """
for page in range(pages.count):
    print(page, hex(pages.words[page:].ctypes.data), flush=True)
    pages.check(page, 1)
print("not reached", flush=True)
"""
        ),
        path,
        env=way,
    )
    assert outcome.code == -signal.SIGBUS, outcome
    last = outcome.out.splitlines()[-1]
    said = re.search(r"slot (\d+) cannot be read \(page at (0x[0-9a-f]+)\)", outcome.err)
    assert said, outcome
    assert int(said[1]) >= 4 * MIB // PAGE
    assert said[2] == last.split()[1], "the log names the page that was touched"


def test_the_log_names_the_area_by_its_path(path):
    outcome = run_python(script(CUT + "pages.check()"), path)
    assert outcome.code == -signal.SIGBUS, outcome
    assert path in outcome.err, f"whoever reads the log knows no area by a number: {outcome.err}"


def test_other_pages_stay_readable_after_a_failed_one(path):
    passes(
        script(
            CUT
            + """
bad = find_bad()
assert space.stats()["poisoned"] == len(bad), (space.stats()["poisoned"], len(bad))
lost = set(bad)
for page in range(pages.count):
    if page not in lost:
        pages.check(page, 1)
        pages.stamp(page, 1, 2)
        pages.check(page, 1)
del pages
assert eventually(lambda: used() == 0), used()
space.close()
hotswap.swapoff(path)
"""
        ),
        path,
    )


@pytest.mark.parametrize("mmu", ["", "copy"])
def test_addresses_of_a_failed_page_are_good_again_for_the_next_array(path, mmu):
    passes(
        script(
            CUT
            + """
find_bad()
where = pages.array.ctypes.data
del pages
"""
            + WHOLE
            + """
again = Pages(space, 8 << 20)
assert again.array.ctypes.data == where
again.check()
again.stamp(0, again.count, 3)
again.check()
"""
        ),
        path,
        env={"HOTSWAP_MMU": mmu},
    )


def test_a_swapoff_names_the_slot_that_cannot_be_read_and_leaves_the_area_on(path):
    passes(
        script(
            CUT
            + """
import errno, re
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
hotswap.swapon(path + ".large", size="16M", priority=5)
for _time in range(2):
    try:
        hotswap.swapoff(path)
    except hotswap.AreaError as error:
        assert error.errno == errno.EIO, error
        assert "stays on" in str(error) and path in str(error)
        slot = int(re.search(r"slot (\\d+) cannot be read", str(error))[1])
    else:
        raise SystemExit("it went off")
assert path in [swap.path for swap in hotswap.swaps()]
find_bad()  # what can be read still can be, by its owner
assert slot >= start // PAGE, f"slot {slot} can be read: the file ends at slot {start // PAGE}"
"""
        ),
        path,
    )


# --- write errors ----------------------------------------------------------------------------------------------------


def test_what_one_area_does_not_take_goes_to_another(path):
    """Writes beyond 4 MiB of a file are refused (RLIMIT_FSIZE); another area lies below that."""
    passes(
        script(
            """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
hotswap.swapon(path, priority=10)
others = [f"{path}.{number}" for number in range(5)]
for other in others:
    hotswap.swapon(other, size="4M")
resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, resource.RLIM_INFINITY))
space = hotswap.Space("4M")
pages = Pages(space, 12 << 20)
for generation in (1, 2):
    pages.stamp(0, pages.count, generation)
    pages.check()
first = hotswap.swaps()[0]
assert first.path == path and first.errors > 0
assert any(used(other) for other in others)
try:
    hotswap.swapoff(others[0])  # its data too finds a place, or it stays on
except hotswap.AreaError as error:
    assert "fit neither" in str(error), error
pages.check()
hotswap.swapoff(path)
pages.check()
del pages
assert eventually(lambda: used() == 0)
"""
        ),
        path,
    )


@contextlib.contextmanager
def small_disk(scratch, mib):
    """A file system of its own, mounted over a loop device."""
    if not ROOT:
        pytest.skip("mounting needs root")
    mkfs = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
    if mkfs is None:
        pytest.skip("mkfs.ext4 is not installed")
    image, place = scratch / "image", scratch / "disk"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(mib * MIB)
    subprocess.run([mkfs, "-q", "-m0", "-O", "^has_journal", image], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no loop mount here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_what_a_full_disk_does_not_take_goes_to_another_area(areas, space, scratch):
    with small_disk(scratch, 24) as disk:
        bad = str(disk / "area")
        hotswap.swapon(bad, size="12M", priority=10)
        areas(1, "24M")
        # Behind hotswap's back: holes in the area, and the disk is filled.
        subprocess.run(["fallocate", "--punch-hole", "--offset", str(2 * MIB), "--length", str(9 * MIB), bad], check=True)
        with open(disk / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(65536)):
                pass
        pages = Pages(space, 16 * MIB)
        for generation in (1, 2):
            pages.stamp(0, pages.count, generation)
            pages.check()
        failed = next(swap for swap in hotswap.swaps() if swap.path == bad)
        assert failed.errors > 0, "the disk took everything: this shows nothing"
        hotswap.swapoff(bad)
        pages.check()
        del pages


def test_an_area_moves_past_one_that_cannot_be_written(areas, space, scratch):
    with small_disk(scratch, 24) as disk:
        (leaving,) = areas(1, "16M")
        pages = Pages(space, 12 * MIB)
        pages.stamp(0, pages.count, 1)
        assert eventually(lambda: settled(space))  # reclaim in the background would write to the area before it has its hole
        bad = str(disk / "area")
        hotswap.swapon(bad, size="12M", priority=10)
        (good,) = areas(1, "16M")
        assert used(bad) == 0
        subprocess.run(["fallocate", "--punch-hole", "--offset", str(MIB), "--length", str(10 * MIB), bad], check=True)
        with open(disk / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(65536)):
                pass
        hotswap.swapoff(leaving)
        assert used(good) > 4 * MIB
        assert next(swap for swap in hotswap.swaps() if swap.path == bad).errors > 0
        pages.check()
        hotswap.swapoff(bad)
        pages.check()
        del pages


def test_a_disk_that_fails_is_survived_by_what_is_elsewhere(areas, space, scratch):
    """A device mapper table that turns to errors under the area: reads of it fail, its writes go to the other one."""
    if not ROOT:
        pytest.skip("device mapper needs root")
    dmsetup, losetup = (shutil.which(tool, path="/usr/sbin:/sbin") for tool in ("dmsetup", "losetup"))
    if not dmsetup or not losetup:
        pytest.skip("dmsetup or losetup is not installed")
    image = scratch / "image"
    with open(image, "wb") as file:
        file.truncate(16 * MIB)
    loop = subprocess.run([losetup, "-f", "--show", image], capture_output=True, text=True)
    if loop.returncode:
        pytest.skip(f"no loop device here: {loop.stderr.strip()}")
    device, name = loop.stdout.strip(), f"hotswap-test-{os.getpid()}"
    sectors = 16 * MIB // 512
    try:
        made = subprocess.run(
            [dmsetup, "create", name, "--table", f"0 {sectors} linear {device} 0"], capture_output=True, text=True
        )
        if made.returncode:
            pytest.skip(f"no device mapper here: {made.stderr.strip()}")
        mapped = f"/dev/mapper/{name}"
        real = os.path.realpath(mapped)
        hotswap.swapon(real, size="16M", priority=10)
        areas(1, "32M")
        pages = Pages(space, 4 * MIB)
        pages.stamp(0, pages.count, 1)
        subprocess.run([dmsetup, "suspend", name], check=True)
        subprocess.run([dmsetup, "load", name, "--table", f"0 {sectors} error"], check=True)
        subprocess.run([dmsetup, "resume", name], check=True)
        others = Pages(space, 8 * MIB)
        others.stamp(0, others.count, 1)
        others.check()
        with pytest.raises(AreaError, match="cannot be read"):
            hotswap.swapoff(real)
        others.check()
        del pages, others
        hotswap.swapoff(real)
    finally:
        subprocess.run([dmsetup, "remove", name], capture_output=True)
        subprocess.run([losetup, "-d", device], capture_output=True)


# --- all areas full --------------------------------------------------------------------------------------------------


def test_an_array_too_many_is_a_memory_error_and_the_others_are_whole(areas, space):
    areas(1, "4M")
    pages = Pages(space, 6 * MIB)
    pages.stamp(0, pages.count, 1)
    for _time in range(3):
        with pytest.raises(OutOfSwap, match="add an area"):
            space.empty(4 * MIB, "u1")
    pages.check()
    del pages
    assert space.empty(4 * MIB, "u1").nbytes == 4 * MIB


OVERPROMISED = """
hotswap.swapon(path)
space = hotswap.Space("4M")
old, new = Pages(space, 2 << 20, 1), Pages(space, 8 << 20, 2)
old.stamp(0, old.count, 1)
hotswap.swapoff(path)  # nothing was written there: it goes, and what was promised does not fit any more
def fill():
    import ctypes
    # Outside the interpreter's lock, as a long NumPy operation is.
    for first in range(0, new.count, 64):
        numbers = np.arange(first, first + 64)
        block = pattern(numbers + new.name, np.full(64, 1))
        go.append(first)
        ctypes.memmove(new.words[first:].ctypes.data, block.ctypes.data, block.nbytes)
        new.generation[first : first + 64] = 1
go = []
thread = threading.Thread(target=fill, daemon=True)
thread.start()
eventually(lambda: len(go) > 20, 1.0)
time.sleep(1.5)
assert thread.is_alive() and len(go) < new.count // 64
"""


def test_a_thread_that_finds_no_room_waits_and_goes_on_with_a_new_area(path):
    outcome = run_python(
        script(OVERPROMISED + "hotswap.swapon(path); thread.join(20); assert not thread.is_alive()\nold.check(); new.check()"),
        path,
    )
    assert outcome.code == 0, outcome
    # Once, and once more at most if it looked when the area was there and nothing had gone to it yet.
    assert 1 <= outcome.err.count("waits until an area is added") <= 2, outcome


def test_a_thread_that_finds_no_room_goes_on_with_a_higher_limit(path):
    outcome = run_python(
        script(OVERPROMISED + "space.limit = '16M'; thread.join(20); assert not thread.is_alive()\nold.check(); new.check()"),
        path,
    )
    assert outcome.code == 0, outcome


def test_a_thread_that_finds_no_room_goes_on_when_arrays_die(path):
    """Freeing takes the space's mmap lock for writing; the fault that waits for it must not hold that for reading."""
    code = (
        OVERPROMISED.replace("Pages(space, 8 << 20, 2)", "Pages(space, 4 << 20, 2)")
        + """
def free():
    global old
    old = None
freeing = threading.Thread(target=free, daemon=True)
freeing.start()
freeing.join(5)
stuck = freeing.is_alive()
if stuck:
    hotswap.swapon(path)  # so that this process ends
    thread.join()
assert not stuck, "freeing an array waits for the fault that waits for memory to be freed"
"""
    )
    outcome = run_python(script(code), path, timeout=25)
    assert outcome.code == 0, outcome


def test_other_threads_go_on_while_one_waits_for_room(path):
    code = (
        OVERPROMISED
        + "old.check()\nassert old.words[5, 5] == pattern([5 + old.name], [1])[0, 5]\nassert space.stats()['wait_ns'] >= 0"
    )
    outcome = run_python(script(code), path)
    assert outcome.code == 0, outcome


# --- the watchdog ----------------------------------------------------------------------------------------------------

HANGS = {
    "the interpreter's lock": "import ctypes\nlock = ctypes.create_string_buffer(64)\nfor _time in range(2):\n    ctypes.PyDLL(None).pthread_mutex_lock(lock)",
    "a fault under the interpreter's lock": (
        "import hotswap\n"
        "hotswap.swapon({path!r}, size='16M')\n"
        "space = hotswap.Space('4M')\n"
        "array = space.empty(8 << 20, 'u1')\n"
        "hotswap.swapoff({path!r})\n"
        "for page in range(0, array.size, 4096):\n"
        "    array[page] = page // 4096 % 7 + 1"
    ),
}


def run_pytest(scratch, name):
    """A test file in ``scratch``, run by a pytest of its own with this suite's conftest."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-c", "/dev/null", "--rootdir", scratch, scratch / name]
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": f"{SOURCES}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        timeout=50,
        cwd=scratch,
    )


@pytest.mark.parametrize("what", HANGS)
def test_a_test_that_hangs_ends_the_run_with_all_stacks(scratch, what):
    body = textwrap.indent(HANGS[what].replace("{path!r}", repr(str(scratch / "area"))), "    ")
    (scratch / "test_hang.py").write_text(
        f"import pytest\n@pytest.mark.timeout(2)\ndef test_that_hangs():\n{body}\n\ndef test_after():\n    pass\n"
    )
    done = run_pytest(scratch, "test_hang.py")
    assert done.returncode == -signal.SIGKILL, done
    assert "test_that_hangs is not over in time" in done.stderr and "FAILED" in done.stderr
    assert "in test_that_hangs" in done.stderr, "no Python stacks"
    if shutil.which("gdb") and "could not attach" not in done.stderr:
        assert re.search(r"#\d+ .*(Py|main)", done.stderr), "no native stacks"
        if "fault" in what:
            assert "serve_" in done.stderr
    assert "passed" not in done.stdout


def test_a_test_that_is_over_in_time_is_left_alone(scratch):
    (scratch / "test_good.py").write_text(
        "import pytest\n@pytest.mark.timeout(1)\ndef test_one(): pass\ndef test_two():\n    import time; time.sleep(1.5)\n"
    )
    done = run_pytest(scratch, "test_good.py")
    assert done.returncode == 0 and "2 passed" in done.stdout, done


LEAKS = {
    "an_area": ("hotswap.swapon(path, size='1M')", "areas are left on"),
    "a_thread": ("global space; space = hotswap.Space('4M')", "threads are left"),
    "a_descriptor": ("global file; file = open('/dev/null')", "descriptors are left open"),
    "a_slot": (
        "areas(); global s, a; s = hotswap.Space('4M'); a = s.empty(8 << 20, 'u1'); a.view('u8')[:] = np.arange(1 << 20); s.limit = '16M'",
        "slots are in use",
    ),
    "nothing": ("areas(); s = hotswap.Space('4M'); a = s.zeros(8 << 20, 'u1'); a[::9] = 1", ""),
}


def test_a_test_that_leaks_fails(scratch):
    tests = [
        f"def test_{name}(areas, scratch):\n    path = str(scratch / 'area')\n    {body}\n" for name, (body, _) in LEAKS.items()
    ]
    (scratch / "test_leak.py").write_text("import hotswap, numpy as np\n" + "\n".join(tests))
    done = run_pytest(scratch, "test_leak.py")
    assert done.returncode == 1, done
    wanted = {name for name, (_, complaint) in LEAKS.items() if complaint}
    assert set(re.findall(r"(?m)^ERROR \S+::test_(\w+)", done.stdout)) == wanted, done.stdout
    for name in wanted:
        assert LEAKS[name][1] in done.stdout, (name, done.stdout)
