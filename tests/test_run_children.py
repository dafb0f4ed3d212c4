"""Children of a program under ``hotswap run``: workers of all kinds of pools, what is taken along when another program is executed, their limits."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support import SOURCES, TESTS, Outcome

from hotswap.config import resolve
from hotswap.errors import ConfigError
from hotswap.run import plan

RUN = [sys.executable, "-m", "hotswap", "run"]
HELP = """
import concurrent.futures, multiprocessing, os, subprocess, sys, time
import numpy as np
from support import eventually, used

N = 1 << 20  # words: half of the limit

def numbers(n=0):
    return np.arange(n, n + N, dtype="u8")

def about():
    \"\"\"Of this process: has it an engine; did it join; its limit in MiB; its areas.\"\"\"
    if "hotswap" not in sys.modules:
        return None
    import hotswap
    from hotswap.engine import api
    from hotswap.run import inside
    if inside.heap is None:
        return None
    return api.joined(), inside.heap.limit >> 20, [swap.path for swap in hotswap.swaps()]

def work(n):
    some = [numbers(n + k) for k in range(4)]
    good = all(np.array_equal(one, np.arange(n + k, n + k + N)) for k, one in enumerate(some))
    return os.getpid(), about(), good, int(some[1].sum()), np.full(1 << 17, n)

def check(found, joined, limit=8):
    from hotswap.run import inside
    import hotswap
    for n, (pid, about, good, total, whole) in enumerate(found):
        assert pid != os.getpid() and good and total == int(numbers(n + 1).sum()) and (whole == n).all()
        assert about == (joined, limit, [swap.path for swap in hotswap.swaps()]), about
"""


@pytest.fixture
def run(scratch, tmp_path):
    """A script (a file, which workers may load) under hotswap run, with an area, or as it is; its ``Outcome``."""

    def start(script, *options, path=(), under=True, env=None):
        file = tmp_path / "script.py"
        body = textwrap.indent(textwrap.dedent(script), "    ")
        file.write_text(f"{HELP}\nif __name__ == '__main__':\n    area = {str(scratch / 'area')!r}\n{body}\n")
        words = [*RUN, "--limit", "16M", "--swap", f"{scratch / 'area'}:256M", *options, "--", sys.executable, str(file)]
        places = os.pathsep.join(map(str, (SOURCES, TESTS, *path)))
        environment = {**os.environ, "PYTHONPATH": places, **(env or {})}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=55, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return start


@pytest.fixture
def passes(run):
    def start(script, *options, **more):
        outcome = run(script, *options, **more)
        assert outcome.code == 0 and not outcome.err, outcome
        return outcome.out

    return start


@pytest.mark.parametrize("how", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize(
    "pool",
    [
        "multiprocessing.get_context({how!r}).Pool(2)",
        "concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context({how!r}))",
    ],
)
def test_workers_of_pools_swap_to_the_programs_areas_within_their_own_limit(passes, pool, how):
    passes(
        f"""
        mine = numbers() * 3
        before = used()
        with {pool.format(how=how)} as pool:
            check(list(pool.map(work, range(6))), joined={how in ("spawn",)!r} or {how!r} == "forkserver")
        assert np.array_equal(mine, numbers() * 3)
        del mine
        """,
        "--children-limit",
        "50%",
    )


@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_workers_of_joblib(passes, backend):
    joblib = pytest.importorskip("joblib", reason="joblib is not installed (it comes with the extra 'examples')")
    passes(
        f"""
        import joblib
        mine = numbers() * 3
        check(joblib.Parallel(2, backend={backend!r})(joblib.delayed(work)(n) for n in range(6)), joined={backend == "loky"})
        total = joblib.Parallel(2, backend={backend!r})(joblib.delayed(np.sum)(mine[n::4]) for n in range(4))
        assert sum(map(int, total)) == int(mine.sum())
        """,
        "--children-limit",
        "8M",
        path=[Path(joblib.__file__).parents[1]],
    )


def test_what_a_worker_had_is_given_back_when_it_is_killed(passes):
    passes(
        """
        ready, tell = os.pipe()
        script = "import numpy as np, os, time; kept = [np.arange(1 << 20) + n for n in range(8)]; os.write(%d, b'r'); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", script % tell], pass_fds=[tell])
        os.read(ready, 1)
        assert used() > 32 << 20
        child.kill()
        child.wait()
        assert eventually(lambda: used() < 8 << 20), used()
        """
    )


ABOUT = "import os, sys; sys.path[:0] = os.environ.get('PLACES', '').split(':'); import script; print(script.about())"
WAYS = """
import ctypes, script
os.environ["PLACES"] = os.environ["PYTHONPATH"] + ":" + os.path.dirname(script.__file__)
words = [sys.executable, "-c", {about!r}]
place = {{"PLACES": os.environ["PLACES"]}}
def out(**options):
    return subprocess.run(words, capture_output=True, text=True, **options)
def by(call):
    got, put = os.pipe()
    pid = call(got, put)
    os.close(put)
    with open(got) as file:
        said = file.read()
    assert os.waitpid(pid, 0)[1] == 0
    return said
def spawned(got, put):
    return os.posix_spawn(sys.executable, words, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, put, 1)])
def forked(got, put):
    pid = os.fork()
    if pid == 0:
        os.dup2(put, 1)
        os.execv(sys.executable, words)
    return pid
"""


def test_every_way_to_start_this_interpreter_takes_the_areas_along(passes):
    passes(
        WAYS.format(about=ABOUT)
        + """
want = f"(True, 4, [{area!r}])\\n"
assert about() == (False, 16, [area])
for options in ({}, {"close_fds": False}, {"env": place}, {"preexec_fn": lambda: None}, {"start_new_session": True}):
    done = out(**options)
    assert done.stdout == want and not done.stderr, (options, done)
assert by(spawned) == want and by(forked) == want
done = subprocess.run([sys.executable, "-I", *words[1:]], capture_output=True, text=True)
assert done.stdout == want, done
# and from there on
inner = f"import subprocess; print(subprocess.run({words!r}, capture_output=True, text=True).stdout, end='')"
done = subprocess.run([sys.executable, "-c", inner], capture_output=True, text=True)
assert done.stdout == want, done
""",
        "--children-limit",
        "4M",
    )


def test_other_programs_and_environments_are_as_without_it(passes, monkeypatch):
    for name in [name for name in os.environ if "HOTSWAP" in name]:  # of whoever runs the tests
        monkeypatch.delenv(name)
    out = passes(
        """
        names = "print(sorted(name for name in os.environ if 'HOTSWAP' in name or 'PRELOAD' in name))"
        print(subprocess.run("env | grep -E 'HOTSWAP|PRELOAD'; echo shell", shell=True, capture_output=True, text=True).stdout, end="")
        done = subprocess.run([sys.executable, "-c", "import os; " + names], capture_output=True, text=True)
        print(done.stdout + done.stderr, end="")
        """
    )
    assert out == "shell\n[]\n"


def test_what_was_preloaded_before_is_so_in_children(passes):
    """A library that every machine has."""
    import ctypes.util

    library = ctypes.util.find_library("m")
    out = passes(
        """
        print(os.environ["LD_PRELOAD"])
        print(subprocess.run([sys.executable, "-c", "import os; print(os.environ['LD_PRELOAD'])"], capture_output=True, text=True).stdout, end="")
        """,
        env={"LD_PRELOAD": library},
    )
    assert out == f"{library}\n{library}\n"


def test_children_that_are_executed_go_without_when_that_is_asked_for(passes):
    passes(
        WAYS.format(about=ABOUT)
        + """
assert out().stdout == "None\\n" and by(spawned) == "None\\n" and by(forked) == "None\\n"
with multiprocessing.get_context("fork").Pool(1) as pool:
    check(pool.map(work, range(2)), joined=False, limit=16)
""",
        "--children-limit",
        "none",
    )


def test_a_program_that_becomes_another_takes_nothing_along(run):
    outcome = run(
        """
        if len(sys.argv) == 1:
            os.execv(sys.executable, [sys.executable, __file__, "again"])
        print(about())
        """
    )
    assert outcome.code == 0 and outcome.out == "None\n", outcome


def test_a_child_whose_parent_has_gone_before_it_begins_has_an_area_of_its_own(run, scratch):
    outcome = run(
        WAYS.format(about=ABOUT)
        + """
middle = os.getpid()
if os.fork() == 0:
    while os.getppid() == middle:
        time.sleep(0.01)
    os.execv(sys.executable, words)
""",
        env={"TMPDIR": str(scratch)},
    )
    said, _, rest = outcome.err.partition("\n")
    assert outcome.code == 0 and said.startswith("hotswap: swapping to a private temporary file of ") and not rest, outcome
    assert outcome.out.startswith(f"(False, 16, ['{scratch}/"), outcome


def test_the_process_that_counts_resources_has_no_engine(passes):
    passes(
        """
        from multiprocessing import resource_tracker, shared_memory
        block = shared_memory.SharedMemory(create=True, size=1 << 20)
        pid = resource_tracker._resource_tracker._pid
        assert "hotswap/engine" not in open(f"/proc/{pid}/maps").read()
        block.close()
        block.unlink()
        """
    )


def test_a_forked_child_is_within_its_own_limit_before_its_first_line(passes):
    passes(
        """
        from hotswap.run import inside
        mine = [numbers(n) for n in range(6)]
        pid = os.fork()
        if pid == 0:
            stats = inside.heap.stats()
            assert stats["limit_bytes"] == 4 << 20 and stats["resident_bytes"] <= 4 << 20, stats
            assert all(np.array_equal(one, numbers(n)) for n, one in enumerate(mine))
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert inside.heap.limit == 16 << 20
        """,
        "--children-limit",
        "25%",
    )


def test_an_area_goes_off_and_on_while_workers_compute(passes):
    passes(
        """
        import hotswap, threading
        hotswap.swapon(area + "2", size="256M")
        stop, flips = threading.Event(), [0]
        def flip():
            while not stop.is_set():
                hotswap.swapoff(area); hotswap.swapon(area); flips[0] += 1
        thread = threading.Thread(target=flip)
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            pool.map(work, range(2))
            thread.start()
            until = time.monotonic() + 2
            while time.monotonic() < until or flips[0] < 3:
                assert all(good for _, _, good, _, _ in pool.map(work, range(4)))
            stop.set()
            thread.join()
        assert eventually(lambda: used() < 8 << 20)
        """
    )


# --- what may be asked for ----------------------------------------------------------------------------------------------


def test_the_limit_of_children_is_a_size_or_a_part_of_the_programs():
    assert plan.make("64M").children == 64 << 20
    assert plan.make("64M", children_limit="25%").children == 16 << 20
    assert plan.make("64M", children_limit="8M").children == 8 << 20
    assert plan.make("64M", children_limit="none").children == 0
    assert plan.Plan.read(plan.make("64M", ["a:1G"], children_limit="25%").of_child().text()) == plan.Plan(
        16 << 20, 256 << 10, [], 16 << 20
    )


@pytest.mark.parametrize("wrong", ["much", "0", "-1M", "%", ""])
def test_a_limit_of_children_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match="children"):
        resolve({"children_limit": wrong})


def test_a_limit_of_children_with_which_faults_could_not_be_served_is_refused_at_the_start(run):
    outcome = run("print('never')", "--children-limit", "64K")
    assert outcome.code == 113 and outcome.err.startswith("hotswap: children_limit: limit 65536 is below what faults need"), (
        outcome
    )
    assert outcome.out == ""
