"""The corpus page of the docs: every race under every design, from the rows of a run. Generated, never written by hand.

``pages`` is told the rows, the scenarios, how to draw a finding and follow a drawing; ``write`` puts what it gives below docs/:
``races.md``, and ``races/<scenario>.svg`` for the first finding of each race.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .diagram import Diagram, svg, text
from .rows import SOMETIMES, Row, count

WIDTH = 100  # characters of a diagram in a block of the page
AUTHOR_SAID = "R12"  # nobody had provoked it, wrote its author

HEAD = """\
# The races, and what keeps them away

<!-- Made by `hotswap lab corpus` from the rows of a run; a change made here is lost. -->

Each race is a scenario of the lab: the engine's own source on a simulated seam, under a scheduler that tries the
interleavings. *sometimes* means that a schedule was found in which it goes wrong, with how many schedules that took. *never* means
that the space was explored to its end, within the bound if one is named; *not in* so many schedules means that it was not.
A diagram shows the first finding, on the design or switch that is named with it.
"""


def pages(
    rows: Sequence[Row], scenarios: Iterable[Any], draw: Callable[[Row], Diagram], followed: Callable[[Any, Row], str]
) -> dict[str, str]:
    """Path below docs/ to text. A scenario has ``name``, ``question``, ``source`` and ``drawing()``; ``draw`` replays a row's
    finding, ``followed`` tells what came of the drawing under a row's case."""
    by_name = {scenario.name: scenario for scenario in scenarios}
    names = [name for name in by_name if any(row.scenario == name for row in rows)]
    files = {}
    parts = [HEAD, summary(rows), table(rows, names)]
    for name in names:
        own = [row for row in rows if row.scenario == name]
        finding = next((row for row in own if row.replay), None)
        diagram = draw(finding) if finding else None
        told = [followed(by_name[name], row) for row in own]
        parts.append(section(by_name[name], own, told, finding, diagram))
        if diagram:
            files[f"races/{slug(name)}.svg"] = svg.render(diagram)
    return {"races.md": "\n".join(parts)} | files


def write(docs: Path, files: dict[str, str]) -> None:
    """Pictures of races that are no longer there go."""
    (docs / "races").mkdir(parents=True, exist_ok=True)
    for old in (docs / "races").glob("*.svg"):
        if f"races/{old.name}" not in files:
            old.unlink()
    for name, content in files.items():
        (docs / name).write_text(content)


def slug(name: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in name.lower()).strip("-")


def summary(rows: Sequence[Row]) -> str:
    races, found = len({row.scenario for row in rows}), sum(row.verdict == SOMETIMES for row in rows)
    wrong = [row for row in rows if not row.as_expected]
    bounded = sum(row.verdict != SOMETIMES and row.complete for row in rows)
    said = (
        f"{races} race{'s' * (races != 1)}, {len(rows)} cases, {count(sum(row.schedules for row in rows))} in "
        f"{sum(row.seconds for row in rows):,.0f} s: {found} found, {bounded} explored to the end of their bound, "
        f"{len(rows) - found - bounded} not found in the schedules that were run. "
    )
    said += f"**{len(wrong)} not as expected.**" if wrong else "All as expected."
    return said + "\n"


def table(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Race by design, of the engine as it is: a cell says verdict, schedules, seconds."""
    guards = list(dict.fromkeys(row.guard for row in rows if not row.switch))
    lines = ["## Race by design", "", f"| race | {' | '.join(f'`{g}`' for g in guards)} |", f"| --- |{' --- |' * len(guards)}"]
    for name in names:
        cells = [cell([row for row in rows if (row.scenario, row.guard, row.switch) == (name, guard, "")]) for guard in guards]
        lines.append(f"| [{name}](#{slug(name)}) | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(rows: Sequence[Row]) -> str:
    """Of one race under one design: a line a memory model, its name where there are several."""
    several = len(rows) > 1
    return "<br>".join((f"{row.model}: " if several else "") + figures(row) for row in rows) or "-"


def figures(row: Row) -> str:
    schedules = f", {count(row.schedules)}" if row.complete or row.verdict == SOMETIMES else ""
    wrong = "" if row.as_expected else f" (**expected {row.expected}**)"
    return f"{row.extent}{schedules}, {row.seconds:.1f} s{wrong}"


def section(scenario: Any, rows: Sequence[Row], told: Sequence[str], finding: Row | None, diagram: Diagram | None) -> str:
    drawn = scenario.drawing().text
    lines = [f"## {scenario.name}", "", scenario.question, "", f"Source: {scenario.source}", "", "```", drawn, "```", ""]
    lines += [
        "| design | switch | model | verdict | schedules | s | the drawing |",
        "| --- | --- | --- | --- | ---: | ---: | --- |",
    ]
    for row, came in zip(rows, told):
        wrong = "" if row.as_expected else f" (**expected {row.expected}**)"
        lines.append(
            f"| `{row.guard}` | {row.switch} | {row.model} | {row.extent}{wrong} | {row.schedules:,} | {row.seconds:.1f} "
            f"| {came} |"
        )
    lines.append("")
    if scenario.name.startswith(AUTHOR_SAID):
        lines += [provoked(rows), ""]
    if finding and diagram:
        lines += [
            f"Found under {_design(finding)} after {count(finding.schedules)} ([as a picture](races/{slug(scenario.name)}.svg)):",
            "",
            "```",
            text.render(diagram, WIDTH).rstrip("\n"),
            "```",
            "",
        ]
    return "\n".join(lines)


def _design(row: Row) -> str:
    return f"`{row.guard}`{f' {row.switch}' if row.switch else ''}, model {row.model},"


def provoked(rows: Sequence[Row]) -> str:
    """For the race whose author wrote that nobody had."""
    found = [row for row in rows if row.verdict == SOMETIMES]
    if not found:
        return "The author of this race wrote that it was theoretical; this run did not find it either."
    least = min(found, key=lambda row: row.schedules)
    return (
        f"The author of this race wrote that it was theoretical: nobody had provoked it. Here it took {count(least.schedules)} "
        f"and {least.seconds:.1f} s under {_design(least).rstrip(',')}."
    )
