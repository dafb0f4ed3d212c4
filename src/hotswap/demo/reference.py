"""The same job in ordinary memory, in a process of its own, so that its memory is not counted as the demo's.

``python -m hotswap.demo.reference --bytes N --threads T`` prints JSON, a line each: progress now and then, and last the
result with ``digest``, ``seconds``, ``working_set`` (bytes) and ``distinct``.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import click
import numpy as np

from ..errors import HotswapError
from .corpus import standard_library
from .job import Work, build, digest


class Reference(NamedTuple):
    """What the job in RAM came to."""

    digest: str
    seconds: float
    working_set: int
    distinct: int


def run_reference(size: int, threads: int, report: Callable[[str, float], None]) -> Reference:
    """Runs the job in a child. ``report`` gets a phase and the fraction done. Raises ``HotswapError`` if it fails."""
    command = [sys.executable, "-m", __name__, "--bytes", str(size), "--threads", str(threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout and child.stderr
        result: dict[str, Any] = {}
        complaints: list[str] = []
        listener = threading.Thread(target=lambda pipe: complaints.extend(pipe), args=(child.stderr,), daemon=True)
        listener.start()
        try:
            for line in child.stdout:
                result = json.loads(line)
                if "phase" in result:
                    report(result["phase"], result["fraction"])
        except BaseException:
            child.kill()
            raise
        code = child.wait()
        listener.join()
    if code or "digest" not in result:
        why = complaints[-1].strip() if complaints else f"exit code {code}" + (", out of memory?" if code == -9 else "")
        raise HotswapError(f"The job in RAM, which the result is compared with, failed ({why}); try a shorter --seconds.")
    return Reference(**result)


@click.command()
@click.option("--bytes", "size", type=int, required=True)
@click.option("--threads", type=int, default=4)
def main(size: int, threads: int) -> None:
    """Builds the index in RAM and prints its digest."""
    work = Work(np.empty, threads)
    finished = threading.Event()

    def tell() -> None:
        while not finished.wait(0.25):
            now = work.progress.snapshot()
            print(json.dumps({"phase": now.phase, "fraction": now.round_fraction}), flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    begun = time.monotonic()
    index = build(standard_library().cut(size), work)
    result = Reference(digest(index, work), time.monotonic() - begun, work.ledger.peak, index.grams.size)
    finished.set()
    teller.join()
    print(json.dumps(result._asdict()), flush=True)


if __name__ == "__main__":
    main()
