"""Programs that close descriptors which are not their own: before another program, as daemons do, or by mistake. What is swapped out cannot
be brought back after that; it must not read as zeros, and who does not need it goes on.

Each test is a process of its own.
"""

import signal

import pytest
from support import run_python

SETUP = """
import os, signal, subprocess, sys, threading, time, hotswap, numpy as np
from support import *
area = sys.argv[1]
hotswap.swapon(area, size="64M")

def make(**options):
    global space, array
    space = hotswap.Space("4M", **options)
    array = space.empty(12 << 17, "u8")
    array[:] = np.arange(array.size)

def same():
    return np.array_equal(array, np.arange(array.size, dtype="u8"))

def closes():
    os.closerange(3, 4096)

def child(main):
    pid = os.fork()
    if not pid:
        main()
        os._exit(0)
    return pid

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

"""
MMUS = pytest.mark.parametrize("mmu", ["all", "user"])


def closing(script, scratch, mmu="all"):
    lines = script.splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    env = {"HOTSWAP_MMU": "user"} if mmu == "user" else {}
    return run_python(SETUP + "\n".join(line[indent:] for line in lines), scratch / "area", env=env)


@MMUS
@pytest.mark.parametrize("faults", ["thread", "signal"])
def test_a_child_that_closed_them_and_touches_an_array_is_told_and_stopped(scratch, mmu, faults):
    outcome = closing(
        f"""
        make(faults="{faults}")
        def main():
            closes()
            assert same(), "zeros were read"
            print("not reached")
        assert ended(child(main)) == -signal.SIGABRT
        assert same()
        """,
        scratch,
        mmu,
    )
    assert (outcome.code, outcome.out) == (0, ""), outcome
    assert "closed descriptors of hotswap's" in outcome.err and "Close only what the program has opened." in outcome.err, outcome


def test_a_process_that_closed_its_own_is_told_and_stopped(scratch):
    outcome = closing("make()\ncloses()\nprint(same())", scratch)
    assert (outcome.code, outcome.out) == (-signal.SIGABRT, ""), outcome
    assert "and then touched an array (0x" in outcome.err, outcome


def test_who_sleeps_long_after_that_is_told_all_the_same(scratch):
    """All threads have come to rest by then."""
    outcome = closing("make()\ntime.sleep(0.5)\ncloses()\ntime.sleep(0.5)\nprint(same())", scratch)
    assert (outcome.code, outcome.out) == (-signal.SIGABRT, ""), outcome
    assert "and then touched an array (0x" in outcome.err, outcome


@pytest.mark.parametrize("way", ["os._exit(0)", "sys.exit(0)", "del globals()['array']; space.close(); sys.exit(0)"])
def test_a_child_that_closed_them_and_touches_nothing_ends_as_usual(scratch, way):
    outcome = closing(
        f"""
        make()
        def main():
            closes()
            {way}
        for turn in range(5):
            assert ended(child(main)) == 0
        assert same()
        """,
        scratch,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome


def test_programs_that_are_started_so_are_not_disturbed_while_areas_come_and_go(scratch):
    """A ``preexec_fn`` makes subprocess fork, close all descriptors and then become the other program."""
    outcome = closing(
        """
        make()
        hotswap.configure(children=True)
        over = False
        def churn():
            while not over:
                for name in (area + ".b", area):
                    hotswap.swapoff(name)
                    hotswap.swapon(name, size="64M")
        hotswap.swapon(area + ".b", size="64M")
        thread = threading.Thread(target=churn)
        thread.start()
        def starts(turns):
            for turn in range(turns):
                done = subprocess.run(["echo", "there"], preexec_fn=lambda: None, capture_output=True, text=True)
                assert (done.returncode, done.stdout, done.stderr) == (0, "there\\n", ""), done
                array[turn::50000] += np.uint64(0)
        starts(10)
        over = True
        thread.join()
        starts(50)
        assert same()
        """,
        scratch,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome


def test_what_the_program_opens_next_is_not_taken_for_ours(scratch):
    outcome = closing(
        """
        make()
        beside = os.path.dirname(area)
        def main():
            closes()
            files = [open(os.path.join(beside, f"file{number}"), "w+b", buffering=0) for number in range(32)]
            pipe = os.pipe()
            for number, file in enumerate(files):
                file.write(bytes([number]) * 4096)
            os.write(pipe[1], b"there")
            time.sleep(1)
            for number, file in enumerate(files):
                assert os.pread(file.fileno(), 1 << 20, 0) == bytes([number]) * 4096
            assert os.read(pipe[0], 100) == b"there"
        assert ended(child(main)) == 0
        assert same()
        """,
        scratch,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome


def test_an_area_goes_off_though_a_child_that_needs_it_closed_them(scratch):
    """It is stopped: nobody else can move what it has."""
    outcome = closing(
        """
        make()
        def main():
            closes()
            time.sleep(60)
        daemon = child(main)
        time.sleep(0.3)
        hotswap.swapon(area + ".b", size="64M")
        hotswap.swapoff(area)
        assert ended(daemon) == -signal.SIGABRT
        assert same()
        """,
        scratch,
    )
    assert outcome.code == 0 and "closed descriptors of hotswap's, which still needs them" in outcome.err, outcome


def test_what_keeps_them_open_holds_nothing_of_the_programs(scratch):
    """A pipe ends when the program closes it."""
    outcome = closing(
        """
        ends = os.pipe()
        make()
        os.close(ends[1])
        assert os.read(ends[0], 1) == b""
        tasks = [task for task in os.listdir("/proc/self/task") if open(f"/proc/self/task/{task}/comm").read() == "hotswap-keep\\n"]
        (keep,) = tasks
        kept = [os.readlink(f"/proc/self/task/{keep}/fd/{number}") for number in os.listdir(f"/proc/self/task/{keep}/fd")]
        assert sorted(kept) == ["anon_inode:[eventfd]", "anon_inode:[userfaultfd]"], kept
        """,
        scratch,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome


def test_where_a_thread_can_have_no_descriptors_of_its_own_the_rest_goes_as_it_does(scratch):
    """As before Linux 5.9: close_range() is refused by a filter. Python closes those of a child one by one then, too."""
    outcome = closing(
        """
        import ctypes, errno, struct
        call = ctypes.CDLL(None, use_errno=True).prctl
        refuses = [(0x20, 0, 0, 0), (0x15, 0, 1, 436), (0x06, 0, 0, 0x50000 | errno.ENOSYS), (0x06, 0, 0, 0x7FFF0000)]
        lines = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in refuses))
        filter = struct.pack("HxxxxxxP", len(refuses), ctypes.addressof(lines))
        assert call(38, 1, 0, 0, 0) == 0 and call(22, 2, filter, 0, 0) == 0, ctypes.get_errno()
        make()
        def names():
            return [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
        assert eventually(lambda: "hotswap-keep\\n" not in names())
        assert same()
        def main():
            assert same()
            array[::512] = 1
        assert ended(child(main)) == 0
        assert subprocess.run([sys.executable, "-c", "print(7)"], preexec_fn=os.getpid, capture_output=True).stdout == b"7\\n"
        assert same()
        del array
        space.close()
        hotswap.swapoff(area)
        """,
        scratch,
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
