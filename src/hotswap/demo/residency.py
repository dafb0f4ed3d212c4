"""Resident memory by the kernel's own figures: what a space adds to a process, at its highest.

The baseline is taken before the space exists, once hotswap is imported and after a small job has run in ordinary memory,
so that NumPy, the threads and their heaps are warm. From then on counts the larger of two figures, each less its baseline:

- the kernel's own peak of the resident set (``VmHWM``, reset through ``/proc/self/clear_refs``), which misses nothing;
- anonymous and shared memory, and what the machine's own swap took of it, sampled every 20 ms.

``EXTRA`` is what is allowed on top of a space's limit, whatever the limit: hotswap's tables, 4 MiB that a swapoff has in
hand and thread stacks; what the job's temporaries take beyond the small job's, the sums of its pages (a 512th of the working
set), the live table, and code of the libraries that was not in use before. Measured: 12 MiB with all of the standard library,
31 MB of text.
"""

import contextlib
import threading
from pathlib import Path
from typing import NamedTuple

EXTRA = 16 << 20  # bytes
_EVERY = 0.02  # seconds
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): reset the peak resident set size


class Figures(NamedTuple):
    """Bytes, from ``/proc/self/status``."""

    resident: int  # VmRSS
    highest: int  # VmHWM
    held: int  # anonymous and shared pages, in memory or in the machine's own swap


def figures() -> Figures:
    """The process's figures now."""
    lines = (line.split() for line in _STATUS.read_text().splitlines())
    field = {words[0]: int(words[1]) * 1024 for words in lines if len(words) == 3 and words[2] == "kB"}
    held = sum(field.get(name, 0) for name in ("RssAnon:", "RssShmem:", "VmSwap:"))
    return Figures(field["VmRSS:"], field["VmHWM:"], held)


class Residency:
    """Measures from its creation, which takes the baseline, to ``finish``. ``current`` and ``peak`` any time between."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):  # a kernel without it, or a sandbox: then sampling has to do
            _CLEAR.write_text(_RESET_PEAK)
        self.baseline = figures()
        self.kernel_peak = self.baseline.highest - self.baseline.resident < 1 << 20  # was it reset?
        self._lock = threading.Lock()  # guards the two below
        self._peak = 0
        self._current = 0
        self._finish = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="demo-residency", daemon=True)
        self._sampler.start()

    @property
    def current(self) -> int:
        """Bytes above the baseline at the last sample."""
        with self._lock:
            return self._current

    @property
    def peak(self) -> int:
        """The most bytes above the baseline so far."""
        with self._lock:
            return self._peak

    def finish(self) -> int:
        """Stops measuring; the peak."""
        self._finish.set()
        self._sampler.join()
        self._look()
        return self.peak

    def _sample(self) -> None:
        while not self._finish.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        now = figures()
        held = now.held - self.baseline.held
        highest = now.highest - self.baseline.resident if self.kernel_peak else held
        with self._lock:
            self._current = max(held, 0)
            self._peak = max(self._peak, held, highest)
