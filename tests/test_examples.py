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
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(NEEDS)


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
