"""Several areas of the same priority work at one time."""

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

TRANSFERS = {"295", "296"}  # preadv and pwritev
PROGRAM = """
import sys, time, numpy as np, hotswap
for path in sys.argv[1:]:
    hotswap.swapon(path, size="200M", priority=3)
space = hotswap.Space("32M")
array = space.empty((160 << 20) // 8, "u8")
print("begins", flush=True)
end = time.monotonic() + 40
while time.monotonic() < end:  # or until it is killed
    for first in range(0, len(array), 1 << 17):
        array[first : first + (1 << 17)] += np.arange(1 << 17, dtype="u8")
"""


def in_flight(pid, files):
    """Which of these files the threads of a process are moving bytes from or to at this moment."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            words = (task / "syscall").read_text().split()
            if words[0] in TRANSFERS:
                found.add(os.readlink(f"/proc/{pid}/fd/{int(words[1], 16)}"))
    return found & files


@pytest.mark.skipif(platform.machine() != "x86_64", reason="system calls are told by their numbers on x86-64")
@pytest.mark.skipif(os.geteuid() != 0, reason="what the threads of a process are doing is told to root")
def test_areas_of_equal_priority_have_transfers_in_flight_at_one_time(scratch):
    paths = [str(scratch / "a.swap"), str(scratch / "b.swap")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, *paths], env=environment, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"begins\n"
        both = 0
        while child.poll() is None and both < 5:
            both += in_flight(child.pid, set(paths)) == set(paths)
        assert both == 5
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
