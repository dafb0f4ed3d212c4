"""What a run sets up goes again when the run ends, and also when it is killed.

A run has one scratch directory, named after its process. Everything that outlives a process by itself is found from there: a swap
file of the kernel's in it, the number of a zram device, and the cgroup of that name. A helper process waits for the end of the run,
however it comes, and clears what is left; ``sweep`` does the same for runs whose helper was killed too.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import cgroup
from .cgroup import Cage
from .kernel import ZRAM_MARK, SwapFile, Zram
from .plan import BenchError
from .source import SOURCE

_NAME = re.compile(r"hotswap-bench-(\d+)-\w+")


class Janitor:
    """The scratch directory of a run, and who clears it should the run not."""

    def __init__(self, place: Path):
        self.scratch = Path(tempfile.mkdtemp(prefix=f"{cgroup.named(os.getpid())}-", dir=place))
        path = os.pathsep.join(p for p in (str(SOURCE), os.environ.get("PYTHONPATH", "")) if p)
        self._helper = subprocess.Popen(
            [sys.executable, "-m", "hotswap.bench.janitor", str(self.scratch)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is not for it
            env=os.environ | {"PYTHONPATH": path},
        )

    def close(self) -> None:
        clear(self.scratch)
        assert self._helper.stdin is not None
        self._helper.stdin.close()
        self._helper.wait()


def clear(scratch: Path) -> None:
    """Takes away what a run left; its processes are dead, or about to be. Does nothing where nothing is left."""
    for undo in (_swap_file, _zram, _cage):
        try:
            undo(scratch)
        except (BenchError, OSError) as error:
            print(f"hotswap bench: {error}", file=sys.stderr)
    shutil.rmtree(scratch, ignore_errors=True)


def _swap_file(scratch: Path) -> None:
    if (scratch / "kernel.swap").exists():
        SwapFile(scratch, 0).remove()


def _zram(scratch: Path) -> None:
    mark = scratch / ZRAM_MARK
    if mark.exists():
        Zram(scratch, 0, int(mark.read_text())).remove()


def _cage(scratch: Path) -> None:
    named = _NAME.fullmatch(scratch.name)
    if named and os.geteuid() == 0:
        try:
            parent = cgroup.find()
        except BenchError:
            return  # then there was none either
        cage = Cage(parent, 0, swap=False)
        cage.path = parent.parent / cgroup.named(int(named[1]))
        cage.remove()


def sweep(place: Path) -> None:
    """Clears what runs of this user have left in ``place`` that are no more."""
    for scratch in place.glob("hotswap-bench-*"):
        named = _NAME.fullmatch(scratch.name)
        try:
            mine = scratch.stat().st_uid == os.geteuid()
        except OSError:
            continue
        if named and mine and not Path(f"/proc/{named[1]}").exists():
            clear(scratch)


def main() -> None:
    """The helper: the end of its input is the end of the run."""
    sys.stdin.buffer.read()
    if Path(sys.argv[1]).is_dir():
        clear(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
