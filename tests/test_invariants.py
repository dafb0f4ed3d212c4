"""What must never happen (DESIGN section 3), an attempt at each: several threads on real memory while areas go off and on.

Each runs in a child of its own, so that an engine that stops or hangs is a verdict and not the end of the run: once as this
kernel allows, once with HOTSWAP_MMU=copy, the way of kernels without UFFDIO_MOVE, and once with HOTSWAP_FAULTS=signal, where the
threads that touch a page bring it in themselves.
"""

import pytest
from support import run_python

WAYS = {"move": {}, "copy": {"HOTSWAP_MMU": "copy"}, "signal": {"HOTSWAP_FAULTS": "signal"}}
pytestmark = [pytest.mark.usefixtures("nothing_leaked"), pytest.mark.parametrize("way", WAYS)]

PRELUDE = """
import fcntl, os, sys, threading, time, numpy as np, hotswap
from hotswap import AreaError, OutOfSwap, Space, control
from hotswap.engine import api
from support import *
control._TICK_US = 1000
paths = [os.path.join(sys.argv[1], name) for name in "abc"]
for path in paths:
    hotswap.swapon(path, size="16M")
space = Space("4M", "16K")
moves = bool(api.space_features(space._index) & api.MOVE)
assert sys.argv[2] != "copy" or not moves
assert eventually(lambda: "hotswap-ahead" in engine_threads() and "hotswap-reclaim" in engine_threads()), engine_threads()
assert sys.argv[2] == "signal" or eventually(lambda: "hotswap-fault" in engine_threads()), engine_threads()
assert sys.argv[2] != "signal" or "hotswap-fault" not in engine_threads(), engine_threads()
pages = Pages(space, 14 << 20)
part = pages.count // 3
crew = Crew()
def load(threads=3):
    for number in range(threads):
        crew.start(toucher(pages, number * part, part, np.random.default_rng(number)), name=f"worker {number}")
def on(path):
    return path in [swap.path for swap in hotswap.swaps()]
def finish():
    global pages
    pages.check()
    pages = None
    crew.__dict__.clear()
    assert eventually(lambda: used() == 0), f"{used()} bytes in use"
    space.close()
    for path in paths:
        if on(path):
            hotswap.swapoff(path)
    assert hotswap.swaps() == [] and eventually(lambda: not engine_threads())
"""


@pytest.fixture
def attempt(scratch, way):
    def run(body, **options):
        outcome = run_python(PRELUDE + body + "\nfinish()\n", scratch, way, env=WAYS[way], **options)
        assert outcome.code == 0, outcome

    return run


def test_1_a_read_never_returns_anything_but_the_last_bytes_written(attempt):
    """Also after a mix of swapoff, interrupted swapoff, swapon, a moving limit, and arrays that come and go at the side."""
    attempt(
        """
class Stop(Exception): pass
random = np.random.default_rng(9)
def cancel():
    def stop(step):
        raise Stop
    try:
        hotswap.swapoff(paths[2], progress=stop)
    except Stop:
        pass
    if not on(paths[2]):
        hotswap.swapon(paths[2])
def churn():
    other = Pages(space, int(random.integers(1, 300)) * 4096, 9)
    other.stamp(0, other.count, 3)
    other.check()
def limit():
    space.limit = int(random.integers(3 << 20, 7 << 20))
load()
for step in (flipper(paths[:2]), cancel, churn, limit):
    crew.start(step)
crew.work(2, each=3)
"""
    )


def test_2_nothing_of_an_area_is_touched_after_it_was_freed_or_before_it_was_published(attempt):
    """Tables of areas are freed and made anew, of other sizes, as fast as it goes; frees, faults and figures race with that."""
    attempt(
        """
sizes = iter([2, 16, 3, 12] * 100_000)
def replace():
    hotswap.swapoff(paths[0])
    os.unlink(paths[0])
    hotswap.swapon(paths[0], size=next(sizes) << 20)
def figures():
    for swap in hotswap.swaps():
        assert 0 <= swap.used <= swap.size or swap.size == 0, swap
    assert space.stats()["resident_bytes"] <= space.limit
    time.sleep(0.001)
def die():
    other = Pages(space, 200 * 4096, 9)
    other.stamp(0, other.count, 3)
load(2)
for step in (replace, figures, die, flipper(paths[1:2])):
    crew.start(step)
crew.work(2, each=6)
"""
    )


def test_3_no_slot_is_leaked_or_freed_twice_and_counts_are_what_refers_to_them(attempt):
    """At each pause, slots in use are at least the pages that are out and at most all pages; the engine itself asserts that no
    slot is freed twice or handed out twice."""
    attempt(
        """
pages.stamp(0, pages.count, 1)
for _pause in range(5):
    crew.stop.clear()
    load()
    crew.start(flipper(paths[:2]))
    crew.work(0.4)
    time.sleep(0.2)  # readahead ends
    staging = api.staging_pages(space.limit // PAGE, 2)
    inside = space.stats()["resident_bytes"] // PAGE - staging
    slots = used() // PAGE
    assert pages.count - inside <= slots <= pages.count, (pages.count, inside, slots)
whole = pages
pages = Pages(space, 4096, 5)  # finish() compares this one; the others must leave no slot
whole.check()
del whole
assert eventually(lambda: used() <= 4096), used()
"""
    )


def test_4_an_area_that_reports_off_is_referred_to_by_nothing(attempt):
    """Its file is overwritten at once: whoever still read from it, or wrote to it, would show."""
    attempt(
        """
noise = os.urandom(1 << 20)
def scribble():
    hotswap.swapoff(paths[0])
    with open(paths[0], "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for _mib in range(16):
            file.write(noise)
        os.fsync(file.fileno())
        file.seek(0)
        for _mib in range(16):
            assert file.read(1 << 20) == noise, "somebody writes to an area that is off"
    os.unlink(paths[0])
    hotswap.swapon(paths[0], size="16M")
load()
crew.start(scribble)
crew.start(flipper(paths[1:2]))
crew.work(2, each=3)
"""
    )


def test_4_a_swapoff_that_fails_or_is_interrupted_leaves_the_area_as_usable_as_before(attempt):
    attempt(
        """
class Stop(Exception): pass
def stop(step):
    raise Stop
pages.stamp(0, pages.count, 1)
hotswap.swapoff(paths[2])
load()
def interrupt():
    for path in paths[:2]:
        before = next(swap for swap in hotswap.swaps() if swap.path == path)
        try:
            hotswap.swapoff(path, progress=stop)
        except Stop:
            pass
        except AreaError as error:
            assert "fit neither" in str(error), error
        if on(path):
            after = next(swap for swap in hotswap.swaps() if swap.path == path)
            assert "active" in after.flags and after.size == before.size, after
        else:
            hotswap.swapon(path)
crew.start(interrupt)
crew.work(2)
hotswap.swapon(paths[2])
before = {swap.path: swap.bytes_out for swap in hotswap.swaps()}
for generation in (1 << 20, 1 << 21):
    pages.stamp(0, pages.count, generation)
assert all(swap.bytes_out > before[swap.path] for swap in hotswap.swaps()), (before, hotswap.swaps())
"""
    )


def test_5_resident_memory_never_exceeds_the_limit_and_the_constant(attempt):
    """By hotswap's own count never at all, by the kernel's within 16 MiB (its tables, NumPy's buffers and the like)."""
    attempt(
        """
pages.check()
for first in range(0, pages.count, 64):
    pages.stamp(first, 64, 1)
base = rss_anon() - space.stats()["resident_bytes"]
most = [0]
def look():
    limit = space.limit
    resident = space.stats()["resident_bytes"]
    assert resident <= limit, (resident, limit)
    most[0] = max(most[0], rss_anon() - base - limit)
load()
for step in (look, look, flipper(paths[:1]), flipper(paths[1:2])):
    crew.start(step)
crew.work(2)
assert most[0] <= 16 << 20, most
"""
    )


def test_6_no_thread_waits_for_ever_and_none_is_killed(attempt):
    """Each thread gets on in every window of five seconds, areas being pulled and swapoffs cancelled all the while."""
    attempt(
        """
class Stop(Exception): pass
def stop(step):
    if step.moved:
        raise Stop
def cancel():
    try:
        hotswap.swapoff(paths[2], progress=stop)
    except Stop:
        pass
    if not on(paths[2]):  # Stop may have come with the last page
        hotswap.swapon(paths[2])
def pin():
    with space.resident(pages.words[-40:]):
        pass
paths.append(os.path.join(sys.argv[1], "d"))
hotswap.swapon(paths[3], size="16M")  # stays, so that there is room though the three others go at once
load()
for step in (flipper(paths[:1]), flipper(paths[1:2]), cancel, pin):
    crew.start(step)
names = list(crew.rounds)
for _window in range(3):
    before = dict(crew.rounds)
    moved = eventually(lambda: crew.failure or all(crew.rounds[name] > before[name] for name in names), 5)
    assert moved, {name: crew.rounds[name] - before[name] for name in names}
    time.sleep(0.5)
crew.join()
"""
    )


def test_7_data_reaches_no_file_that_others_can_read(attempt):
    """Modes, owners and descriptors stay as they must be while areas go off and on; nobody else gets an area that is on."""
    attempt(
        """
os.umask(0)
extra = os.path.join(sys.argv[1], "extra")
def look():
    hotswap.swapon(extra, size="1M")
    state = os.lstat(extra)
    assert state.st_mode & 0o7777 == 0o600 and state.st_uid == os.geteuid() and state.st_nlink == 1, oct(state.st_mode)
    with open(extra, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            raise AssertionError("an area that is on is not locked")
    for number, name in descriptors().items():
        if name in paths or name == extra or "userfaultfd" in name:
            with contextlib.suppress(FileNotFoundError):
                flags = int(open(f"/proc/self/fdinfo/{number}").read().split("flags:")[1].split()[0], 8)
                assert flags & os.O_CLOEXEC, name
    hotswap.swapoff(extra)
    os.chmod(extra, 0o644)
    try:
        hotswap.swapon(extra)
    except AreaError:
        os.unlink(extra)
    else:
        raise AssertionError("a file that others can read was taken")
    os.symlink(paths[2], extra)
    try:
        hotswap.swapon(extra)
    except AreaError:
        os.unlink(extra)
    else:
        raise AssertionError("a link was followed")
import contextlib
load()
crew.start(look)
crew.start(flipper(paths[:1]))
crew.work(2, each=3)
child = run_python("import sys, hotswap\\ntry:\\n    hotswap.swapon(sys.argv[1])\\nexcept hotswap.AreaError: sys.exit(7)", paths[1])
assert child.code == 7, child
"""
    )
