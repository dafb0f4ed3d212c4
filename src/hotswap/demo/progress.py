"""How far a job is, and how it is told to stop. Any thread may report, read or stop; nothing here sleeps."""

import threading
from typing import NamedTuple


class Stopped(Exception):
    """Raised in a job's threads by their next report after ``Progress.stop``."""


class Snapshot(NamedTuple):
    """One moment: ``done`` of ``total`` elements in phase number ``phase_number`` (from 1) of ``phases``."""

    round: int
    phase: str
    phase_number: int
    phases: int
    done: int
    total: int
    ticks: int  # reports since the beginning, over all rounds: stands still only when the job does

    @property
    def fraction(self) -> float:
        """Of this phase, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def round_fraction(self) -> float:
        """Of the whole round, counting every phase the same, 0 to 1."""
        return min(1.0, (max(self.phase_number, 1) - 1 + self.fraction) / self.phases) if self.phases else 0.0


class Progress:
    """Counts elements. ``_lock`` guards every field but the stop flag."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = Snapshot(0, "starting", 0, 0, 0, 0, 0)
        self._stop = threading.Event()

    def begin_round(self, phases: int) -> None:
        with self._lock:
            self._now = Snapshot(self._now.round + 1, "starting", 0, phases, 0, 0, self._now.ticks + 1)

    def begin(self, phase: str, total: int) -> None:
        with self._lock:
            now = self._now
            self._now = now._replace(phase=phase, phase_number=now.phase_number + 1, done=0, total=total, ticks=now.ticks + 1)

    def tick(self, elements: int) -> None:
        """Reports ``elements`` more as done. Raises ``Stopped`` once the job has been told to stop."""
        if self._stop.is_set():
            raise Stopped
        with self._lock:
            self._now = self._now._replace(done=self._now.done + elements, ticks=self._now.ticks + 1)

    def stop(self) -> None:
        self._stop.set()

    def snapshot(self) -> Snapshot:
        with self._lock:
            return self._now
