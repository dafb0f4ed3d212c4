"""``hotswap bench overhead``: what ``hotswap run`` costs a program that never exceeds its limit.

The same program as it is and under ``hotswap run``, in turn, the whole of it from the start of the process to its end; parts are
timed by the program itself. A value is the median of the repeats, a ratio the median of those of neighbours. Results are compared.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from .plan import BenchError, Row, Settings
from .progress import Progress, figure
from .source import SOURCE
from .workloads import Report

LIMIT, AREA = "4G", "64M"
WHOLE = "the whole program"
PLAIN, UNDER, RATIO = "as it is", "hotswap run", "ratio"
AT_MOST = 1.05  # times the program as it is
_PROGRAM = str(Path(__file__).with_name("overhead_program.py"))


def run_overhead(seconds: float, repeat: int, scratch: Path, progress: Progress, rows: list[Row]) -> None:
    """Appends to ``rows``. ``seconds`` is of no use here: the program takes as long as it takes."""
    progress.plan([7.0] * repeat * 2)
    found: dict[str, list[dict[str, float]]] = {PLAIN: [], UNDER: []}
    checksums: set[float] = set()
    area = scratch / f"hotswap-overhead-{os.getpid()}.swap"
    try:
        for turn in range(repeat):
            for system in (PLAIN, UNDER):
                progress.begin(f"{system}, turn {turn + 1} of {repeat}")
                parts, checksum = _once(system, area)
                found[system].append(parts)
                checksums.add(checksum)
                progress.end([Row(WHOLE, system, "s", parts[WHOLE], len(checksums) == 1)])
    finally:
        area.unlink(missing_ok=True)
    for part in found[PLAIN][0]:
        for system, unit in ((PLAIN, "s"), (UNDER, "s"), (RATIO, "times")):
            row = Row(part, system, unit, verified=len(checksums) == 1)
            if system == RATIO:
                row.samples = [under[part] / plain[part] for plain, under in zip(found[PLAIN], found[UNDER])]
            else:
                row.samples = [parts[part] for parts in found[system]]
            row.value = median(row.samples)
            rows.append(row)


def _once(system: str, area: Path) -> tuple[dict[str, float], float]:
    """Seconds by part, and the checksum."""
    words = [sys.executable, _PROGRAM]
    if system == UNDER:
        words = [sys.executable, "-m", "hotswap", "run", "--limit", LIMIT, "--swap", f"{area}:{AREA}", "--", *words]
    path = os.pathsep.join(p for p in (str(SOURCE), os.environ.get("PYTHONPATH", "")) if p)
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=os.environ | {"PYTHONPATH": path}, check=False)
    whole = time.monotonic() - began
    if done.returncode:
        raise BenchError(f"the program ended with status {done.returncode} ({system}): {done.stderr.strip()[-300:]}")
    told = json.loads(done.stdout)
    return {**told["seconds"], WHOLE: whole}, told["checksum"]


def run_within(settings: Settings, report: Report) -> str | None:
    """W11: the whole program, as it is and under ``hotswap run`` in turn. What was wrong, or None."""
    checksums: set[float] = set()
    for _ in range(settings.repeat):
        for system, named in ((PLAIN, "ram"), (UNDER, "hotswap")):
            parts, checksum = _once(system, settings.scratch / "within.swap")
            report("W11 within", parts[WHOLE], named)
            checksums.add(checksum)
    return None if len(checksums) == 1 else "the results with and without hotswap run differ"


def failed(rows: Sequence[Row]) -> bool:
    """Whether a result was wrong."""
    return not rows or not all(row.verified for row in rows)


def goal(rows: Sequence[Row]) -> str:
    (times,) = (row.value for row in rows if row.workload == WHOLE and row.system == RATIO)
    assert times is not None
    verdict = "reached" if times <= AT_MOST else "MISSED "
    return f"{verdict}  the whole program takes {times:.3f} of at most {AT_MOST:g} times as long under hotswap run"


def show(rows: Sequence[Row], console: Console) -> None:
    """A line for each part."""
    table = Table("part", PLAIN, UNDER, RATIO)
    for part in dict.fromkeys(row.workload for row in rows):
        values = {row.system: row.value for row in rows if row.workload == part}
        table.add_row(part, f"{figure(values[PLAIN])} s", f"{figure(values[UNDER])} s", f"{values[RATIO]:.3f}")
    console.print(table)
    console.print(goal(rows))


def markdown(rows: Sequence[Row]) -> str:
    """The same, for the documentation."""
    lines = [f"| part | {PLAIN} | {UNDER} | {RATIO} |", "| --- | --- | --- | --- |"]
    for part in dict.fromkeys(row.workload for row in rows):
        values = {row.system: row.value for row in rows if row.workload == part}
        lines.append(f"| {part} | {figure(values[PLAIN])} s | {figure(values[UNDER])} s | {values[RATIO]:.3f} |")
    return "\n".join(lines) + "\n"
