"""Faults that are served in the thread that faulted (``Space(faults="signal")``), and what becomes of other people's SIGBUS.

Each in a child: signals are the whole process's. What must never happen is attempted this way too, in test_invariants.py.
"""

import platform
import signal

import pytest
from support import passes, run_python

import hotswap

pytestmark = [
    pytest.mark.usefixtures("nothing_leaked"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="faults as signals need x86-64"),
]

START = """
import ctypes, errno, faulthandler, mmap, os, signal, sys, tempfile, threading, numpy as np, hotswap
from support import *
path = sys.argv[1]
hotswap.swapon(path, size="32M")
space = hotswap.Space("2M", "4K", faults="signal")
pages = Pages(space, 16 << 20)
pages.stamp(0, pages.count, 1)
"""
FOREIGN = """
with tempfile.TemporaryFile() as file:  # a page beyond the end of a file: the kernel's own SIGBUS
    file.truncate(4096)
    beyond = np.frombuffer(mmap.mmap(file.fileno(), 4096), "u1")
    file.truncate(0)
    print("before", flush=True)
    print(beyond[0])
"""


@pytest.fixture
def path(scratch):
    return scratch / "a.swap"


def test_the_thread_that_touches_a_page_brings_it_in_and_no_thread_stands_by_for_that(path):
    passes(
        START
        + """
assert eventually(lambda: "hotswap-reclaim" in engine_threads()) and "hotswap-fault" not in engine_threads(), engine_threads()
pages.check()
assert space.stats()["faults_major"] > 100
def check():
    pages.check()
several = [threading.Thread(target=check) for _ in range(4)]  # on the same pages at one time
[thread.start() for thread in several]
[thread.join() for thread in several]
""",
        path,
    )


def test_spaces_of_both_kinds_live_side_by_side(path):
    passes(
        START
        + """
other = Pages(hotswap.Space("2M", "4K", faults="thread"), 8 << 20)
other.stamp(0, other.count, 2)
for _time in range(3):
    pages.check()
    other.check()
""",
        path,
    )


def test_a_sigbus_of_elsewhere_ends_the_program_as_without_us(path):
    outcome = run_python(START + FOREIGN, path)
    assert (outcome.code, outcome.out) == (-signal.SIGBUS, "before\n"), outcome


def test_a_sigbus_of_elsewhere_goes_to_the_handler_that_was_there_before(path):
    outcome = run_python("import faulthandler\nfaulthandler.enable()\n" + START + FOREIGN, path)
    assert outcome.code == -signal.SIGBUS and "Fatal Python error: Bus error" in outcome.err, outcome


def test_a_sigbus_that_is_sent_ends_the_program(path):
    outcome = run_python(START + "pages.check()\nos.kill(os.getpid(), signal.SIGBUS)\nprint('not reached')", path)
    assert (outcome.code, outcome.out) == (-signal.SIGBUS, ""), outcome


def test_a_new_space_puts_the_handler_back_where_somebody_has_taken_its_place(path):
    passes(
        START
        + """
faulthandler.enable()  # from here on a fault would be a fatal error
again = hotswap.Space("2M", "4K", faults="signal")
pages.check()
""",
        path,
    )


def test_an_access_beyond_the_arrays_is_a_signal(path):
    outcome = run_python(START + "ctypes.string_at(pages.words.ctypes.data + (64 << 20), 1)", path)
    assert outcome.code == -signal.SIGBUS and "which belongs to no array" in outcome.err, outcome


def test_a_system_call_on_memory_that_is_swapped_out_fails_and_one_on_resident_memory_works(path):
    passes(
        START
        + """
out = pages.words[1000]  # long gone; not the first, which a large copy may write last
into = os.open(path + ".copy", os.O_RDWR | os.O_CREAT, 0o600)
address = out.ctypes.data
libc = ctypes.CDLL(None, use_errno=True)
assert libc.write(into, ctypes.c_void_p(address), 4096) == -1 and ctypes.get_errno() == errno.EFAULT
with space.resident(out):
    assert libc.write(into, ctypes.c_void_p(address), 4096) == 4096
pages.check()
""",
        path,
    )


def test_a_fault_that_waits_for_memory_lets_signals_through(path):
    """The areas are gone and the limit is reached: the thread waits inside its access, but not deaf."""
    outcome = run_python(
        START
        + """
del pages
hotswap.swapon(path + ".2", size="32M")
words = space.empty(16 << 20, "u1").view("u8")
hotswap.swapoff(path), hotswap.swapoff(path + ".2")  # nothing is in them; what was promised does not fit any more
threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
words[:] = np.arange(words.size, dtype="u8")
print("not reached", flush=True)
""",
        path,
    )
    assert (outcome.code, outcome.out) == (-signal.SIGTERM, ""), outcome
    assert "waits until an area is added" in outcome.err, outcome


def test_bad_ways_are_refused_in_one_sentence(monkeypatch):
    with pytest.raises(hotswap.HotswapError, match=r"faults 'never' is neither 'thread' nor 'signal'; choose one of them\."):
        hotswap.Space("8M", faults="never")
    monkeypatch.setenv("HOTSWAP_FAULTS", "perhaps")
    with pytest.raises(hotswap.HotswapError, match="faults 'perhaps'"):
        hotswap.Space("8M")
