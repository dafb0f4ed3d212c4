"""NumPy's own tests, as they are and under ``hotswap run --limit 64M`` while one of three areas goes off and on without pause.

    python tools/numpy_suite.py [--parts linalg,ma,...] [--keep-going] [-- pytest's own options]

Prints a line for each part, with the counts of both; exit status 1 when they differ. Areas go to a directory of their own, which is
removed. ``flipping`` below is the pytest plugin that pulls the area and writes the counts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

PARTS = ("linalg", "ma", "lib", "random", "_core")
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
LIMIT, AREA = "64M", "6G"  # some tests make arrays of several gigabytes, and call it an expected failure when they cannot


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="of numpy, by commas (%(default)s)")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for each run")
    parser.add_argument("options", nargs="*", help="pytest's")
    given = parser.parse_args()
    same = True
    with tempfile.TemporaryDirectory(prefix="hotswap-numpy-", dir=os.environ.get("HOTSWAP_TEST_DIR")) as scratch:
        for part in given.parts.split(","):
            plain = run(part, Path(scratch), given.options, given.timeout, under=False)
            swapped = run(part, Path(scratch), given.options, given.timeout, under=True)
            equal = {name: plain.get(name) for name in OUTCOMES} == {name: swapped.get(name) for name in OUTCOMES}
            same = same and equal and swapped["flips"] > 0 and not swapped["stopped"]
            print(f"numpy.{part}: {'the same' if equal else 'DIFFERENT'}", flush=True)
            print(f"  in RAM:  {tell(plain)}\n  swapped: {tell(swapped)}", flush=True)
            if swapped["stopped"]:
                print(f"  the area went off and on no more: {swapped['stopped']}")
            for name in sorted(set(swapped["bad"]) ^ set(plain["bad"])):
                print(f"  differs: {name}", flush=True)
    return 0 if same else 1


def run(part: str, scratch: Path, options: list[str], timeout: float, under: bool) -> dict[str, Any]:
    """What one run counted."""
    result = scratch / "result.json"
    result.unlink(missing_ok=True)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "numpy_suite", "-p", "no:cacheprovider", "--tb=short"]
    words += ["-m", "not slow", "-W", "ignore", "--pyargs", f"numpy.{part}", *options]
    if under:
        areas = [word for number in range(3) for word in ("--swap", f"{scratch}/{number}.swap:{AREA}")]
        words = [sys.executable, "-m", "hotswap", "run", "--limit", LIMIT, *areas, "--", *words]
    tools = Path(__file__).resolve().parent
    paths = os.pathsep.join(filter(None, [str(tools), str(tools.parent / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "HOTSWAP_SUITE_RESULT": str(result)}
    log = scratch / "log"
    with log.open("w") as out:
        done = subprocess.run(words, env=environment, cwd=scratch, stdout=out, stderr=out, timeout=timeout, check=False)
    if not result.exists():
        sys.exit(f"{log.read_text()[-5000:]}\nthe run of numpy.{part} ended without a result (status {done.returncode})")
    counts: dict[str, Any] = json.loads(result.read_text())
    return counts


def tell(counts: dict[str, Any]) -> str:
    """In one line."""
    words = [f"{counts[name]} {name}" for name in OUTCOMES if counts[name]]
    if counts["flips"] or counts["pages_out"]:
        words.append(f"{counts['flips']} times off and on, {counts['pages_out']} pages out, {counts['pages_in']} in")
    return ", ".join([*words, f"{counts['seconds']:.0f} s"])


# --- the plugin, in the process that runs the tests -------------------------------------------------------------------


class Flipper(threading.Thread):
    """Switches an area off and on until told to stop."""

    def __init__(self, path: str):
        super().__init__(daemon=True)
        self.path, self.flips, self.done, self.pause = path, 0, threading.Event(), threading.Lock()
        self.error: Exception | None = None

    def run(self) -> None:
        import hotswap

        while not self.done.is_set():
            try:
                with self.pause:
                    hotswap.swapoff(self.path)
                    hotswap.swapon(self.path)
                self.flips += 1
            except hotswap.HotswapError as error:
                self.error = error
                return


_flipper: Flipper | None = None
_began = time.monotonic()


def pytest_collection_finish(session: object) -> None:
    global _flipper
    inside = sys.modules.get("hotswap.run.inside")
    if inside is not None and inside.heap is not None:
        import hotswap

        _flipper = Flipper(hotswap.swaps()[0].path)
        _flipper.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests that count references to small integers fail beside any other thread of Python's (before 3.12): the flipper waits."""
    if _flipper is not None and "refcount" in item.nodeid.lower():
        with _flipper.pause:
            return (yield)
    return (yield)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts: dict[str, Any] = {name: len(terminalreporter.stats.get(name, [])) for name in OUTCOMES}
    counts |= {"bad": [report.nodeid for name in ("failed", "error") for report in terminalreporter.stats.get(name, [])]}
    counts |= {"flips": 0, "pages_out": 0, "pages_in": 0, "seconds": time.monotonic() - _began}
    if _flipper is not None:
        from hotswap.run import inside

        assert inside.heap is not None
        _flipper.done.set()
        _flipper.join()
        stats = inside.heap.stats()
        counts |= {
            "stopped": str(_flipper.error or ""),
            "flips": _flipper.flips,
            "pages_out": stats["pages_out"],
            "pages_in": stats["pages_in"],
        }
    Path(os.environ["HOTSWAP_SUITE_RESULT"]).write_text(json.dumps(counts))


if __name__ == "__main__":
    sys.exit(main())
