"""One run of the demo, top to bottom: choose a size, build the reference in RAM, then the job in a space under churn.

``Run.start`` works in a thread of its own, so that whoever started it can show ``Run``'s fields meanwhile; they are
written by that thread alone. ``Run.stop`` may be called from anywhere; the files are gone when the thread has ended.
"""

import contextlib
import gc
import math
import mmap
import os
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import HotswapError
from ..sizes import PAGE, format_size
from .churn import PRIORITY, Churn
from .corpus import Corpus, standard_library
from .engine import Engine, MakeEngine
from .job import Work, build, digest
from .pagesums import Ledger
from .progress import Progress, Stopped
from .reference import Reference, run_reference
from .residency import Residency
from .scratch import scratch
from .verdict import Outcome

AREAS = ("a.swap", "b.swap", "c.swap")
BYTES_PER_BYTE = 25  # of working set for each byte of text (job.py)
FRACTION = 12  # the limit is this part of the working set, unless given
SMALLEST_LIMIT = 8 << 20  # bytes, unless given: below it, four threads' folios crowd each other out
RATE = 768 << 10  # bytes of text a second that a slow disk manages, so that a round fits into the seconds asked for
WARM_UP = 2 << 20  # bytes of text of the job that runs in RAM before the baseline is taken
SPARE = 1.25  # an area's size: any two hold the working set, and this much over


@dataclass(frozen=True)
class Options:
    """What the user chose; sizes in bytes, ``None`` for what the run chooses itself."""

    seconds: float = 45.0
    limit: int | None = None
    folio: int = 64 << 10
    threads: int = 4
    scratch: Path | None = None


class Run:
    """A run, and all that can be seen of it while it goes on."""

    def __init__(self, options: Options, make_engine: MakeEngine) -> None:
        self.options, self.make_engine = options, make_engine
        self.progress = Progress()
        self.ledger = Ledger()
        self.outcome = Outcome(threads=options.threads)
        self.stage = "starting"  # what it does now, for people
        self.stage_fraction: float | None = None
        self.engine: Engine | None = None  # while its space is open
        self.churn: Churn | None = None
        self.residency: Residency | None = None
        self.area_bytes = 0
        self.begun = 0.0  # of the job in the space, monotonic
        self.stopped = False
        self._ended = threading.Event()  # Thread.join, when Ctrl-C interrupts it, takes the thread for ended (CPython 3.11)
        self._thread = threading.Thread(target=self._run, name="demo-run", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Waits for the end, ``seconds`` at most; whether it has come."""
        return self._ended.wait(seconds)

    def stop(self) -> None:
        self.stopped = True
        self.progress.stop()

    def _run(self) -> None:
        try:
            self._all()
        except Stopped:
            self.outcome.error = self.outcome.error or "it was stopped"
        except HotswapError as error:
            self.outcome.error = str(error).rstrip(".")
        except Exception as error:  # noqa: BLE001  the verdict tells it
            self.outcome.error = f"it ended with {type(error).__name__}: {error}"
        finally:
            self._ended.set()

    def _all(self) -> None:
        options, outcome = self.options, self.outcome
        corpus = choose_corpus(standard_library(), options)
        reference = self._reference(corpus)
        outcome.corpus_bytes, outcome.working_set_bytes = corpus.size, reference.working_set
        outcome.ram_seconds, outcome.ram_digest = reference.seconds, reference.digest
        outcome.limit_bytes = options.limit or max(reference.working_set // FRACTION // PAGE * PAGE, SMALLEST_LIMIT)
        self.area_bytes = int(reference.working_set / 2 * SPARE + (8 << 20)) // PAGE * PAGE
        self._stage("warming up")
        self._go_on()
        in_ram = Work(mapped, options.threads)
        with contextlib.closing(in_ram), scratch(options.scratch, len(AREAS) * self.area_bytes) as directory:
            outcome.scratch = str(directory)
            warm_up(corpus, in_ram)
            self._in_space(corpus, [directory / name for name in AREAS], in_ram.pool)

    def _go_on(self) -> None:
        if self.stopped:
            raise Stopped

    def _reference(self, corpus: Corpus) -> Reference:
        def report(phase: str, fraction: float) -> None:
            self._go_on()
            self.stage_fraction = fraction
            self.stage = f"the same job in RAM, to compare with: {phase}"

        self._stage("the same job in RAM, to compare with")
        return run_reference(corpus.size, self.options.threads, report)

    def _in_space(self, corpus: Corpus, paths: list[Path], pool: ThreadPoolExecutor) -> None:
        """The job, with the areas going off and on. Whatever happens, space and areas are gone at the end."""
        outcome = self.outcome
        engine = self.make_engine()
        self.residency = Residency()
        with contextlib.ExitStack() as undo:
            undo.callback(self._settle)
            for path in paths:
                self._go_on()
                self._stage(f"making {path.name}, {format_size(self.area_bytes)}")
                engine.swapon(path, self.area_bytes, PRIORITY)
                undo.callback(self._off, engine, path)
            engine.open(outcome.limit_bytes, self.options.folio)
            undo.callback(engine.close)
            self.engine = engine
            self.churn = Churn(engine, paths, self.area_bytes)
            undo.callback(self._end_churn, engine)
            self._stage("the job")
            self.begun = time.monotonic()
            self.churn.start()
            self._rounds(corpus, Work(engine.make, self.options.threads, self.progress, self.ledger, pool))

    def _rounds(self, corpus: Corpus, work: Work) -> None:
        """Rounds of the job until the time is up; a last one is begun only if most of it fits."""
        outcome, seconds = self.outcome, 0.0
        while outcome.seconds + seconds / 2 < self.options.seconds and not outcome.digests_differ:
            try:
                self._round(corpus, work)
            except Exception as error:
                traceback.clear_frames(error.__traceback__)  # they hold arrays, and the space is about to be closed
                raise
            outcome.rounds += 1
            outcome.seconds = time.monotonic() - self.begun
            seconds = outcome.seconds / outcome.rounds

    def _round(self, corpus: Corpus, work: Work) -> None:
        outcome = self.outcome
        index = build(corpus, work)
        outcome.digest = digest(index, work)
        outcome.wrong_probes += index.wrong_probes
        outcome.digests_differ += outcome.digest != outcome.ram_digest
        index.drop()

    def _end_churn(self, engine: Engine) -> None:
        assert self.churn and self.residency
        outcome = self.outcome
        outcome.seconds = time.monotonic() - self.begun
        self._stage("letting the last swapoff finish")
        self.churn.finish()
        outcome.peak_resident_bytes = self.residency.finish()
        outcome.stats = engine.stats()
        self.engine = None
        gc.collect()  # arrays that a failed round left in reference cycles

    def _settle(self) -> None:
        """Copies the last of the figures."""
        outcome, churn, ledger = self.outcome, self.churn, self.ledger
        if self.residency:
            outcome.peak_resident_bytes = self.residency.finish()
        if churn:
            moving = [swapoff for swapoff in churn.done if swapoff.pages]
            outcome.swapoffs, outcome.pages_moved = len(moving), sum(swapoff.pages for swapoff in moving)
            outcome.swapoff_seconds = sum(swapoff.seconds for swapoff in moving)
            outcome.failures = [*churn.failures, *outcome.failures]
        outcome.pages_checked, outcome.pages_lost, outcome.pages_unread = ledger.checked, ledger.lost, ledger.unread
        outcome.lost = [str(page) for page in ledger.first_lost]
        outcome.working_set_bytes = max(outcome.working_set_bytes, ledger.peak)

    def _off(self, engine: Engine, path: Path) -> None:
        """Switches off an area that nothing uses any more, unless the churn left it off."""
        if str(path) in {area.path for area in engine.areas()}:
            self._stage(f"removing {path.name}")
            try:
                engine.swapoff(path)
            except HotswapError as error:
                self.outcome.failures.append(f"swapoff {path.name} at the end: {error}")

    def _stage(self, what: str) -> None:
        self.stage, self.stage_fraction = what, None


def choose_corpus(whole: Corpus, options: Options) -> Corpus:
    """As much of ``whole`` as a round can do in the time, but enough for the limit to be a small part of the working set.

    Never more than half of the memory that is free can hold, as the reference is built in it.
    """
    floor = FRACTION * (options.limit or SMALLEST_LIMIT) // BYTES_PER_BYTE
    wanted = max(int(options.seconds * RATE), floor)
    return whole.cut(min(wanted, memory_available() // 2 // BYTES_PER_BYTE))


def memory_available() -> int:
    """Bytes that a new process may use: what the machine has free, and what this process's memory cgroup leaves."""
    available = os.sysconf("SC_AVPHYS_PAGES") * PAGE
    with contextlib.suppress(OSError):
        words = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        available = next((int(word[1]) * 1024 for word in words if word[0] == "MemAvailable:"), available)
    for most, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        with contextlib.suppress(OSError, ValueError):  # not in a cgroup of this kind, or one without a limit
            top = Path("/sys/fs/cgroup")
            available = min(available, int((top / most).read_text()) - int((top / used).read_text()))
    return max(available, 1 << 20)


def warm_up(corpus: Corpus, work: Work) -> None:
    """A small job in RAM: what NumPy and the threads need for themselves is there before anything is measured."""
    digest(build(corpus.cut(WARM_UP), work), work)


def mapped(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array in a mapping of its own: unlike ``numpy.empty``'s, its memory does not linger in a heap afterwards."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)
