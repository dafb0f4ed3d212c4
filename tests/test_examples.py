"""The examples say under ``hotswap run``, with a fifth of their data in memory, what they say without."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import SOURCES

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NEEDS = {"images": None, "frame": "pandas", "fit": "sklearn"}
ALONE = {"pool"}  # uses hotswap itself
# The program, and then what its heap did: told on standard error, which nobody compares.
WATCHED = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
from hotswap.run import inside
stats = inside.heap.stats()
print("pages out", stats["pages_out"], "resident", stats["resident_bytes"] <= stats["limit_bytes"], file=sys.stderr)
"""
RUN = [sys.executable, "-m", "hotswap", "run", "--limit", "16M", "--"]


def output(*words, **environment):
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), **environment}
    done = subprocess.run([str(word) for word in words], env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done


def assert_swapped(run):
    """More went out than may stay in memory, and no more stayed."""
    told = run.stderr.splitlines()[-1].split()
    assert int(told[2]) * 4096 > 16 << 20 and told[4] == "True", told


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*NEEDS, *ALONE}


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_gives_the_result_it_gives_in_memory(name):
    if NEEDS[name] and find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed; make examples installs it")
    example = str(EXAMPLES / f"{name}.py")
    plain = output(sys.executable, example)
    run = output(*RUN, sys.executable, "-c", WATCHED, example)
    assert run.stdout == plain.stdout
    assert_swapped(run)


# Columns whose bytes Arrow's own allocator makes: long ones of numbers and text, and what is computed from them.
ARROW = """
import ctypes, sys
import numpy as np, pandas as pd, pyarrow
rows = 1_500_000
numbers = pd.Series(np.arange(rows), dtype="int64[pyarrow]")
names = pd.Series(np.arange(rows) % 97, dtype="int64[pyarrow]").astype("string[pyarrow]") + " is a town"
frame = pd.DataFrame({"number": numbers, "name": names, "twice": numbers * 2})
print(frame.groupby("name")["twice"].sum().sort_index().tolist(), frame["name"].iloc[-1], pyarrow.default_memory_pool().backend_name)
if "hotswap.run" in sys.modules:
    ours = ctypes.PyDLL(None).hotswap_preload_ours
    for column in frame.columns:
        whole = frame[column].array.__arrow_array__()
        for chunk in getattr(whole, "chunks", [whole]):
            for buffer in chunk.buffers():
                assert buffer is None or buffer.size < 256 << 10 or ours(ctypes.c_void_p(buffer.address)), (column, buffer.size)
"""


def test_columns_of_arrow_are_swappable(tmp_path):
    for name in ("pandas", "pyarrow"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed; make examples installs it")
    script = tmp_path / "columns.py"
    script.write_text(ARROW)
    plain = output(sys.executable, script, ARROW_DEFAULT_MEMORY_POOL="system")
    run = output(*RUN, sys.executable, "-c", WATCHED, script)
    assert run.stdout == plain.stdout and "system" in run.stdout
    assert_swapped(run)


# The program, and a thread of its first process that looks, many times a second, at what the family has in memory: by hotswap's own figures,
# and by what the kernel says of the array's range in each process (Pss: what several have in common counts once).
FAMILY = """
import multiprocessing, os, runpy, sys, threading, time
sys.argv = sys.argv[1:]
most, seen, over = {"own": 0, "kernel": 0, "given": 0}, 0, threading.Event()

def kernel(low, high):
    total = 0
    for pid in [os.getpid(), *(child.pid for child in multiprocessing.active_children())]:
        try:
            lines = open(f"/proc/{pid}/smaps").read().splitlines()
        except OSError:
            continue
        inside = False
        for line in lines:
            first = line.split(" ", 1)[0]
            if "-" in first and not first.endswith(":"):
                inside = low <= int(first.split("-")[0], 16) < high
            elif inside and line.startswith("Pss:"):
                total += int(line.split()[1]) << 10
    return total

def watch():
    global seen
    import hotswap
    from hotswap import arena
    while not over.wait(0.02):
        now = hotswap.family_stats()
        most["own"], most["given"] = max(most["own"], now["resident_bytes"]), max(most["given"], now["given_bytes"])
        spaces = list(arena._arenas)
        if spaces:
            from hotswap.engine import api
            low, length = api.space_range(spaces[0]._index)
            most["kernel"] = max(most["kernel"], kernel(low, low + length))
        seen = max(seen, now["members"])

watcher = threading.Thread(target=watch)
watcher.start()
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    over.set()
    watcher.join()
print(most["own"], most["kernel"], most["given"], seen, file=sys.stderr)
"""


def test_a_pool_of_workers_over_an_array_five_times_the_limit_that_they_have_together(scratch):
    example = str(EXAMPLES / "pool.py")
    plain = output(sys.executable, example, "ram")
    run = output(sys.executable, "-c", FAMILY, example, TMPDIR=str(scratch))
    assert run.stdout == plain.stdout and "pairs" in run.stdout
    own, kernel, given, members = map(int, run.stderr.splitlines()[-1].split())
    assert members == 5 and own <= given <= 32 << 20 and kernel <= 32 << 20, (own, kernel, given, members)
    assert own > 16 << 20 and kernel > 4 << 20  # it was looked at while there was something to see
