"""The table and the picture of the documentation, from the rows of a run: ``hotswap bench --docs docs`` (``make bench-docs``).

Only what lies between two marks in ``bench.md`` is replaced; the text around them is written by hand.
"""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from ..sizes import format_size
from . import picture, report, stages
from .plan import BenchError, Row, Settings

BEGIN, END = "<!-- {}: made by `make bench-docs`, from here -->", "<!-- {}: to here -->"


_PROFILED = ("W1 seq", "W2", "W3", "W4", "W12", "W13")  # measures whose stages the page has


def check(docs: Path) -> None:
    """Refuses where ``docs/bench.md`` is missing or has no place for what a run makes."""
    page = docs / "bench.md"
    if not page.is_file():
        raise BenchError(f"{page} does not exist, so there is nowhere to put the table; give the project's docs directory.")
    for name in ("table", "profile"):
        replaced(page.read_text(), name, "", page)


def publish(docs: Path, rows: Sequence[Row], settings: Settings) -> list[str]:
    """Writes; the names of what was written. Refused where ``docs/bench.md`` has no place for the table."""
    check(docs)
    page = docs / "bench.md"
    text = replaced(page.read_text(), "table", report.markdown(rows, how(settings)), page)
    if profile := stages.markdown([row for row in rows if row.workload.startswith(_PROFILED)]):
        text = replaced(text, "profile", profile, page)
    missing = picture.draw(rows, settings, docs / "bench.png")
    page.write_text(text)
    return [str(page), missing or str(docs / "bench.png")]


def replaced(text: str, name: str, made: str, page: Path) -> str:
    begin, end = BEGIN.format(name), END.format(name)
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise BenchError(f"{page} lacks the lines {begin!r} and {end!r}; put them where the {name} belongs.")
    return f"{before}{begin}\n\n{made}\n{end}{after}"


def how(settings: Settings) -> str:
    cores = len(os.sched_getaffinity(0))
    folio = "the default settings" if settings.folio == "default" else "the folio size that suits each workload"
    return (
        f"{format_size(settings.size)} of {settings.data} data under {format_size(settings.limit)}, hotswap with {folio}; "
        f"up to {settings.repeat} rounds, {settings.seconds:g} s of touches; {cores} cores, Linux {platform.release().split('-')[0]}."
    )
