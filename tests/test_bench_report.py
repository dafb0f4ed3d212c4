"""What a run of the benchmark says: ratios, where a peer wins, the page for the documentation, the rows as JSON."""

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from hotswap.bench import publish, report, stages, verdict
from hotswap.bench.command import bench, earlier, write
from hotswap.bench.plan import LESS_IS_BETTER, MIB, SYSTEMS, WORKLOADS, BenchError, Row, Settings

ROWS = [
    Row("disk", "direct-seq", "GB/s", 1.2, True, note="one at a time 1.1, 4 at a time 1.2"),
    Row("W1 seq read", "ram", "GB/s", 9.0, True, samples=[9.0]),
    Row("W1 seq read", "hotswap", "GB/s", 0.9, True, samples=[0.8, 0.9, 1.0]),
    Row("W1 seq read", "kernel-file", "GB/s", 0.3, True, samples=[0.3]),
    Row("W2 random", "hotswap", "touches/s", 100.0, True, samples=[90.0, 100.0, 110.0]),
    Row("W2 random", "memmap-random", "touches/s", 105.0, True, samples=[95.0, 105.0, 115.0]),
    Row("W2 random", "kernel-file", "touches/s", 250.0, True, samples=[200.0, 250.0]),
    Row("W2 random", "dask", "touches/s", note="left out: dask arrays cannot be changed in place"),
    Row("W4 sort", "hotswap", "s", 10.0, True, samples=[10.0]),
    Row("W4 sort", "kernel-file", "s", 25.0, True),
    Row("W4 sort", "kernel-zram", "s", None, None, note="killed by the kernel's OOM"),
    Row("W10 tier held", "hotswap", "of the bytes", 0.2, True),
    Row("W10 tier held", "kernel-zram", "of the bytes", 0.5, True),
    Row("W12 fault", "hotswap", "µs", 13.0, True),
    Row("W12 fault", "userfaultfd", "µs", 10.0, True),
]
SETTINGS = Settings(64 * MIB, 16 * MIB)


def without(*systems: str) -> list[Row]:
    return [row for row in ROWS if row.system not in systems]


def test_a_ratio_above_one_means_better_whatever_the_unit() -> None:
    assert verdict.ratio(ROWS, "W1 seq read", "kernel-file") == pytest.approx(3.0)
    assert verdict.ratio(ROWS, "W4 sort", "kernel-file") == pytest.approx(2.5)
    assert verdict.ratio(ROWS, "W10 tier held", "kernel-zram") == pytest.approx(2.5)
    assert verdict.ratio(ROWS, "W12 fault", "userfaultfd") == pytest.approx(10 / 13)
    assert verdict.ratio(ROWS, "W1 seq read", verdict.DISK) == pytest.approx(0.75)
    assert verdict.ratio(ROWS, "W4 sort", "kernel-zram") is None


def test_every_unit_says_which_way_is_better_and_every_goal_is_about_a_measure_and_a_peer_that_exist() -> None:
    units = {unit for named in WORKLOADS.values() for _, unit in named}
    assert units - LESS_IS_BETTER == {"GB/s", "touches/s"}
    known = {measure for named in WORKLOADS.values() for measure, _ in named}
    assert {measure for measure, _, _ in verdict.GOALS} <= known
    assert {peer for _, peer, _ in verdict.GOALS} <= {*SYSTEMS, verdict.DISK, "userfaultfd"}


def test_a_peer_that_wins_is_named_with_its_lead_and_doubt_where_the_samples_overlap() -> None:
    said = verdict.peer_wins(ROWS)
    assert "W1 seq read: ahead of hotswap is ram 10 times." in said
    assert "W2 random: ahead of hotswap are kernel-file 2.5 times and memmap-random 1.05 times (their samples overlap)." in said
    assert "W12 fault: ahead of hotswap is userfaultfd 1.3 times." in said
    assert not any(line.startswith(("W4", "W10")) for line in said)


def test_where_no_peer_wins_that_is_said_and_where_hotswap_gave_nothing_that_is_said() -> None:
    ahead = [row for row in without("ram", "userfaultfd") if not row.workload.startswith("W2")]
    assert verdict.peer_wins(ahead) == ["No peer is ahead of hotswap in any of these."]
    assert verdict.peer_wins([row for row in ahead if row.system != "kernel-file" and row.system != "kernel-zram"]) == [
        "hotswap was compared with nobody in this run."
    ]
    silent = [*ahead, Row("W3 zipf", "hotswap", "touches/s", note="gave up after 180 s")]
    assert "W3 zipf: hotswap gave no figure (gave up after 180 s)." in verdict.peer_wins(silent)


def test_a_wrong_result_has_no_ratio() -> None:
    wrong = [Row("W4 sort", "hotswap", "s", 1.0, False), Row("W4 sort", "kernel-file", "s", 2.0, True)]
    assert verdict.ratio(wrong, "W4 sort", "kernel-file") is None
    assert "**WRONG**" in report.markdown(wrong, "")


def test_the_page_has_ratios_then_where_a_peer_wins_then_figures_with_their_spread() -> None:
    text = report.markdown(ROWS, "How it was.")
    assert text.startswith("How it was.\n")
    places = [text.index(part) for part in ("| W4 sort |", "Where a peer wins", "ahead of hotswap", "**Goals.**", "Medians")]
    assert places == sorted(places)
    assert "| W1 seq read | **0.1** | - | 3 |" in text  # ram, memmap-random, kernel-file: a lead of a peer stands out
    assert "| W1 seq read, GB/s (more is better) | 9 | 0.9 (0.8 to 1) |" in text
    assert "| left out |" in text and "W2 random, dask: left out: dask arrays cannot be changed in place" in text
    assert "W4 sort, kernel-zram: killed by the kernel's OOM" in text
    assert "The disk alone, direct-seq: 1.2 GB/s (one at a time 1.1, 4 at a time 1.2)." in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows[: len(rows) // 2]}) == 1


def test_the_screen_says_where_a_peer_wins_without_being_asked() -> None:
    console = Console(width=150, record=True, file=io.StringIO())
    report.show(ROWS, console)
    text = console.export_text()
    assert text.index("Where a peer wins:") < text.index("ahead of hotswap is ram 10 times") < text.index("median of the samples")


def test_table_and_picture_replace_only_what_is_between_the_marks(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    begin, end = publish.BEGIN.format("table"), publish.END.format("table")
    profile = f"{publish.BEGIN.format('profile')}\n{publish.END.format('profile')}"
    page = tmp_path / "bench.md"
    page.write_text(f"# By hand\n{begin}\nold\n{end}\nAlso by hand.\n{profile}\n")
    for _ in range(2):  # again gives the same
        publish.publish(tmp_path, ROWS, SETTINGS)
        text = page.read_text()
        assert text.startswith(f"# By hand\n{begin}\n") and text.endswith(f"{end}\nAlso by hand.\n{profile}\n")
        assert "old" not in text and text.count("Where a peer wins") == 1
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    page.write_text("no marks")
    with pytest.raises(BenchError, match="put them where the table belongs"):
        publish.publish(tmp_path, ROWS, SETTINGS)


def test_the_page_of_the_documentation_has_the_marks() -> None:
    text = (Path(__file__).resolve().parent.parent / "docs/bench.md").read_text()
    for name in ("table", "profile"):
        assert publish.replaced(text, name, "x", Path("bench.md")) != text


def test_rows_come_back_from_json_as_they_were_and_have_the_named_keys(tmp_path: Path) -> None:
    write(tmp_path, ROWS, SETTINGS)
    told = json.loads((tmp_path / "bench.json").read_text())
    for row in told:
        assert list(row)[:5] == ["workload", "system", "unit", "value", "verified"]
        assert isinstance(row["value"], float | None) and isinstance(row["verified"], bool | None)
        assert (row["value"] is None) == (row["verified"] is None) and (row["value"] is not None or row["note"])
    assert earlier(tmp_path, SETTINGS) == ROWS
    with pytest.raises(BenchError, match="of a run with another seconds"):
        earlier(tmp_path, Settings(64 * MIB, 16 * MIB, seconds=1))


def test_profiles_give_each_stage_its_share_of_a_fault() -> None:
    told = {"seconds": 1.0, "faults_major": 600, "faults_minor": 400, "stage_read_ns": 500_000_000, "stage_map_ns": 100_000_000}
    row = Row("W2 random", "hotswap", "touches/s", 1000.0, True, stages=told)
    lines = {what: (micro, share) for what, micro, share in stages.lines(row)}
    assert lines["read"] == pytest.approx((500.0, 0.5)) and lines["mapped, woken"] == pytest.approx((100.0, 0.1))
    assert lines["program, and wake-ups there and back"] == pytest.approx((400.0, 0.4))
    assert "| read | 500 (50%) |" in stages.markdown([row])
    console = Console(width=150, record=True, file=io.StringIO())
    stages.show([Row("W2 random", "hotswap", "touches/s", 1.0, True, stages={"seconds": 1.0})], console)
    assert stages.MISSING in console.export_text()


def test_rows_of_other_workloads_are_kept_when_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hotswap.bench.disk._SECONDS", 0.01)
    options = ["--systems", "ram", "--size", "8M", "--limit", "4M", "--seconds", "0.05", "--repeat", "1"]
    options += ["--scratch", str(tmp_path), "--out", str(tmp_path / "out"), "--json"]
    assert CliRunner().invoke(bench, ["W1", *options]).exit_code == 0
    again = CliRunner().invoke(bench, ["W2", "--add", *options])
    assert [row["workload"] for row in json.loads(again.stdout)] == ["W1 seq write", "W1 seq read", *["disk"] * 3, "W2 random"]
