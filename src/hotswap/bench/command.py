"""The ``bench`` command."""

import json
import signal
import sys
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from ..errors import HotswapError
from ..sizes import format_size, parse_size
from . import forks, guards, overhead, picture, publish, replaced, report, stages
from .data import KINDS
from .plan import ALIASES, SYSTEMS, WORKLOADS, BenchError, Row, Settings, choose, steps_of, whole_mib
from .progress import Progress
from .runner import failed, left_out, run


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--only",
    multiple=True,
    metavar="W1,W2",
    help=f"Workloads to run: {', '.join(f'{w} {n.lower()}' for n, w in ALIASES.items())}.",
)
@click.option("--systems", multiple=True, metavar="A,B", help=f"Systems to run: {', '.join(SYSTEMS)}.")
@click.option("--size", default="2G", show_default=True, help="Bytes of data; W4 sorts half.")
@click.option("--limit", default="512M", show_default=True, help="Memory that hotswap and the caged peers may use.")
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(1), help="Rounds, or windows of time.")
@click.option(
    "--seconds", default=10.0, show_default=True, type=click.FloatRange(0.01), help="Of touching in W2, W3, W10 and W13."
)
@click.option(
    "--data",
    default="random",
    show_default=True,
    metavar="|".join(KINDS),
    help="What the array holds; smooth compresses.",
)
@click.option("--scratch", default="/var/tmp", show_default=True, type=click.Path(path_type=Path), help="Where swap files go.")
@click.option(
    "--out",
    default="bench-out",
    show_default=True,
    type=click.Path(path_type=Path),
    help="For bench.json and bench.png.",
)
@click.option(
    "--folio",
    default="default",
    show_default=True,
    type=click.Choice(["default", "suited"]),
    help="One setting for all workloads, or the folio size that suits each.",
)
@click.option(
    "--timeout", default=0.0, type=click.FloatRange(0), help="Seconds a step may take [default: 4 times what it should]."
)
@click.option("--profile", is_flag=True, help="Also where the time of hotswap's faults goes, by stage.")
@click.option("--add", is_flag=True, help="Keep the rows that OUT has of other workloads, if its settings are the same.")
@click.option("--docs", type=click.Path(path_type=Path), help="Put table and picture into bench.md and bench.png there.")
@click.option("--json", "as_json", is_flag=True, help="Rows as JSON on standard output, all else on standard error.")
def bench(
    names: tuple[str, ...],
    only: tuple[str, ...],
    systems: tuple[str, ...],
    size: str,
    limit: str,
    repeat: int,
    seconds: float,
    data: str,
    scratch: Path,
    out: Path,
    folio: str,
    timeout: float,
    profile: bool,
    add: bool,
    docs: Path | None,
    as_json: bool,
) -> None:
    """Compare hotswap with RAM, numpy.memmap, dask and (as root) the kernel's own swap, every result checked.

    NAME is a workload, as with --only. Exit status 1 when a result was wrong or hotswap gave none. With --profile only hotswap runs,
    unless --systems says otherwise, on W1, W2 and W3, unless workloads are named; with --docs it changes neither.

    ``hotswap bench guards`` compares the designs that keep an area from vanishing under its users instead, ``hotswap bench
    overhead`` a program that stays below its limit with and without ``hotswap run``, ``hotswap bench
    fork`` what a fork costs, ``hotswap bench reclaim`` how well what leaves memory is chosen, against FIFO and the best there can be; of the options they take --repeat, --seconds, --scratch, --out and --json.
    """
    console = Console(stderr=True)
    if [name.lower() for name in names] in (["guards"], ["overhead"], ["fork"], ["reclaim"]):
        sys.exit(_apart(names[0].lower(), seconds, repeat, scratch, out, as_json, console))
    if profile and docs is None:
        systems = systems or ("hotswap",)
        names = names if names or only else ("W1", "W2", "W3")
    try:
        settings = Settings(
            size=whole_mib(parse_size(size, "--size"), "--size"),
            limit=whole_mib(parse_size(limit, "--limit"), "--limit"),
            workloads=choose([*names, *only], tuple(WORKLOADS), "workload"),
            systems=choose(systems, tuple(SYSTEMS), "system"),
            repeat=repeat,
            seconds=seconds,
            data=choose([data], KINDS, "data")[0],
            scratch=scratch,
            folio=folio,
            timeout=timeout,
            profile=profile,
        )
        kept = earlier(out, settings) if add else []
        if docs is not None:
            publish.check(docs)  # now rather than after an hour
        rows, finished = _measure(settings, console)
    except HotswapError as error:
        raise click.ClickException(str(error)) from error
    rows = [r for r in kept if r.workload not in {row.workload for row in rows}] + rows
    written = write(out, rows, settings)
    if docs is not None and finished:
        try:
            written += publish.publish(docs, rows, settings)
        except HotswapError as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(report.to_json(rows))
    else:
        screen = Console() if sys.stdout.isatty() else Console(width=150)
        report.show(rows, screen)
        stages.show(rows, screen)
    click.echo(f"wrote {', '.join(written)}", err=True)
    if not finished:
        click.echo("interrupted; everything that was set up has been taken away again.", err=True)
        sys.exit(130)
    sys.exit(1 if failed(rows) else 0)


def write(out: Path, rows: list[Row], settings: Settings) -> list[str]:
    """Everything that a run says, into ``out``; the names of what was written, or why not."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(report.to_json(rows) + "\n")
    (out / "settings.json").write_text(json.dumps(settings.as_json(), indent=2) + "\n")
    (out / "bench.md").write_text(report.markdown(rows, publish.how(settings)) + stages.markdown(rows))
    missing = picture.draw(rows, settings, out / "bench.png")
    return [*(str(out / name) for name in ("bench.json", "settings.json", "bench.md")), missing or str(out / "bench.png")]


def earlier(out: Path, settings: Settings) -> list[Row]:
    """The rows of the run before, where it was one with the same settings."""
    if not (out / "bench.json").exists():
        return []
    ignored = ("workloads", "systems", "scratch", "timeout")
    mine, its = settings.as_json(), json.loads((out / "settings.json").read_text())
    if differing := [name for name in mine if name not in ignored and mine[name] != its.get(name)]:
        raise BenchError(
            f"the rows in {out} are of a run with another {', '.join(differing)}; leave --add out, or give another --out."
        )
    return [Row.from_json(row) for row in json.loads((out / "bench.json").read_text())]


def _apart(name: str, seconds: float, repeat: int, scratch: Path, out: Path, as_json: bool, console: Console) -> int:
    """A benchmark with systems and a table of its own. The exit status."""
    what, measure = {
        "guards": (guards, guards.run_guards),
        "overhead": (overhead, overhead.run_overhead),
        "fork": (forks, forks.run_forks),
        "reclaim": (replaced, replaced.run_reclaim),
    }[name]
    rows: list[Row] = []
    progress = Progress(console)
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        measure(seconds, repeat, scratch, progress, rows)
    except HotswapError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted; everything that was set up has been taken away again.", err=True)
        return 130
    finally:
        progress.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(report.to_json(rows) + "\n")
    (out / f"{name}.md").write_text(what.markdown(rows))
    if as_json:
        click.echo(report.to_json(rows))
    else:
        what.show(rows, Console() if sys.stdout.isatty() else Console(width=190))
    click.echo(f"wrote {out / f'{name}.json'}, {out / f'{name}.md'}", err=True)
    return 1 if what.failed(rows) else 0


def _measure(settings: Settings, console: Console) -> tuple[list[Row], bool]:
    """The rows, and whether the run came to its end."""
    rows: list[Row] = []
    progress = Progress(console)
    size, limit = format_size(settings.size), format_size(settings.limit)
    click.echo(f"{size} of {settings.data} data under a limit of {limit}, swap in {settings.scratch}", err=True)
    if settings.size <= settings.limit:
        click.echo("note: the data fit in the limit, so nothing will be swapped.", err=True)
    reasons: dict[str, list[str]] = {}
    for workload, system in steps_of(settings):
        if reason := left_out(workload, system):
            reasons.setdefault(f"{system} is {reason}", []).append(workload)
    for reason, workloads in reasons.items():
        click.echo(f"note: {', '.join(workloads)}: {reason}", err=True)
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        run(settings, progress, rows)
        return rows, True
    except KeyboardInterrupt:
        return rows, False
    finally:
        progress.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
