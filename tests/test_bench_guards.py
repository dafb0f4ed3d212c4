"""``hotswap bench guards``: that its figures can be trusted; what they are is looked at elsewhere."""

import io
import json
import os

import pytest
from click.testing import CliRunner
from rich.console import Console

from hotswap.bench import guards
from hotswap.bench.command import bench
from hotswap.bench.plan import Row
from hotswap.bench.progress import Progress


@pytest.mark.timeout(120)
def test_the_command_gives_every_figure_of_every_guard(monkeypatch, scratch):
    monkeypatch.setattr(guards, "GUARDS", {"rcu": 5, "percpu_ref": 1})
    out = scratch / "out"
    words = ["guards", "--repeat", "1", "--seconds", "0.4", "--scratch", str(scratch), "--out", str(out), "--json"]
    done = CliRunner().invoke(bench, words)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert rows == json.loads((out / "guards.json").read_text())
    assert [(row["workload"], row["system"]) for row in rows] == [
        (called, name) for called, _ in guards.MEASURES.values() for name in ("rcu", "percpu_ref")
    ]
    assert all(row["verified"] is True and (row["value"] > 0 or row["unit"] == "0 or 1") for row in rows)
    assert {row["system"]: row["value"] for row in rows if row["workload"] == "a reader may sleep"} == {"rcu": 0, "percpu_ref": 1}
    assert len((out / "guards.md").read_text().splitlines()) == 2 + len(guards.MEASURES)
    assert os.listdir(scratch) == ["out"], "the areas' files are left behind"


def test_a_guard_that_dies_is_a_sentence_and_fails_the_run_unless_it_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(guards, "_child", lambda name, seconds, scratch: "died by SIGSEGV")
    rows: list[Row] = []
    guards.run_guards(0.1, 2, tmp_path, Progress(Console(file=io.StringIO())), rows)
    assert {row.note for row in rows} == {"died by SIGSEGV"} and all(row.value is None for row in rows)
    assert guards.failed(rows)
    assert not guards.failed([row for row in rows if row.system == "none"])
    assert "died by SIGSEGV" in guards.markdown(rows)
    assert guards.goal(rows) == "nothing was measured"


def test_a_child_that_cannot_work_says_why(tmp_path):
    found = guards._child("best", 0.1, tmp_path)
    assert isinstance(found, str) and "'best' is unknown" in found
    assert os.listdir(tmp_path) == []


def test_the_goal_leaves_out_what_guards_nothing_by_itself():
    called = guards.MEASURES["ratio"][0]
    rows = [Row(called, name, "times", value, True) for name, value in (("none", 0.9), ("mmlist", 0.8), ("percpu_ref", 1.4))]
    assert guards.goal(rows).startswith("reached  the best (percpu_ref) costs 1.40")
    assert guards.goal([Row(called, "rcu", "times", 1.51, True)]).startswith("MISSED")


def test_bad_places_and_mixed_names_are_refused(tmp_path):
    done = CliRunner().invoke(bench, ["guards", "--scratch", str(tmp_path / "nowhere")])
    assert done.exit_code == 1 and "cannot be written to" in done.output
    done = CliRunner().invoke(bench, ["guards", "W1"])
    assert done.exit_code == 1 and "no workload 'guards'" in done.output
