"""``hotswap lab``: the engine's own source under a scheduler, every race under every design.

Exit codes: 0 every verdict is as expected, 1 one is not, or something was refused, 2 wrong usage (click's), 130 interrupted.
Results go to standard output, progress and errors to standard error.
"""

import shutil
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ..errors import HotswapError
from ..lab import corpus as corpus_page
from ..lab import report, runs
from ..lab.diagram import Diagram, build, html, svg, text
from ..lab.rows import SOMETIMES, Row, load, to_json


def _preemptions(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    if text is None or text == "none":
        return None if text is None else runs.UNBOUNDED
    if text.isdecimal():
        return int(text)
    raise click.BadParameter(f"{text!r} is neither a number nor 'none'.", ctx, param)


@click.group()
def lab() -> None:
    """Find races in the engine's own source, or show that they cannot be, by trying the interleavings."""


@lab.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_scenarios(as_json: bool) -> None:
    """List the scenarios: what each asks, under which designs, with which fixes switched off."""
    known = runs.scenarios()
    if as_json:
        shown = [{"scenario": s.name, "question": s.question, "cases": [asdict(case) for case in s.cases]} for s in known]
        click.echo(dumps(shown, indent=2))
    elif sys.stdout.isatty():
        Console().print(report.catalogue(known))
    else:
        for scenario in known:
            guards, switches = report.listed(scenario, "guard"), report.listed(scenario, "switch")
            click.echo(f"{scenario.name}: {scenario.question} Guards: {guards}. Switches: {switches or 'none'}.")


@lab.command()
@click.argument("name")
def show(name: str) -> None:
    """Show a scenario: its question, its source, its drawing; of each design the verdict expected, and how far the drawing goes."""
    scenario = runs.choose(runs.scenarios(), [name])[0]
    click.echo(f"{scenario.name}\n\n{scenario.question}\nSource: {scenario.source}\n")
    click.echo(_written(scenario.drawing().text) + "\n")
    for case in scenario.cases:
        switch = f" {case.switch}" if case.switch else ""
        told = runs.tell_followed(*runs.follow(scenario, case))
        click.echo(f"{case.expected:<10} {case.guard}{switch}, model {case.model}: {told}")


@lab.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Every scenario.")
@click.option("--guard", "guards", multiple=True, metavar="G", help="Only cases under this design; may be repeated.")
@click.option("--switch", "switches", multiple=True, metavar="S", help="Only cases with this fix switched off; none: as it is.")
@click.option("--model", "models", multiple=True, metavar="|".join(runs.MODELS), help="Only cases of this memory model.")
@click.option("--strategy", type=click.Choice(runs.STRATEGIES), default="exhaustive", show_default=True)
@click.option(
    "--preemptions",
    callback=_preemptions,
    metavar="N|none",
    help="At most so many in a schedule, or any number.  [default: the scenario's]",
)
@click.option("--schedules", type=click.IntRange(1), help="At most so many of a case.")
@click.option("--seconds", type=click.FloatRange(0.0, min_open=True), help="At most so long for a case.")
@click.option("--jobs", type=click.IntRange(1), help="Processes.  [default: as many as there are CPUs]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of random and pct.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--svg", "svg_file", type=click.Path(dir_okay=False, path_type=Path), help="Draw the first finding there.")
@click.option("--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="The same as a page.")
def run(
    names: tuple[str, ...],
    everything: bool,
    guards: tuple[str, ...],
    switches: tuple[str, ...],
    models: tuple[str, ...],
    strategy: str,
    preemptions: int | None,
    schedules: int | None,
    seconds: float | None,
    jobs: int | None,
    seed: int,
    as_json: bool,
    svg_file: Path | None,
    html_file: Path | None,
) -> None:
    """Explore scenarios (R12, or free-swap-and-cache) and compare the verdicts with those expected."""
    if bool(names) == everything:
        raise click.UsageError("Name scenarios, or give --all; `hotswap lab list` shows them.")
    known = runs.scenarios()
    cases = runs.select(known, runs.choose(known, names), guards, switches, models)
    limits = runs.Limits(strategy, preemptions, schedules, seconds, jobs, seed)
    watch = report.Watch(Console(stderr=True), len(cases))
    refused = _compare_drawings(cases)
    rows, at, finished = _explore(cases, limits, watch)
    if as_json:
        click.echo(to_json(rows))
    else:
        _tell(rows)
    _draw_findings(rows, svg_file, html_file, quiet=as_json)
    if not finished:
        under_way = cases[min(at, len(cases) - 1)][0].name
        how_far = report.covered(watch.coverage) if watch.coverage else "just begun"
        click.echo(f"interrupted: {at} of {len(cases)} cases are done; {under_way}: {how_far}.", err=True)
        sys.exit(130)
    wrong = [row for row in rows if not row.as_expected]
    for row in wrong:
        click.echo(f"{row.case}: {row.extent}, expected {row.expected}", err=True)
    sys.exit(1 if wrong or refused or len(rows) < len(cases) else 0)


def _compare_drawings(cases: list[tuple[runs.Scenario, runs.Case]]) -> int:
    """Drawings come first: how many races, of those that are expected, do not happen as they are drawn."""
    wrong = 0
    for scenario in {s.key: s for s, case in cases if case.expected == SOMETIMES}.values():
        try:
            reason = runs.drawn(scenario)
        except HotswapError as error:
            reason = str(error)
        if reason:
            click.echo(f"{scenario.name} is not as drawn: {reason}", err=True)
            wrong += 1
    return wrong


def _explore(
    cases: list[tuple[runs.Scenario, runs.Case]], limits: runs.Limits, watch: report.Watch
) -> tuple[list[Row], int, bool]:
    """The rows, how many cases are done, and whether all are. What one of them refuses does not stop the others."""
    rows: list[Row] = []
    at = 0
    try:
        for scenario, case in cases:
            watch.begin(f"{scenario.short} {case.guard} {case.switch} {case.model}".replace("  ", " "))
            try:
                row = runs.run(scenario, case, limits, watch)
            except HotswapError as error:
                click.echo(str(error), err=True)
            else:
                rows.append(row)
                watch.end(row)
            at += 1
    except KeyboardInterrupt:
        return rows, at, False
    finally:
        watch.close()
    return rows, at, True


def _tell(rows: list[Row]) -> None:
    if sys.stdout.isatty():
        Console().print(report.cases(rows))
        return
    for row in rows:
        replay = f", replay {row.replay}" if row.replay else ""
        figures = f"{row.schedules} schedules, {row.seconds:.1f} s"
        click.echo(f"{'as expected' if row.as_expected else 'WRONG':<11} {row.case}: {row.extent}, {figures}{replay}")


def _draw_findings(rows: list[Row], svg_file: Path | None, html_file: Path | None, quiet: bool) -> None:
    """A diagram of what was not expected, or of the one finding there is; files get the first."""
    found = [row for row in rows if row.replay]
    shown = [row for row in found if not row.as_expected] or (found if len(found) == 1 else [])
    for row in [] if quiet else shown:
        click.echo("\n" + _rendered(diagram_of(row.replay)), nl=False)
    if svg_file or html_file:
        if found:
            _write(diagram_of(found[0].replay), svg_file, html_file)
        else:
            click.echo("nothing was found, so nothing is drawn.", err=True)


@lab.command()
@click.argument("id")
@click.option("--svg", "svg_file", type=click.Path(dir_okay=False, path_type=Path), help="Draw it there.")
@click.option("--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="The same as a page.")
def replay(id: str, svg_file: Path | None, html_file: Path | None) -> None:
    """Run the schedule of an id once more, and draw it."""
    drawn = diagram_of(id)
    click.echo(_rendered(drawn), nl=False)
    _write(drawn, svg_file, html_file)


@lab.command()
@click.argument("rows", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--docs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="docs",
    show_default=True,
    help="The directory that gets races.md and races/.",
)
def corpus(rows: Path, docs: Path) -> None:
    """Make the corpus page of the docs from ROWS, the file of a `hotswap lab run --all --json`."""
    loaded, known = load(rows), runs.scenarios()
    came = _follow_drawings(loaded, {scenario.name: scenario for scenario in known})
    files = corpus_page.pages(loaded, known, lambda row: diagram_of(row.replay), lambda _scenario, row: came[row])
    corpus_page.write(docs, files)
    click.echo(f"wrote {docs / 'races.md'} and {len(files) - 1} pictures in {docs / 'races'}", err=True)


def _follow_drawings(rows: list[Row], scenarios: dict[str, runs.Scenario]) -> dict[Row, str]:
    """What comes of each row's drawing: a run of a second each, on all processors."""
    there = [row for row in rows if row.scenario in scenarios]
    with ProcessPoolExecutor(initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            told = pool.map(runs.followed, [scenarios[row.scenario] for row in there], there, chunksize=4)
            with click.progressbar(told, len(there), "following the drawings", file=sys.stderr) as shown:
                return dict(zip(there, shown))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def diagram_of(ident: str) -> Diagram:
    """The diagram of a schedule, which is run for it."""
    case, scenario, outcome = runs.replay(ident)
    return build(outcome, f"{case}: {scenario.question}", scenario.drawing().actors, [f"hotswap lab replay {ident}"])


def _rendered(drawn: Diagram) -> str:
    return text.render(drawn, shutil.get_terminal_size((100, 24)).columns, ascii_only=not _takes("…─"))


def _written(plain: str) -> str:
    return plain if _takes(plain) else text.in_ascii(plain)


def _takes(signs: str) -> bool:
    """Can standard output show these?"""
    try:
        signs.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _write(drawn: Diagram, svg_file: Path | None, html_file: Path | None) -> None:
    renderings: list[tuple[Path | None, Any]] = [(svg_file, svg.render), (html_file, html.render)]
    for path, render in renderings:
        if path:
            try:
                path.write_text(render(drawn), encoding="utf-8")
            except OSError as error:
                raise click.ClickException(f"{path} cannot be written: {(error.strerror or str(error)).lower()}.") from error
            click.echo(f"wrote {path}", err=True)
