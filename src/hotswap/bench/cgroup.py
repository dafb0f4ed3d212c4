"""A memory cgroup that holds one child to the limit; version 1 or version 2, whichever carries the memory controller.

The cgroup is made below the one that the bench runs in (version 2: below the nearest ancestor that hands the memory
controller on), so that limits set from outside still hold. Pages are charged where they are first touched, so a child
that is moved in after its imports is charged for its data only, as a ``Space`` is. Needs root.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from .plan import BenchError


@dataclass(frozen=True)
class Hierarchy:
    """The directory to make cgroups in, and whose files it has."""

    version: int
    parent: Path


def find(mountinfo: str | None = None, membership: str | None = None, root: Path = Path("/")) -> Hierarchy:
    """The memory controller's hierarchy. The arguments are for tests: the texts of ``/proc/self/mountinfo`` and
    ``/proc/self/cgroup``, and what to put before every mount point. Raises ``BenchError`` where there is none."""
    mountinfo = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    membership = Path("/proc/self/cgroup").read_text() if membership is None else membership
    own: dict[str, str] = {}  # controller -> path; "" is version 2
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    unified: tuple[Path, str] | None = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        mount_root, mount_point = before.split()[3:5]
        where = root / mount_point.lstrip("/")
        if kind == "cgroup" and "memory" in options.split(",") and "memory" in own:
            return Hierarchy(1, _below(where, mount_root, own["memory"]))
        if kind == "cgroup2" and "" in own:
            unified = where, mount_root
    if unified is None:
        raise BenchError("no memory cgroup is mounted here; mount cgroup2 on /sys/fs/cgroup.")
    where, mount_root = unified
    at = _below(where, mount_root, own[""])
    while at.is_relative_to(where):
        control = at / "cgroup.subtree_control"
        if control.exists() and "memory" in control.read_text().split():
            return Hierarchy(2, at)
        at = at.parent
    raise BenchError(f"no cgroup from here up to {where} hands on the memory controller; enable it in its subtree_control.")


def _below(where: Path, mount_root: str, path: str) -> Path:
    """The directory of cgroup ``path`` in a mount that shows ``mount_root`` and what is below it."""
    if mount_root != "/" and (path + "/").startswith(mount_root + "/"):
        path = path[len(mount_root) :]
    at = where / path.lstrip("/")
    return at if at.is_dir() and ".." not in path.split("/") else where


def named(pid: int) -> str:
    """What the cgroup of a run in process ``pid`` is called."""
    return f"hotswap-bench-{pid}"


class Cage:
    """A cgroup with a limit. ``remove`` may be called at any time, also when ``make`` was not or failed half way."""

    def __init__(self, hierarchy: Hierarchy, limit: int, swap: bool):
        self._version, self._limit, self._swap = hierarchy.version, limit, swap
        self.path = hierarchy.parent / named(os.getpid())

    def make(self) -> None:
        self.path.mkdir(exist_ok=True)
        if self._version == 1:
            self._write("memory.limit_in_bytes", str(self._limit))
            self._write("memory.swappiness", "60" if self._swap else "0")  # 60 is the kernel's own default
            self._write("memory.oom_control", "0", must=False)  # else a parent that disables the OOM killer hangs us
        else:
            self._write("memory.max", str(self._limit))
            self._write("memory.swap.max", "max" if self._swap else "0", must=self._swap)

    def admit(self, pid: int) -> None:
        self._write("cgroup.procs", str(pid))

    def lift(self) -> None:
        """No limit until ``press``."""
        self._write("memory.limit_in_bytes" if self._version == 1 else "memory.max", "-1" if self._version == 1 else "max")

    def press(self, patience: float = 60.0) -> None:
        """The limit again; what exceeds it is swapped out by and by."""
        deadline = time.monotonic() + patience
        while True:
            try:
                self._write("memory.limit_in_bytes" if self._version == 1 else "memory.max", str(self._limit))
                return
            except BenchError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def oom_kills(self) -> int:
        """How often the kernel killed in here for want of memory."""
        file = self.path / ("memory.oom_control" if self._version == 1 else "memory.events")
        try:
            words = dict(line.split() for line in file.read_text().splitlines())
        except OSError:
            return 0
        return int(words.get("oom_kill", 0))

    def remove(self, patience: float = 10.0) -> None:
        """The members are dead by now, though the kernel may need a moment to see it."""
        deadline = time.monotonic() + patience
        while self.path.is_dir():
            try:
                self.path.rmdir()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise BenchError(
                        f"the cgroup {self.path} could not be removed: {error.strerror}; remove it with rmdir."
                    ) from error
                time.sleep(0.05)

    def _write(self, name: str, text: str, must: bool = True) -> None:
        try:
            (self.path / name).write_text(text)
        except OSError as error:
            if must:
                raise BenchError(f"the kernel refused {text!r} in {self.path / name}: {error.strerror}.") from error
