"""The steps of a run, one after the other: set up, one child, its rows, undo.

A step is one workload on one system. Its systems follow each other directly, so that a disk whose speed drifts does so
for all of them. Whatever a step sets up (cgroup, swap area, child) is undone when it ends in any way, the child first;
signals wait until that is done.
"""

import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from . import disk, jobs
from .cgroup import Cage, find
from .dask_jobs import DIRECTORY
from .janitor import Janitor, sweep
from .kernel import KernelSwap, SwapFile, Zram, drop_caches
from .plan import (
    CAGED,
    NEEDS,
    NO_WAY,
    SWAPPING,
    BenchError,
    Row,
    Settings,
    empty_rows,
    estimate,
    give_up_after,
    steps_of,
)
from .progress import Progress
from .source import SOURCE
from .systems import AREAS, area_bytes

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DISK_SECONDS = 8.0
# Small products of matrices by several threads that wait for each other busily would measure who else uses the processors. And
# freed memory goes back at once. Both as dask sets it for its workers; the second is of use to it alone.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
OF_DASK = {"MALLOC_TRIM_THRESHOLD_": "65536"}


def run(settings: Settings, progress: Progress, rows: list[Row]) -> None:
    """Appends to ``rows`` as it goes, so that an interrupted run still has what was measured."""
    _check_room(settings)
    sweep(settings.scratch)  # of a run that was killed
    steps = steps_of(settings)
    if not steps:
        raise BenchError(f"none of the systems {', '.join(settings.systems)} takes part in {', '.join(settings.workloads)}.")
    expected = [0.0 if left_out(w, s) else estimate(settings, w, s) for w, s in steps]
    progress.plan([DISK_SECONDS, *expected])
    digests: dict[str, str] = {}
    with _signals_wait():
        janitor = Janitor(settings.scratch)
    try:
        settings = replace(settings, scratch=janitor.scratch)
        progress.begin("disk, direct I/O")
        found = disk.measure(janitor.scratch, settings.size)
        rows += found
        progress.end(found)
        for workload, system in steps:
            progress.begin(f"{workload} on {system}")
            found = step(settings, workload, system, progress, digests)
            rows += found
            progress.end(found)
    finally:
        with _signals_wait():
            janitor.close()


def failed(rows: list[Row]) -> bool:
    """Whether any result was wrong, or hotswap has none where it was asked for."""
    return any(
        r.verified is False or (r.system == "hotswap" and r.value is None and not r.note.startswith("left out")) for r in rows
    )


def left_out(workload: str, system: str) -> str:
    """Why ``workload`` cannot be run on ``system`` here, or nothing."""
    if system in SWAPPING and os.geteuid() != 0:
        return "left out: the kernel's swap and a memory cgroup need root"
    if reason := NO_WAY.get((workload, system)):
        return f"left out: {reason}"
    for name in (*NEEDS.get(workload, ()), *NEEDS.get(system, ())):
        if importlib.util.find_spec(name) is None:
            return f"left out: {name} is not installed; pip install 'hotswap[bench]'"
    return ""


def step(settings: Settings, workload: str, system: str, progress: Progress, digests: dict[str, str] | None = None) -> list[Row]:
    """One workload on one system in a child of its own. Only an interruption is raised. ``digests``: of the results in RAM, by
    workload; what is missing and needed is found out first, by a run in RAM that no row tells of."""
    digests = {} if digests is None else digests
    reason = left_out(workload, system)
    if reason:
        return empty_rows(workload, system, reason)
    if workload in jobs.JOBS and system != "ram" and workload not in digests:
        once = replace(settings, repeat=1, corrupt=False, profile=False)
        reference = _step(once, workload, "ram", progress, digests)
        if not all(row.verified for row in reference):
            return empty_rows(workload, system, f"there is nothing to compare with: in RAM it was {reference[0].note}")
    return _step(settings, workload, system, progress, digests)


def _step(settings: Settings, workload: str, system: str, progress: Progress, digests: dict[str, str]) -> list[Row]:
    rows = empty_rows(workload, system)
    notes: list[str] = []
    try:
        with _undoing() as undo:
            undo.callback(_tidy, settings.scratch)
            swap = _swap(system, settings, undo)
            cage = _cage(system, settings, undo, notes)
            _forget(notes)
            child = _Child(settings, workload, system, undo)
            outcome = child.follow(rows, cage, swap, progress, give_up_after(settings, workload, system))
    except (BenchError, OSError) as error:
        outcome = {"error": str(error)}
    _compare(outcome, digests, workload, system)
    if swap_note := outcome.get("swap"):
        notes.append(swap_note)
    failure = outcome.get("error")
    if failure:
        notes.insert(0, failure)
    notes += dict.fromkeys(outcome.get("notes", []))
    if not failure and outcome["wrong"] and not any(row.samples for row in rows):
        notes.insert(0, f"WRONG: {outcome['wrong']}")
    for row in rows:
        if not failure and row.samples:
            row.value = median(row.samples)
            row.verified = outcome["wrong"] is None
            if outcome["wrong"]:
                row.note = f"WRONG: {outcome['wrong']}"
        row.peak_rss = outcome.get("peak_rss")
        row.stages = outcome.get("stages", {}).get(row.workload, {}) if row.system == "hotswap" else {}
        row.note = "; ".join(n for n in (row.note, *notes) if n)
    return rows


def _tidy(scratch: Path) -> None:
    """What a child that was killed leaves."""
    shutil.rmtree(scratch / DIRECTORY, ignore_errors=True)
    for name in AREAS:
        (scratch / name).unlink(missing_ok=True)


def _compare(outcome: dict[str, Any], digests: dict[str, str], workload: str, system: str) -> None:
    """The digest of a result must be that of the run in RAM, which is there before."""
    digest = outcome.get("digest")
    if digest and not outcome.get("error") and not outcome["wrong"]:
        if system == "ram":
            digests[workload] = digest
        elif digest != digests[workload]:
            outcome["wrong"] = f"the result ({digest}) is not that of the run in RAM ({digests[workload]})"


def _swap(system: str, settings: Settings, undo: ExitStack) -> KernelSwap | None:
    if system not in SWAPPING:
        return None
    size = area_bytes(settings.size)
    swap: KernelSwap = SwapFile(settings.scratch, size) if system == "kernel-file" else Zram(settings.scratch, size)
    undo.callback(swap.remove)
    swap.make()
    return swap


def _cage(system: str, settings: Settings, undo: ExitStack, notes: list[str]) -> Cage | None:
    """The cgroup of a peer that has no limit of its own. A memmap runs without one too, and its rows say so."""
    if system not in CAGED:
        return None
    try:
        if os.geteuid() != 0:
            raise BenchError("a memory cgroup needs root")
        cage = Cage(find(), settings.limit, swap=system in SWAPPING)
        undo.callback(cage.remove)
        cage.make()
        return cage
    except (BenchError, OSError) as error:
        if system in SWAPPING:
            raise
        notes.append(f"not held to the limit, the page cache is free to it: {error}")
        return None


def _forget(notes: list[str]) -> None:
    try:
        if os.geteuid() == 0:
            drop_caches()
    except OSError as error:
        notes.append(f"the page cache was not dropped before: {error.strerror}")


def _row_for(rows: list[Row], measure: str, system: str | None) -> Row:
    """The row of a sample; a new one where a step tells of another system, too."""
    same = [row for row in rows if row.workload == measure]
    found = next((row for row in same if system in (None, row.system)), None)
    if found is None:
        found = Row(measure, str(system), same[0].unit)
        rows.append(found)
    return found


def _do(what: str, cage: Cage | None, swap: KernelSwap | None) -> dict[str, Any]:
    """What a child asks for that runs on the kernel's swap."""
    if swap is None or cage is None:
        return {"error": f"there is no swap of the kernel's to do {what} with"}
    try:
        if what == "held":
            return {"held": swap.held()}
        cage.lift()
        out, seconds = swap.switch_off()
        swap.switch_on()
        cage.press()
        return {"bytes": out, "seconds": seconds}
    except (BenchError, OSError) as error:
        return {"error": str(error)}


class _Child:
    """The worker process of one step; killed and waited for when the step ends."""

    def __init__(self, settings: Settings, workload: str, system: str, undo: ExitStack):
        order = {
            "settings": asdict(settings) | {"scratch": str(settings.scratch)},
            "system": system,
            "workload": workload,
        }
        path = os.pathsep.join(p for p in (str(SOURCE), os.environ.get("PYTHONPATH", "")) if p)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - the stack closes it
        undo.callback(self._said.close)
        with _signals_wait():  # no child without its undoing; and the child keeps them blocked: it is ours to kill
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hotswap.bench.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
                env={**ENVIRONMENT, **(OF_DASK if system == "dask" else {}), **os.environ, "PYTHONPATH": path},
            )
            undo.callback(self._end)
        self._tell(json.dumps(order))

    def follow(
        self, rows: list[Row], cage: Cage | None, swap: KernelSwap | None, progress: Progress, patience: float
    ) -> dict[str, Any]:
        """Hear the child out, its samples into ``rows``; the outcome has ``wrong`` or ``error``, and more."""
        outcome: dict[str, Any] = {"error": None}
        ended = False
        try:
            for words in self._answers(time.monotonic() + patience):
                if "ready" in words:
                    if cage is not None:
                        cage.admit(self._process.pid)
                    self._tell("")
                elif "ask" in words:
                    self._tell(json.dumps(_do(words["ask"], cage, swap)))
                elif "note" in words:
                    outcome.setdefault("notes", []).append(words["note"])
                elif "measure" in words:
                    _row_for(rows, words["measure"], words.get("system")).samples.append(words["value"])
                    progress.sample(words["measure"], words["value"])
                    if swap is not None:
                        outcome["swap"] = swap.note()
                else:
                    outcome |= words
                    ended = True
        except TimeoutError:
            return outcome | {"error": f"gave up after {patience:.0f} s"}
        status = self._process.wait(timeout=60)
        if ended and (status == 0 or outcome["error"]):
            return outcome
        return outcome | {"error": self._cause(status, cage)}

    def _answers(self, deadline: float) -> Iterator[dict[str, Any]]:
        assert self._process.stdout is not None
        fd, pending = self._process.stdout.fileno(), b""
        while True:
            ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            got = os.read(fd, 65536)
            if not got:
                return
            *lines, pending = (pending + got).split(b"\n")
            yield from (json.loads(line) for line in lines)

    def _cause(self, status: int, cage: Cage | None) -> str:
        if status == -signal.SIGKILL and cage is not None and cage.oom_kills():
            return "killed by the kernel's OOM"
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines()
        ended = f"died by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"{ended}: {said[-1]}" if said else ended

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died; its answers end, and its status says why

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _check_room(settings: Settings) -> None:
    if not settings.scratch.is_dir():
        raise BenchError(f"the scratch directory {settings.scratch} does not exist; make it or give another with --scratch.")
    if not os.access(settings.scratch, os.W_OK | os.X_OK):
        raise BenchError(f"the scratch directory {settings.scratch} cannot be written to; give another with --scratch.")
    needed, free = area_bytes(settings.size), shutil.disk_usage(settings.scratch).free
    if free < needed * 1.1:
        raise BenchError(
            f"{settings.scratch} has {free >> 20} MiB free and the run needs {needed * 11 // 10 >> 20}; "
            "give another directory with --scratch or a smaller --size."
        )


@contextmanager
def _signals_wait() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _undoing() -> Iterator[ExitStack]:
    """An ExitStack whose undoing no signal interrupts."""
    undo = ExitStack()
    interrupted = True
    try:
        yield undo
        interrupted = False
    except Exception:
        interrupted = False
        raise
    finally:
        with _signals_wait():
            try:
                undo.close()
            except (BenchError, OSError) as error:
                if not interrupted:
                    raise
                print(f"hotswap bench: {error}", file=sys.stderr)  # it must not hide the interruption
