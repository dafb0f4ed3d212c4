"""Every test is watched for hangs; tests of real memory get areas, and are checked for what they leave behind.

A test that takes longer than 60 s (``@pytest.mark.timeout(seconds)`` changes that) has all its stacks, Python's and native,
written to standard error, and the whole run ends as failed: memory that hangs cannot be unwound. The checks for leaks hold
for modules that say ``pytestmark = pytest.mark.usefixtures("nothing_leaked")`` and for tests that use ``areas``.
"""

import faulthandler
import gc
import os
import shutil
import signal
import subprocess
import tempfile
import traceback
from pathlib import Path

import hypothesis
import pytest
import support

TIMEOUT = 60.0
_watchdog = pytest.StashKey[support.Watchdog]()
_failed = pytest.StashKey[bool]()


hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is no failure; what hangs the watchdog ends
hypothesis.settings.load_profile("untimed")

# --- the watchdog ----------------------------------------------------------------------------------------------------


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "timeout(seconds): how long the test may take before the run is ended with all stacks (60)"
    )
    config.addinivalue_line("markers", "xdist_group(name): tests that one process runs in turn")
    if (
        signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    ):  # as a shell starts what it puts in the background: nobody would hear Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    stderr = os.dup(2)  # not yet, or no more, captured: see pytest's own faulthandler plugin
    os.set_inheritable(stderr, False)
    faulthandler.register(signal.SIGUSR2, file=stderr, all_threads=True)
    config.stash[_watchdog] = support.Watchdog(stderr)


def pytest_collection_modifyitems(items):
    """What `make test` runs side by side (pytest-xdist): the lab's tests, and all others, in turn, as those look at what the machine has."""
    for item in items:
        if not item.path.name.startswith("test_lab_"):
            item.add_marker(pytest.mark.xdist_group("machine"))


def pytest_unconfigure(config):
    if watchdog := config.stash.get(_watchdog, None):
        watchdog.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    marker = item.get_closest_marker("timeout")
    seconds = float(marker.args[0]) if marker else TIMEOUT
    item.config.stash[_watchdog].arm(seconds, item.nodeid)
    try:
        return (yield)
    finally:
        item.config.stash[_watchdog].disarm()


# --- places and areas ------------------------------------------------------------------------------------------------


def _on_disk(path):
    """Whether a directory is on a disk: swapping to memory would show little, and its files know no direct I/O."""
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() not in ("tmpfs", "ramfs", "overlayfs")


@pytest.fixture
def scratch():
    """An empty directory on a disk where there is one (HOTSWAP_TEST_DIR names another); it goes after the test."""
    places = [os.environ.get("HOTSWAP_TEST_DIR"), tempfile.gettempdir(), "/var/tmp", str(support.TESTS.parent)]
    usable = [place for place in places if place and os.access(place, os.W_OK)]
    place = next((place for place in usable if _on_disk(place)), usable[0])
    directory = tempfile.mkdtemp(prefix="hotswap-test-", dir=place)
    yield Path(directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def nothing_leaked(request):
    """A test's verdict includes what it left behind: areas on, slots in use, engine threads, descriptors."""
    import hotswap
    from hotswap.engine import api

    gc.collect()
    api.steer_open()  # once and for all
    gc.freeze()  # what is there by now (the lab's twins are large) need not be looked at by each collection that follows
    before, threads = support.descriptors(), len(support.engine_threads())
    yield
    gc.collect()
    if request.node.stash.get(_failed, False):
        support.give_everything_back()
        return
    on = hotswap.swaps()
    if on:
        support.give_everything_back()
    assert [(swap.path, swap.used) for swap in on] == [], "areas are left on"
    assert support.eventually(lambda: len(support.engine_threads()) <= threads, 2), (
        f"threads are left: {support.engine_threads()}"
    )
    # One that was on its way out before, of an earlier test, may be gone now.
    assert support.eventually(lambda: support.descriptors().items() <= before.items(), 2), "descriptors are left open"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.excinfo and not call.excinfo.errisinstance(pytest.skip.Exception):
        item.stash[_failed] = True
        # The report is made: arrays that only the failed frames hold may go, and their slots with them.
        error = call.excinfo.value
        while error is not None:
            traceback.clear_frames(error.__traceback__)
            for frame, _line in traceback.walk_tb(error.__traceback__):
                frame.f_locals  # noqa: B018  a copy that pytest's look made is renewed, and with it emptied
            error = error.__cause__ or error.__context__
    return report


@pytest.fixture
def areas(nothing_leaked, scratch):
    """``areas(n, size)``: the paths of ``n`` new areas that are on. At the test's end none holds a page, and they go off."""
    import hotswap

    paths = []

    def make(count=1, size="16M", priority=0):
        new = [str(scratch / f"{len(paths) + number}.swap") for number in range(count)]
        for path in new:
            hotswap.swapon(path, size=size, priority=priority)
            paths.append(path)
        return new

    yield make
    gc.collect()
    on = {swap.path: swap for swap in hotswap.swaps()}
    left = {path: on[path].used for path in paths if path in on and on[path].used}
    for path in paths:
        if path in on:
            hotswap.swapoff(path)
    assert not left, f"slots are in use though every array is gone (bytes): {left}"


@pytest.fixture
def space(nothing_leaked):
    """A space of 4 MiB."""
    import hotswap

    made = hotswap.Space("4M")
    yield made
    gc.collect()
    made.close()
