"""The benchmark's own checks: its figures are looked at by ``make bench``, here only that they can be trusted."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from hotswap.bench import cgroup, data, forks, janitor, jobs_data, overhead, picture, report, runner, systems, workloads
from hotswap.bench.command import bench
from hotswap.bench.plan import (
    MIB,
    NO_WAY,
    SYSTEMS,
    TAKES_PART,
    WORKLOADS,
    BenchError,
    Row,
    Settings,
    choose,
    steps_of,
)
from hotswap.bench.progress import Progress

ROWS = [
    Row("disk", "direct-seq", "GB/s", 1.2, True),
    Row("W1 seq read", "hotswap", "GB/s", 0.9, True, samples=[0.8, 0.9, 1.0]),
    Row("W1 seq read", "kernel-file", "GB/s", 0.3, True, samples=[0.3]),
    Row("W4 sort", "hotswap", "s", 10.0, True, peak_rss=1 << 29, samples=[10.0]),
    Row("W4 sort", "kernel-file", "s", 25.0, True),
    Row("W4 sort", "kernel-zram", "s", None, None, note="killed by the kernel's OOM"),
]


def settings(scratch: Path, **more: object) -> Settings:
    return Settings(size=8 * MIB, limit=4 * MIB, repeat=1, seconds=0.05, scratch=scratch, **more)  # type: ignore[arg-type]


def quiet() -> Progress:
    return Progress(Console(file=io.StringIO()))


# --- rows, ratios, tables


def test_a_row_has_the_named_keys_and_extras_only_where_there_is_something_to_say() -> None:
    plain, full, nothing = (row.as_json() for row in (ROWS[0], ROWS[3], ROWS[5]))
    assert list(plain) == ["workload", "system", "unit", "value", "verified"]
    assert set(full) - set(plain) == {"peak_rss", "spread", "samples"}
    assert nothing["value"] is None and nothing["verified"] is None and nothing["note"]
    assert json.loads(report.to_json(ROWS)) == [row.as_json() for row in ROWS]


def test_a_ratio_above_one_means_better_for_rates_and_for_seconds() -> None:
    assert report.ratio(ROWS, "W1 seq read", "kernel-file") == pytest.approx(3.0)
    assert report.ratio(ROWS, "W4 sort", "kernel-file") == pytest.approx(2.5)
    assert report.ratio(ROWS, "W4 sort", "kernel-zram") is None
    assert report.ratio(ROWS, "W4 sort", "memmap") is None


def test_the_ratios_come_before_the_figures() -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    report.show(ROWS, console)
    text = console.export_text()
    assert text.index("3x") < text.index("2.5x") < text.index("0.9 GB/s") < text.index("killed by the kernel's OOM")
    assert "MISSED   W1 seq read: 3 of at least 5 times kernel-file" in text
    assert "reached  W4 sort: 2.5 of at least 2.5 times kernel-file" in text
    assert "MISSED   W1 seq read: 0.75 of at least 0.85 times disk" in text


def test_a_wrong_result_or_no_result_of_hotswap_fails_the_run() -> None:
    assert not runner.failed(ROWS)
    assert runner.failed([*ROWS, Row("W2 random", "memmap", "touches/s", 1.0, False)])
    assert runner.failed([*ROWS, Row("W2 random", "hotswap", "touches/s", None, None, note="ImportError")])


def test_without_matplotlib_there_is_a_sentence_instead_of_a_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "matplotlib is not installed" in picture.draw(ROWS, settings(tmp_path), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


# --- names and sizes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["W99"], f"there is no workload 'W99'; choose from {', '.join(WORKLOADS)}."),
        (["--only", "W1,nope"], f"there is no workload 'nope'; choose from {', '.join(WORKLOADS)}."),
        (["W9", "--systems", "ram"], "none of the systems ram takes part in W9."),
        (["--systems", "ram,disk"], f"there is no system 'disk'; choose from {', '.join(SYSTEMS)}."),
        (["--data", "odd"], "there is no data 'odd'; choose from random, smooth."),
        (["--size", "1K"], "--size 1024 bytes is too small"),
        (["--limit", "lots"], "--limit 'lots' is not a size"),
        (["--scratch", "/nonexistent"], "the scratch directory /nonexistent does not exist"),
        (["--size", "4096T"], "give another directory with --scratch or a smaller --size."),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(bench, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert said in result.stderr and result.stdout == ""
    assert not (tmp_path / "out").exists()


def test_names_come_in_the_order_of_the_table_in_any_case_and_by_alias() -> None:
    assert choose(["w3,W1", "sort"], tuple(WORKLOADS), "workload") == ("W1", "W3", "W4")
    assert choose([], tuple(WORKLOADS), "workload") == tuple(WORKLOADS)


# --- runs


def test_a_tiny_run_gives_json_alone_on_standard_output_and_the_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # a cgroup of 8 MiB takes a memmap many seconds
    monkeypatch.setattr("hotswap.bench.disk._SECONDS", 0.1)
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    arguments = ["W1", "--only", "W2", "--systems", "ram,memmap,kernel-file", "--json"]
    arguments += ["--size", "16M", "--limit", "8M", "--repeat", "1", "--seconds", "0.1"]
    result = CliRunner().invoke(bench, [*arguments, "--scratch", str(scratch), "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert rows == json.loads((out / "bench.json").read_text())
    assert {"workload", "system", "unit", "value", "verified"} <= set(rows[0])
    measured = [r for r in rows if r["system"] in ("ram", "memmap")]
    assert [(r["workload"], r["system"]) for r in measured] == [
        (name, system)
        for names in (("W1 seq write", "W1 seq read"), ("W2 random",))
        for system in ("ram", "memmap")
        for name in names
    ]
    assert all(r["value"] > 0 and r["verified"] is True and r["peak_rss"] > 16 * MIB for r in measured)
    assert all("not held to the limit" in r["note"] for r in measured if r["system"] == "memmap")
    assert all(r["value"] is None and "need root" in r["note"] for r in rows if r["system"] == "kernel-file")
    assert json.loads((out / "settings.json").read_text())["size"] == 16 * MIB
    assert list(scratch.iterdir()) == []
    pytest.importorskip("matplotlib")
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("workload", [w for w in WORKLOADS if "ram" in TAKES_PART.get(w, SYSTEMS)])
def test_one_flipped_bit_in_the_childs_array_is_caught(workload: str, tmp_path: Path) -> None:
    if workload == "W7":
        pytest.importorskip("pandas")
    right = runner.step(settings(tmp_path), workload, "ram", quiet())
    wrong = runner.step(settings(tmp_path, corrupt=True), workload, "ram", quiet())
    assert [r.verified for r in right] == [True] * len(right) and not runner.failed(right)
    assert {r.verified for r in wrong if r.value is not None} == {False} and runner.failed(wrong)
    assert all(r.note.startswith("WRONG: ") for r in wrong if r.value is not None)


def test_a_child_that_dies_gives_a_row_and_not_an_exception(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (row,) = runner.step(settings(tmp_path), "W2", "hotswap", quiet())
    assert (row.value, row.verified, row.note) == (None, None, "ended with status 1")
    assert runner.failed([row])


def test_a_child_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "give_up_after", lambda settings, workload, system: 0.5)
    (row,) = runner.step(Settings(8 * MIB, 4 * MIB, seconds=60, scratch=tmp_path), "W3", "ram", quiet())
    assert row.value is None and row.note == "gave up after 0 s"


@contextmanager
def begun(tmp_path: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """``hotswap bench`` with its first child at work, scratch files in ``tmp_path / "scratch"``; killed in the end."""
    (tmp_path / "scratch").mkdir()
    places = ["--scratch", str(tmp_path / "scratch"), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "hotswap.bench", "W4", "--size", "256M", "--repeat", "50", *words, *places],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(runner.__file__).parents[2])},
    )
    try:
        assert process.stderr is not None
        while "[1/2]" not in process.stderr.readline():
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_terminated_run_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with begun(tmp_path, "--systems", "ram", "--json") as process:
        time.sleep(0.5)  # the child is at work
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "interrupted" in err
    assert [r["workload"] for r in json.loads(out)] == ["disk"] * 3
    assert list((tmp_path / "scratch").iterdir()) == []


# --- the data and the checks


@pytest.mark.parametrize("kind", data.KINDS)
def test_every_page_differs_from_every_other_and_every_word_is_a_finite_float(kind: str) -> None:
    words = np.empty(2 * data.CHUNK_WORDS, dtype=np.uint64)
    data.Pattern(kind, 1).fill(words)
    assert len(np.unique(words.reshape(-1, 512), axis=0)) == 512
    assert np.isfinite(words.view(np.float32)).all()


def test_exchanged_pages_and_a_lost_touch_are_seen() -> None:
    pattern, words = data.Pattern("random", 1), np.empty(data.CHUNK_WORDS, dtype=np.uint64)
    pattern.fill(words)
    assert workloads.compare(words, pattern, None) is None
    counts = np.zeros(256, dtype=np.uint32)
    loop = workloads._TouchLoop(words, counts, data.zipf(256, 1))
    loop.run(0.01)
    loop.settle()
    assert counts.any() and workloads.compare(words, pattern, counts) is None
    counts[7] += 1
    assert "page 7" in str(workloads.compare(words, pattern, counts))
    pattern.fill(words)
    pages = words.reshape(-1, 512)
    pages[[3, 5]] = pages[[5, 3]]
    assert "page 3" in str(workloads.compare(words, pattern, None))


def test_a_sorted_array_with_a_value_replaced_or_out_of_order_is_seen() -> None:
    pattern, words = data.Pattern("random", 1), np.empty(2 * data.CHUNK_WORDS, dtype=np.uint64)
    pattern.fill(words)
    expected = workloads._multiset(pattern, words.nbytes)
    floats = words.view(np.float32)
    floats.sort()
    assert workloads.compare_sorted(words, expected) is None
    floats[1000] = floats[1001]
    assert "does not hold the values" in str(workloads.compare_sorted(words, expected))
    floats[-1] = 0
    assert "out of order" in str(workloads.compare_sorted(words, expected))


def test_touches_are_the_same_for_every_system_and_zipf_has_a_hot_set() -> None:
    for source in (data.uniform, data.zipf):
        assert (source(1000, 5)(500) == source(1000, 5)(500)).all()
    hits = np.bincount(data.zipf(1000, 5)(20_000), minlength=1000)
    assert np.sort(hits)[-100:].sum() > 10_000 > np.sort(np.bincount(data.uniform(1000, 5)(20_000)))[-100:].sum()


@pytest.mark.parametrize(("folio", "told"), [("default", {}), ("suited", {"folio": "1M"})])
def test_hotswap_is_used_by_its_fixed_names_and_its_area_is_switched_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folio: str, told: dict[str, str]
) -> None:
    assert set(systems.FOLIO) == set(WORKLOADS)
    monkeypatch.setenv("HOTSWAP_FAULTS", "thread")
    calls: list[object] = []

    class Space:
        def __init__(self, **limits: str):
            calls.append(limits)

        def empty(self, shape: tuple[int, ...], dtype: str) -> data.Floats:
            return np.empty(shape, dtype)

    fake = SimpleNamespace(
        swapon=lambda path, size: calls.append((path, size)),
        swapoff=lambda path: calls.append(path),
        swaps=list,
        Space=Space,
        arrays=None,
    )
    monkeypatch.setitem(sys.modules, "hotswap", fake)
    systems.prepare("hotswap")
    chosen = settings(tmp_path, folio=folio)
    with systems.opened("hotswap", "W1", chosen) as memory:
        assert workloads.run("W1", memory, chosen, lambda measure, value, system="": None) is None
    area = str(tmp_path / "a.swap")
    assert calls == [(area, f"{18 << 10}K"), {"limit": f"{4 << 10}K", **told}, area]


# --- cgroups, on a tree that is only files

V1 = "32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu\n35 31 0:32 {root} /cg/memory rw - cgroup cgroup rw,memory\n"
V2 = "38 31 0:38 {root} /cg rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_version_1_is_found_below_the_own_cgroup(tmp_path: Path) -> None:
    own = tmp_path / "cg/memory/job/7"
    own.mkdir(parents=True)
    both = V1.format(root="/") + V2.format(root="/")
    assert cgroup.find(both, "4:memory:/job/7\n0::/\n", tmp_path) == cgroup.Hierarchy(1, own)
    container = cgroup.find(V1.format(root="/docker/a"), "4:memory:/docker/a/job/7\n", tmp_path)
    assert container == cgroup.Hierarchy(1, own)
    assert cgroup.find(both, "4:memory:/elsewhere\n", tmp_path).parent == tmp_path / "cg/memory"


def test_version_2_is_found_at_the_nearest_ancestor_that_hands_the_controller_on(tmp_path: Path) -> None:
    own = tmp_path / "cg/user.slice/session"
    own.mkdir(parents=True)
    for at, controllers in ((own, ""), (own.parent, "cpu memory"), (tmp_path / "cg", "memory")):
        (at / "cgroup.subtree_control").write_text(controllers)
    found = cgroup.find(V2.format(root="/"), "0::/user.slice/session\n", tmp_path)
    assert found == cgroup.Hierarchy(2, own.parent)
    for at in (own.parent, tmp_path / "cg"):
        (at / "cgroup.subtree_control").write_text("cpu")
    with pytest.raises(BenchError, match="hands on the memory controller"):
        cgroup.find(V2.format(root="/"), "0::/user.slice/session\n", tmp_path)
    with pytest.raises(BenchError, match="no memory cgroup is mounted"):
        cgroup.find("", "0::/\n", tmp_path)


@pytest.mark.parametrize(
    ("version", "swap", "files"),
    [
        (1, True, {"memory.limit_in_bytes": "4096", "memory.swappiness": "60", "memory.oom_control": "0"}),
        (1, False, {"memory.limit_in_bytes": "4096", "memory.swappiness": "0", "memory.oom_control": "0"}),
        (2, True, {"memory.max": "4096", "memory.swap.max": "max"}),
        (2, False, {"memory.max": "4096", "memory.swap.max": "0"}),
    ],
)
def test_a_cage_sets_the_limit_in_the_words_of_its_version(
    version: int, swap: bool, files: dict[str, str], tmp_path: Path
) -> None:
    cage = cgroup.Cage(cgroup.Hierarchy(version, tmp_path), 4096, swap)
    cage.remove()  # nothing was made
    cage.make()
    cage.admit(123)
    found = {f.name: f.read_text() for f in cage.path.iterdir()}
    assert found == files | {"cgroup.procs": "123"}
    counter = cage.path / ("memory.oom_control" if version == 1 else "memory.events")
    counter.write_text("under_oom 0\noom_kill 2\n")
    assert cage.oom_kills() == 2
    with pytest.raises(BenchError, match="could not be removed"):
        cage.remove(patience=0)
    for file in cage.path.iterdir():
        file.unlink()
    cage.remove()
    assert not cage.path.exists()


def test_the_overhead_of_hotswap_run_is_measured_with_results_compared(monkeypatch, scratch):
    program = scratch / "program.py"
    program.write_text(
        "import json, numpy as np; print(json.dumps({'seconds': {'sum': 0.5}, 'checksum': float(np.ones(1 << 20).sum())}))"
    )
    monkeypatch.setattr(overhead, "_PROGRAM", str(program))
    words = ["overhead", "--repeat", "1", "--scratch", str(scratch), "--out", str(scratch / "out"), "--json"]
    done = CliRunner().invoke(bench, words)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [(row["workload"], row["system"]) for row in rows] == [
        (part, system) for part in ("sum", overhead.WHOLE) for system in (overhead.PLAIN, overhead.UNDER, overhead.RATIO)
    ]
    assert all(row["verified"] and row["value"] > 0 for row in rows)
    assert sorted(os.listdir(scratch)) == ["out", "program.py"]


def test_a_result_that_differs_under_hotswap_run_fails_the_benchmark(monkeypatch, tmp_path):
    answers = iter([({overhead.WHOLE: 1.0}, 1.0), ({overhead.WHOLE: 1.0}, 2.0)])
    monkeypatch.setattr(overhead, "_once", lambda system, area: next(answers))
    rows = []
    overhead.run_overhead(0, 1, tmp_path, Progress(Console(file=io.StringIO())), rows)
    assert overhead.failed(rows)


def test_forks_are_timed_and_their_bytes_compared(monkeypatch, scratch):
    monkeypatch.setattr(forks, "SIZES", (16 << 20,))
    monkeypatch.setattr(forks, "LIMIT", "8M")
    rows = []
    forks.run_forks(0, 1, scratch, Progress(Console(file=io.StringIO())), rows)
    assert [(row.workload, row.system, row.verified) for row in rows] == [
        ("16.0 MiB", "folios of 64K", True),
        ("16.0 MiB", "folios of 4K", True),
    ]
    assert all(row.value > 0 for row in rows) and not forks.failed(rows)
    assert "at most 50 wanted" in forks.markdown(rows)


# --- jobs, peers, and the whole of it


def test_degrees_of_the_graph_are_those_of_its_edges() -> None:
    graph = jobs_data.Graph(8 * MIB)
    sources = np.concatenate([graph.sources(block).ravel() for block in range(graph.blocks)])
    degrees = np.concatenate([graph.degrees(block) for block in range(graph.blocks)])
    assert sources.size == graph.nodes * jobs_data.EDGES
    assert (np.bincount(sources, minlength=graph.nodes) == degrees).all() and degrees.min() > 0


@pytest.fixture
def no_cage(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an ordinary user: a cgroup of a few MiB holds no interpreter."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.usefixtures("no_cage")
def test_a_result_that_is_not_that_of_the_run_in_ram_is_wrong(tmp_path: Path) -> None:
    (row,) = runner.step(settings(tmp_path), "W8", "memmap", quiet(), {"W8": "another"})
    assert row.verified is False and "not that of the run in RAM (another)" in row.note


@pytest.mark.usefixtures("no_cage")
@pytest.mark.parametrize("workload", [w for w in WORKLOADS if w not in TAKES_PART and (w, "dask") not in NO_WAY])
def test_dask_comes_to_the_same_bits_as_plain_numpy_and_one_flipped_bit_is_caught(workload: str, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    digests: dict[str, str] = {}
    right = runner.step(settings(tmp_path), workload, "dask", quiet(), digests)
    assert [r.verified for r in right] == [True] * len(right), right
    wrong = runner.step(settings(tmp_path, corrupt=True), workload, "dask", quiet(), digests)
    assert [r.verified for r in wrong] == [False] * len(wrong), wrong
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_installed_or_has_no_way_is_left_out_with_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (row,) = runner.step(settings(tmp_path), "W4", "dask", quiet())
    assert row.note == "left out: dask.array has no sort"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for workload, system in (("W7", "hotswap"), ("W5", "dask")):
        (row,) = runner.step(settings(tmp_path), workload, system, quiet())
        assert row.value is None and row.note.endswith("is not installed; pip install 'hotswap[bench]'")
        assert not runner.failed([row])


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("no_cage")
def test_everything_that_takes_no_root_runs_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hotswap.bench.disk._SECONDS", 0.05)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    some = [w for w in WORKLOADS if w != "W11"]  # a program of its own, of a quarter of a minute
    words = [*some, "--systems", "ram,hotswap,kernel-file", "--size", "16M", "--limit", "8M", "--repeat", "1", "--seconds", "0.1"]
    words += ["--profile", "--json", "--scratch", str(scratch), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(bench, words)
    rows = [Row.from_json(row) for row in json.loads(result.stdout)]
    assert result.exit_code == 0, [row for row in rows if row.verified is False or (row.system == "hotswap" and not row.value)]
    expected = [
        (m, s) for w, s in steps_of(Settings(16 * MIB, 8 * MIB, tuple(some), ("ram", "hotswap"))) for m, _ in WORKLOADS[w]
    ]
    measured = {(row.workload, row.system) for row in rows if row.value is not None and row.verified}
    assert {*expected, ("W12 scan fault", "userfaultfd"), ("W12 fault", "userfaultfd")} - measured <= (
        {("W7 merge", "ram"), ("W7 merge", "hotswap")} if not _pandas() else set()
    )
    assert all("need root" in row.note for row in rows if row.system == "kernel-file")
    assert all(
        row.stages["seconds"] > 0 for row in rows if row.system == "hotswap" and row.value and row.workload != "W10 tier held"
    )
    assert list(scratch.iterdir()) == []


def _pandas() -> bool:
    import importlib.util

    return importlib.util.find_spec("pandas") is not None


def comes(condition: Callable[[], object]) -> bool:
    """Within half a minute?"""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


@pytest.mark.parametrize("system", ["hotswap", "kernel-file", "kernel-zram"])
def test_what_a_killed_run_set_up_is_taken_away(system: str, tmp_path: Path) -> None:
    if system != "hotswap" and os.geteuid() != 0:
        pytest.skip("the kernel's swap needs root")

    def swaps() -> list[str]:
        return [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()]

    scratch, before, disks = tmp_path / "scratch", swaps(), sorted(os.listdir("/sys/block"))
    with begun(tmp_path, "--systems", system, "--limit", "64M") as process:
        cage = cgroup.named(process.pid)
        if system == "hotswap":
            assert comes(lambda: list(scratch.glob("*/a.swap")))
        elif not comes(lambda: swaps() != before):
            pytest.skip("this machine gives the kernel no such swap")
        else:
            time.sleep(0.5)  # its program is at work in the cgroup
    assert comes(lambda: not list(scratch.iterdir()))
    assert swaps() == before and sorted(os.listdir("/sys/block")) == disks
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{cage}"))


def test_a_later_run_clears_what_a_dead_one_left_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left, running, other = (tmp_path / name for name in (f"hotswap-bench-{gone.pid}-a", f"hotswap-bench-{os.getpid()}-b", "else"))
    for place in (left, running, other):
        place.mkdir()
        (place / "file").touch()
    janitor.sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([running, other])


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel's swap needs root")
def test_a_full_area_of_the_kernel_is_switched_off_and_on_again_under_its_limit(scratch: Path) -> None:
    (row,) = runner.step(Settings(24 * MIB, 8 * MIB, repeat=2, seconds=0.1, scratch=scratch), "W9", "kernel-file", quiet())
    if row.value is None:
        pytest.skip(f"the kernel's swap cannot be had here: {row.note}")
    assert len(row.samples) == 2 and row.verified and "free RAM" in row.note
    assert list(scratch.iterdir()) == []
