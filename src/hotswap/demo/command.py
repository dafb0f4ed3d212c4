"""``hotswap demo``: options, the final line or object, exit codes (0 all is true, 1 it is not, 130 Ctrl-C)."""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from ..errors import SizeError
from ..sizes import parse_size
from .engine import Hotswap, MakeEngine
from .live import View
from .run import Options, Run
from .verdict import OK, Outcome, judge, sentence

STALLED = 120.0  # seconds without any progress after which a run is given up
_REDRAW = 0.125  # seconds


class Size(click.ParamType[int]):
    """A size such as 64M, in bytes."""

    name = "size"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_size(value, (param.name if param else None) or "size")
        except SizeError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=45.0, show_default=True, help="How long the job should take.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and nothing else, to standard output.")
@click.option("--limit", type=Size(), help="Resident memory the job's arrays may take.  [default: 1/12 of the working set]")
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the area files go.  [default: the first directory on a disk of $TMPDIR, /var/tmp, the current one, /tmp]",
)
@click.option("--threads", type=click.IntRange(1, 64), default=4, show_default=True, help="Threads of the job.")
@click.option("--folio", type=Size(), default="64K", show_default=True, help="How much is moved at once.")
def demo(seconds: float, as_json: bool, limit: int | None, scratch: Path | None, threads: int, folio: int) -> None:
    """Run a real job in a fraction of its memory while its swap areas are pulled, and check the result.

    Four threads build a sorted index of every 8-byte n-gram of the installed Python's standard library, all arrays in a
    Space whose limit is a twelfth of the working set. There are three swap areas, and each in turn is switched off and
    on as fast as it goes. Every page is checked when it is read back, and the index must be the one built in RAM, by
    another process, before.

    The text is cut to what a round of the job does in --seconds on a slow disk (but not so far that the limit would be
    more than a twelfth of the working set), and rounds are repeated until --seconds have passed; building the index in
    RAM first comes on top. No privileges are needed. The files take about twice the working set and are removed at the
    end.

    Exits with 0 if no page was lost, the index is the right one, swapoffs finished, none failed, and memory stayed
    within the limit; with 1, and the reason, if not.
    """
    options = Options(seconds, limit, folio, threads, scratch)
    sys.exit(run_demo(options, Hotswap, as_json))


def run_demo(options: Options, make_engine: MakeEngine, as_json: bool) -> int:
    """Runs it, shows it, prints the verdict; the exit code."""
    run = Run(options, make_engine)
    with _terminated_like_interrupted():
        try:
            run.start()
            stalled = _watch(run)
        except KeyboardInterrupt:
            click.echo("stopping: the last swapoff finishes, then the files are removed", err=True)
            run.stop()
            if not run.wait(STALLED):
                _abandon(run, 130)
            return 130
    if stalled:
        run.outcome.error = stalled
    _print(run.outcome, as_json)
    if stalled:
        _abandon(run, 1)
    return 0 if judge(run.outcome) == OK else 1


def _watch(run: Run) -> str:
    """Shows ``run`` until it ends. A sentence if it stopped making progress instead, else empty."""
    last, since = None, time.monotonic()
    with View(run, Console(stderr=True)) as view:
        while not run.wait(_REDRAW):
            view.show()
            sign = (run.progress.snapshot().ticks, run.stage, run.stage_fraction)
            if sign != last:
                last, since = sign, time.monotonic()
            elif time.monotonic() - since > STALLED:
                where = run.progress.snapshot().phase if run.engine else run.stage
                return f"nothing has moved for {STALLED:.0f} seconds ({where})"
    return ""


def _print(outcome: Outcome, as_json: bool) -> None:
    click.echo(json.dumps(outcome.as_json(), default=str) if as_json else sentence(outcome))


def _abandon(run: Run, code: int) -> None:
    """Leaves a process whose threads do not end, without waiting for them, but not without its files."""
    if run.outcome.scratch:
        shutil.rmtree(run.outcome.scratch, ignore_errors=True)
    sys.stdout.flush()
    os._exit(code)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM, and a terminal that goes away, clean up too."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
