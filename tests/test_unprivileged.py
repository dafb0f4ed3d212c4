"""A user who is nobody in particular uses hotswap: no root, no capability, faults of user mode only."""

import os
from pathlib import Path

import pytest
from support import ROOT, run_python

NOBODY = 65534

pytestmark = [
    pytest.mark.usefixtures("nothing_leaked"),
    pytest.mark.skipif(not ROOT, reason="needs root, to become nobody"),
]

# The interpreter may lie where nobody cannot read: all is imported first, then rights are given up, in the running child.
PRELUDE = f"""
import ctypes, os, sys, threading, time, encodings.idna
import numpy as np, numpy.random, hotswap, hotswap.areafile
from hotswap.engine import api
from support import *
directory = sys.argv[1]
np.random.default_rng(1).permutation(3); np.array_equal([1], [1]); np.flatnonzero([1]); str(np.ones(2))
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
os.chdir(directory)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable again: /proc/self is its own
assert os.geteuid() == {NOBODY}
try:
    os.listdir("/root")
except PermissionError:
    pass
status = open("/proc/self/status").read()
assert "CapEff:\\t0000000000000000" in status, status
"""


@pytest.fixture
def own(scratch):
    """A directory of nobody's, reachable."""
    directory = scratch / "own"
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    scratch.chmod(0o755)
    return directory


def run(body, own, **options):
    outcome = run_python(PRELUDE + body, own, cwd="/", **options)
    if "PermissionError" in outcome.err and str(own) not in outcome.err and "import" in outcome.err:
        pytest.skip("nobody cannot read the interpreter's modules here")
    assert outcome.code == 0, outcome
    return outcome.out


def test_nobody_swaps_in_and_out(own):
    out = run(
        """
hotswap.swapon("a.swap", size="16M")
space = hotswap.Space("4M")
pages = Pages(space, 12 << 20)
for generation in (1, 2):
    pages.stamp(0, pages.count, generation)
    pages.check()
stats = space.stats()
assert stats["pages_in"] and stats["pages_out"]
print(api.mmu_found()[1])
mode = os.stat("a.swap").st_mode & 0o7777
assert mode == 0o600, oct(mode)
del pages
assert eventually(lambda: used() == 0)
hotswap.swapoff("a.swap")
""",
        own,
    )
    kernel_faults = Path("/proc/sys/vm/unprivileged_userfaultfd").read_text().strip() == "1"
    assert out.strip() == str(kernel_faults), "the test ran with the rights it is about"
    assert os.stat(own / "a.swap").st_uid == NOBODY


def test_nobody_pulls_areas_under_load(own):
    run(
        """
names = ["a", "b", "c"]
for name in names:
    hotswap.swapon(name, size="16M")
space = hotswap.Space("4M")
pages = Pages(space, 16 << 20)
part = pages.count // 4
crew = Crew()
for number in range(4):
    crew.start(toucher(pages, number * part, part, np.random.default_rng(number)))
crew.start(flipper(names[:2]))
crew.work(2, each=6)
pages.check()
del pages, crew
assert eventually(lambda: used() == 0)
""",
        own,
    )


@pytest.mark.skipif(
    ROOT and Path("/proc/sys/vm/unprivileged_userfaultfd").read_text().strip() == "1", reason="system calls are served here"
)
def test_a_system_call_reaches_pinned_memory_only(own):
    run(
        """
hotswap.swapon("a", size="16M")
space = hotswap.Space("4M")
array = space.empty(8 << 20, "u1")
array.view("u8")[...] = np.arange(1 << 20)
data = bytes(range(256)) * 4096
open("data", "wb").write(data)
file = open("data", "rb", buffering=0)
assert array[-1] == 0 and array.view("u8")[-1] == (1 << 20) - 1
middle = slice(4 << 20, 5 << 20)  # is out: of such a scan its beginning stays, and its end is there still
try:
    got = os.preadv(file.fileno(), [array[middle]], 0)
except OSError as error:
    import errno
    assert error.errno == errno.EFAULT
else:
    assert got < 1 << 20
with space.resident(array[middle]) as pinned:
    assert os.preadv(file.fileno(), [pinned], 0) == 1 << 20
    file.seek(0)
    assert file.readinto(pinned) == 1 << 20
array[: middle.start : 4096] = 1
array[middle.stop :: 4096] = 1
assert array[middle].tobytes() == data
""",
        own,
    )


def test_nobody_cannot_take_the_area_of_another(own):
    (own.parent / "roots").write_bytes(bytes(1 << 20))
    (own.parent / "roots").chmod(0o600)
    run(
        """
try:
    hotswap.swapon("../roots")
except hotswap.AreaError as error:
    assert "belongs to user 0" in str(error) or "permission" in str(error), error
else:
    raise SystemExit("taken")
assert hotswap.swaps() == []
""",
        own,
    )


def test_nobody_shares_memory_between_spaces(own):
    run(
        """
hotswap.swapon("a.swap", size="16M"); hotswap.swapon("b.swap", size="16M")
one, two = hotswap.Space("1M", "16K"), hotswap.Space("1M", "16K")
shared = hotswap.SharedArray(one, 1 << 20, "u8", limit="1M")
other = shared.attach(two)
def write(array, number):
    for generation in range(1, 4):
        array[number::2] = np.arange(number, 1 << 20, 2) * generation
        assert np.array_equal(array[number::2], np.arange(number, 1 << 20, 2) * generation)
threads = [threading.Thread(target=write, args=pair) for pair in ((shared.array, 0), (other, 1))]
[thread.start() for thread in threads]
turn = 0
while any(thread.is_alive() for thread in threads):
    name = ("a.swap", "b.swap")[turn % 2]; turn += 1
    hotswap.swapoff(name); hotswap.swapon(name, size="16M")
assert np.array_equal(shared.array, np.arange(1 << 20) * 3) and np.array_equal(other, shared.array)
assert turn and shared.stats()["pages_in"]
""",
        own,
    )
