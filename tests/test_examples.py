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


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_an_example_gives_the_result_it_gives_in_memory(name):
    if NEEDS[name] and find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed; make examples installs it")
    example = str(EXAMPLES / f"{name}.py")
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}

    def output(*words):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr
        return done

    plain = output(sys.executable, example)
    run = output(sys.executable, "-m", "hotswap", "run", "--limit", "16M", "--", sys.executable, "-c", WATCHED, example)
    assert run.stdout == plain.stdout
    told = run.stderr.splitlines()[-1].split()
    assert int(told[2]) * 4096 > 16 << 20 and told[4] == "True", told  # more went out than may stay
