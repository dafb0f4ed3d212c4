"""Processes that are started anew and share the areas of the one that started them: bytes, swapoff for all, ends of either, and who does not join.

Each test is a process of its own, which starts workers: Python processes that do what they are told, a line at a time.
"""

import pytest
from support import passes

SETUP = '''
import os, random, resource, signal, subprocess, sys, time
from support import *

area = sys.argv[1]
LOOP = """
import os, signal, sys, time, traceback
import hotswap, numpy as np
from hotswap.engine import api
from support import *

def make(bytes=12 << 20, limit="4M"):
    global space, array
    space = hotswap.Space(limit)
    array = space.empty(bytes // 8, "u8")
    array[:] = np.arange(array.size)

def same(array):
    return np.array_equal(array, np.arange(array.size, dtype="u8"))

print("up", flush=True)
for line in sys.stdin:
    try:
        exec(line)
        print("done", flush=True)
    except BaseException:
        traceback.print_exc()
        print("failed", flush=True)
"""

class Worker:
    def __init__(self, **options):
        words = [sys.executable, "-c", LOOP]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
        self.number = self.process.pid

    def up(self):
        assert self.process.stdout.readline() == "up\\n"
        return self

    def does(self, line):
        self.begins(line)
        self.done(line)

    def begins(self, line):
        self.process.stdin.write(line + "\\n")
        self.process.stdin.flush()

    def done(self, line):
        got = self.process.stdout.readline()
        assert got == "done\\n", (line, got)

    def tells(self, expression):
        self.begins(f"print({expression}, flush=True)")
        told = self.process.stdout.readline().rstrip()
        self.done(expression)
        return told

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ends(self, code=0):
        self.process.stdin.close()
        assert self.process.wait() == code, self.process.returncode
'''
FAMILY = """
import hotswap, numpy as np
hotswap.swapon(area, size="64M")
hotswap.configure(children=True)
space = hotswap.Space("4M")
array = space.empty(12 << 17, "u8")
array[:] = np.arange(array.size)

def same(array):
    return np.array_equal(array, np.arange(array.size, dtype="u8"))
"""


def dedent(script):
    lines = script.splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[indent:] for line in lines)


def joins(script, scratch, setup=FAMILY, **options):
    return passes(SETUP + setup + dedent(script), scratch / "area", **options)


def test_what_a_worker_has_is_in_its_parents_areas_and_goes_with_it(scratch):
    joins(
        """
        before = used()
        worker = Worker().up()
        worker.does("assert api.joined() and [swap.path for swap in hotswap.swaps()] == ['%s']" % area)
        worker.does("make(); assert same(array)")
        assert used() > before + (6 << 20)
        worker.does("array[::2] = 0; assert not array[::2].any() and (array[1::2] == np.arange(1, array.size, 2)).all()")
        assert same(array)
        worker.ends()
        assert eventually(lambda: used() < 13 << 20)
        del array
        assert eventually(lambda: used() == 0)
        hotswap.swapoff(area)
        """,
        scratch,
    )


@pytest.mark.parametrize("who", ["parent", "worker"])
def test_a_swapoff_by_either_empties_the_area_for_both(scratch, who):
    joins(
        f"""
        other = area + "2"
        hotswap.swapon(other, size="64M", priority=-1)
        worker = Worker().up()
        worker.does("make()")
        if {who!r} == "parent":
            result = hotswap.swapoff(area)
        else:
            worker.does("result = hotswap.swapoff('%s')" % area)
        assert [swap.path for swap in hotswap.swaps()] == [other]
        worker.does("assert [swap.path for swap in hotswap.swaps()] == ['%s']" % other)
        assert used(other) > 12 << 20
        assert same(array)
        worker.does("assert same(array)")
        if {who!r} == "parent":
            hotswap.swapon(area)
        else:
            worker.does("hotswap.swapon('%s')" % area)
        assert {{swap.path for swap in hotswap.swaps()}} == {{area, other}}
        worker.ends()
        """,
        scratch,
    )


def test_an_area_that_a_worker_switched_on_stays_when_it_ends(scratch):
    joins(
        """
        other = area + "2"
        worker = Worker().up()
        worker.does("hotswap.swapon('%s', size='64M', priority=9)" % other)
        worker.ends()
        hotswap.swapoff(area)
        assert same(array) and used(other) > 6 << 20
        """,
        scratch,
    )


def test_no_slot_is_left_by_a_worker_that_is_killed_or_becomes_another_program(scratch):
    joins(
        """
        before = used()
        for end in ("kill", "exec"):
            worker = Worker().up()
            worker.does("make()")
            assert used() > before + (6 << 20)
            if end == "kill":
                worker.kill()
            else:
                worker.begins("os.execv('/bin/true', ['true'])")
                worker.ends()
            assert eventually(lambda: used() <= before + (1 << 20)), (end, used(), before)
        assert same(array)
        """,
        scratch,
    )


FOUNDER = """
def founder():
    worker = Worker().up()
    worker.does("assert not api.joined()")
    worker.does("hotswap.swapon('%s', size='64M'); make(); hotswap.configure(children=True)" % area)
    return worker, {**os.environ, "HOTSWAP_JOIN": worker.tells("os.environ['HOTSWAP_JOIN']")}
"""


def test_a_worker_goes_on_when_the_one_that_began_is_killed(scratch):
    """And the area's file stays locked."""
    joins(
        """
        first, environment = founder()
        worker = Worker(env=environment).up()
        worker.does("assert api.joined(); make()")
        first.kill()
        worker.does("assert eventually(lambda: used() < 13 << 20), used()")
        worker.does("assert same(array); array[:] += np.uint64(1); assert (array == np.arange(1, array.size + 1)).all()")
        import hotswap
        try:
            hotswap.swapon(area)
        except hotswap.AreaError as error:
            assert "in use" in str(error) or "locked" in str(error) or "already" in str(error), error
        else:
            raise AssertionError("two processes use one area")
        worker.does("hotswap.swapon('%s2', size='64M', priority=-1); hotswap.swapoff('%s')" % (area, area))
        worker.does("assert (array == np.arange(1, array.size + 1)).all(); hotswap.configure(children=True)")
        environment["HOTSWAP_JOIN"] = worker.tells("os.environ['HOTSWAP_JOIN']")
        third = Worker(env=environment).up()
        third.does("assert api.joined(); make(); assert same(array)")
        third.ends()
        worker.ends()
        """,
        scratch,
        setup=FOUNDER,
    )


def test_a_file_is_not_taken_from_a_process_that_has_become_another_program(scratch):
    """Which has another file open under the number of the area's; the one that began has gone."""
    joins(
        """
        first, environment = founder()
        decoy = area + ".decoy"
        open(decoy, "w").close()
        first.does("number = next(int(n) for n in os.listdir('/proc/self/fd') if os.path.realpath(f'/proc/self/fd/{n}') == '%s')" % area)
        first.does("other = os.fork() or (os.dup2(os.open('%s', os.O_RDWR), number), os.execv('/bin/sleep', ['sleep', '60']))" % decoy)
        other = int(first.tells("other"))
        assert eventually(lambda: os.readlink(f"/proc/{other}/exe").endswith(("sleep", "coreutils", "busybox")))
        first.does("if os.fork(): os.kill(os.getpid(), signal.SIGKILL)")
        environment["HOTSWAP_JOIN"] = first.tells("os.environ['HOTSWAP_JOIN']")
        worker = Worker(env=environment).up()
        worker.does("assert api.joined(); make(); assert same(array) and used() > 8 << 20")
        assert os.path.getsize(decoy) == 0
        worker.ends()
        os.kill(other, signal.SIGKILL)
        first.process.stdin.close()
        """,
        scratch,
        setup=FOUNDER,
    )


def test_workers_that_are_killed_while_they_join_leave_nothing_behind(scratch):
    joins(
        """
        seed = random.randrange(1 << 31)
        print("seed", seed)
        chance = random.Random(seed)
        other = area + "2"
        hotswap.swapon(other, size="64M", priority=-1)
        for turn in range(24):
            worker = Worker()
            time.sleep(chance.uniform(0.02, 0.25))
            if chance.random() < 0.3:
                hotswap.swapoff(area)
                hotswap.swapon(area)
            array[:: chance.randrange(100, 2000)] += np.uint64(0)
            worker.kill()
        worker = Worker().up()
        worker.does("assert api.joined(); make(); assert same(array)")
        worker.ends()
        assert same(array)
        del array
        assert eventually(lambda: used() == 0)
        """,
        scratch,
    )


def test_a_worker_forks_and_starts_workers_of_its_own(scratch):
    joins(
        """
        worker = Worker().up()
        worker.does("make()")
        worker.does("pid = os.fork() or os._exit(0 if same(array) and api.door() else 1)")
        worker.does("assert os.waitpid(pid, 0)[1] == 0")
        worker.does("import subprocess; script = 'import hotswap, os; from hotswap.engine import api; print(api.joined())'")
        worker.does("out = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)")
        worker.does("assert out.stdout == 'True\\\\n', out")
        worker.does("assert same(array)")
        worker.ends()
        assert same(array)
        """,
        scratch,
    )


def test_who_cannot_join_has_areas_of_its_own(scratch):
    joins(
        """
        right = os.environ["HOTSWAP_JOIN"]
        process, descriptor, inode, address, build = right.split(":")
        gone = subprocess.Popen(["true"])
        gone.wait()
        wrong = {
            "": "nothing",
            "rubbish:1:2": "rubbish",
            f"{gone.pid}:{descriptor}:{inode}:{address}:{build}": "a process that has gone",
            f"{process}:{descriptor}:{int(inode) + 1}:{address}:{build}": "another file",
            f"{process}:0:{inode}:{address}:{build}": "another descriptor",
            f"{process}:{descriptor}:{inode}:{address}:{build}0": "another build",
        }
        for said, what in wrong.items():
            worker = Worker(env={**os.environ, "HOTSWAP_JOIN": said}).up()
            worker.does("assert not api.joined() and not hotswap.swaps(), %r" % what)
            worker.does("hotswap.swapon('%s3', size='32M'); make(); assert same(array)" % area)
            worker.ends()
        few = lambda: resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        worker = Worker(preexec_fn=few).up()
        worker.does("assert not api.joined() and not hotswap.swaps()")
        worker.ends()
        hotswap.configure(children=False)
        worker = Worker().up()
        worker.does("assert not api.joined()")
        worker.ends()
        """,
        scratch,
    )


def test_a_program_that_closed_the_familys_descriptor_is_told_when_others_are_to_join(scratch):
    joins(
        """
        from hotswap.engine import api
        descriptor = api.door()[0]
        os.close(descriptor)
        try:
            hotswap.configure(children=True)
        except hotswap.UnsupportedError as error:
            assert "closed descriptors" in str(error)
        else:
            raise AssertionError
        os.open("/dev/null", os.O_RDONLY)
        assert same(array)
        """,
        scratch,
    )


def test_the_65th_process_is_told_that_it_cannot_use_the_areas(scratch):
    joins(
        """
        import hotswap
        hotswap.swapon(area, size="32M")
        hotswap.configure(children=True)
        children = [os.fork() or signal.pause() for _ in range(63)]
        last = Worker().up()
        last.does("assert api.BEGUN and not hotswap.swaps()")
        last.does("assert '64 processes' in hotswap.control.FORKED")
        last.begins("hotswap.Space('4M')")
        assert last.process.stdout.readline() == "failed\\n"
        last.ends()
        os.kill(children[0], signal.SIGKILL)
        assert eventually(lambda: Worker().up().tells("api.BEGUN") == "0")
        for child in children[1:]:
            os.kill(child, signal.SIGKILL)
        """,
        scratch,
        setup="",
    )


def test_hotswap_run_without_an_area_of_its_own_joins_who_starts_it(scratch):
    joins(
        """
        script = "import hotswap, numpy as np; a = np.arange(4 << 20); print([s.path for s in hotswap.swaps()], a.sum())"
        words = [sys.executable, "-m", "hotswap", "run", "--limit", "8M"]
        for options, want in (([], area), (["--swap", area + "2:64M"], area + "2")):
            done = subprocess.run([*words, *options, "--", sys.executable, "-c", script], capture_output=True, text=True)
            assert done.stdout == f"[{want!r}] {sum(range(4 << 20))}\\n" and not done.stderr, done
        """,
        scratch,
    )
