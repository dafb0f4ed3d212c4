"""``hotswap lab``: what it prints, what it exits with, and how it refuses. What it asks of the lab is played by a few lines."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.console import Console
from support import eventually

from hotswap import cli
from hotswap.lab import drawing, report, rows, runs
from hotswap.lab.findings import UseAfterFree
from hotswap.lab.rows import Row
from hotswap.lab.runs import Case, Coverage, Scenario, Unknown

Step = namedtuple("Step", "cpu kind target details stack note")

TEXT = """Is a count read from a freed map?

CPU 0 (exit)          CPU 1 (swapoff)
------------          ---------------
swap_count()
                      table_free(map)
  mutex_unlock(lock)                     <- use after free
"""
R06 = Scenario(
    "r06_count_readers",
    "R06 count-readers",
    "Is a count read from a freed map?",
    "seed 000",
    TEXT,
    (
        Case("none", "", "sc", "sometimes"),
        Case("percpu_ref", "", "sc", "never"),
        Case("percpu_ref", "", "weak", "never"),
        Case("percpu_ref", "no-heavy", "tso", "sometimes"),
    ),
)
R12 = Scenario(
    "r12_free_swap_and_cache",
    "R12 free-swap-and-cache",
    "Does exit go on in freed memory?",
    "seed 002",
    TEXT,
    (Case("none", "", "sc", "never"),),
)


class Lab:
    """Finds what is in ``found``, in seven schedules; stops like Ctrl-C before case number ``stop``."""

    def __init__(self):
        self.found = {("R06", "none", ""), ("R06", "percpu_ref", "no-heavy")}
        self.stop = None
        self.not_as_drawn = ""
        self.broken = ()
        self.asked = []

    def scenarios(self):
        return [R06, R12]

    def run(self, scenario, case, limits, progress):
        self.asked.append((scenario.short, case, limits))
        progress(Coverage(5, 20, 0.1, False))
        if self.stop == len(self.asked):
            raise KeyboardInterrupt
        if case.model in self.broken:
            raise Unknown(f"{scenario.name} shows nothing.")
        found = (scenario.short, case.guard, case.switch) in self.found
        ident = f"{scenario.short}.{case.guard}.x" if found else ""
        verdict = "sometimes" if found else "never"
        bound = 1 if found else 2
        return Row(scenario.name, case.guard, case.switch, case.model, case.expected, verdict, not found, bound, 7, 0.5, ident)

    def follow(self, scenario, case):
        outcome = SimpleNamespace(finding=UseAfterFree("the map") if case.expected == "sometimes" else None)
        problem = self.not_as_drawn if case.expected == "sometimes" else "line 8: it waits"
        return problem, outcome

    def replay(self, ident):
        if ident.count(".") != 2:
            raise Unknown(f"{ident!r} is no id of a schedule.")
        steps = [Step(0, "mutex_lock", "areas[0].lock", (), ("swap_count",), "")]
        return f"R06, guard {ident.split('.')[1]}", R06, SimpleNamespace(steps=steps, finding=UseAfterFree("the map"))


@pytest.fixture
def lab(monkeypatch):
    fake = Lab()
    for name in ("scenarios", "run", "follow", "replay"):
        monkeypatch.setattr(runs, name, getattr(fake, name))
    return fake


def invoke(*words):
    return CliRunner().invoke(cli.main, ["lab", *map(str, words)])


def refused(*words):
    """The sentence of a refusal, of which there is one, and nothing on standard output."""
    done = invoke(*words)
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    assert done.stderr.startswith("Error: ") and done.stderr.endswith(".\n") and done.stderr.count("\n") == 1
    return done.stderr.removeprefix("Error: ").rstrip()


def test_the_lab_is_loaded_when_it_is_asked_for() -> None:
    code = "import sys, hotswap.cli; print([m for m in sys.modules if m.startswith('hotswap.lab')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_each_command_has_help(lab) -> None:
    for command in ("list", "show", "run", "replay", "corpus"):
        done = invoke(command, "--help")
        assert done.exit_code == 0 and "Usage:" in done.stdout


# list and show


def test_list_says_what_there_is(lab) -> None:
    done = invoke("list")
    assert done.exit_code == 0
    assert done.stdout == (
        "R06 count-readers: Is a count read from a freed map? Guards: none, percpu_ref. Switches: no-heavy.\n"
        "R12 free-swap-and-cache: Does exit go on in freed memory? Guards: none. Switches: none.\n"
    )


def test_list_as_json_has_every_case(lab) -> None:
    found = json.loads(invoke("list", "--json").stdout)
    assert [s["scenario"] for s in found] == [R06.name, R12.name]
    assert found[0]["cases"][3] == {"guard": "percpu_ref", "switch": "no-heavy", "model": "tso", "expected": "sometimes"}


@pytest.mark.parametrize("name", ["R06", "r06", "count-readers", "R06 count-readers"])
def test_show_has_question_source_drawing_designs_and_verdicts(lab, name: str) -> None:
    done = invoke("show", name)
    assert done.exit_code == 0
    assert done.stdout.startswith("R06 count-readers\n\nIs a count read from a freed map?\nSource: seed 000\n\nCPU 0 (exit)  ")
    assert "table_free(map)\n" in done.stdout and "<- use after free\n" in done.stdout
    assert done.stdout.endswith(
        "sometimes  none, model sc: happens as drawn\n"
        "never      percpu_ref, model sc: line 8: it waits\n"
        "never      percpu_ref, model weak: line 8: it waits\n"
        "sometimes  percpu_ref no-heavy, model tso: happens as drawn\n"
    )


# run


def test_run_is_0_when_all_is_as_expected(lab) -> None:
    done = invoke("run", "R06")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "as expected R06 count-readers, guard none, model sc: sometimes, 7 schedules, 0.5 s, replay R06.none.x",
        "as expected R06 count-readers, guard percpu_ref, model sc: never within 2 preemptions, 7 schedules, 0.5 s",
        "as expected R06 count-readers, guard percpu_ref, model weak: never within 2 preemptions, 7 schedules, 0.5 s",
        "as expected R06 count-readers, guard percpu_ref, no-heavy, model tso: sometimes, 7 schedules, 0.5 s, "
        "replay R06.percpu_ref.x",
    ]
    assert "[2/4] R06 count-readers, guard percpu_ref, model sc: never within 2 preemptions (7 schedules, 0.5 s)" in done.stderr


def test_a_race_that_is_not_found_is_1(lab) -> None:
    lab.found = set()
    done = invoke("run", "R06", "--guard", "none")
    assert done.exit_code == 1
    assert done.stdout.startswith("WRONG       R06 count-readers, guard none, model sc: never within 2 preemptions")
    assert "R06 count-readers, guard none, model sc: never within 2 preemptions, expected sometimes" in done.stderr


def test_a_race_that_must_not_be_is_1_and_drawn(lab) -> None:
    lab.found.add(("R12", "none", ""))
    done = invoke("run", "--all")
    assert done.exit_code == 1
    assert done.stdout.count("<-- use after free: the map") == 1, "those that were expected are not"
    assert "hotswap lab replay R12.none.x\n" in done.stdout


def test_the_finding_of_a_single_case_is_drawn(lab) -> None:
    done = invoke("run", "R06", "--guard", "none")
    assert done.exit_code == 0 and "swap_count()" in done.stdout and "<-- use after free: the map" in done.stdout


def test_a_race_that_does_not_happen_as_drawn_is_1(lab) -> None:
    lab.not_as_drawn = "line 9: table_free(map) is not reached: CPU 1 has ended"
    done = invoke("run", "R06", "--guard", "none")
    assert done.exit_code == 1
    assert "R06 count-readers is not as drawn: none: fails, but not as drawn: line 9: table_free(map) is not" in done.stderr
    assert invoke("run", "R06", "--guard", "percpu_ref", "--switch", "none").exit_code == 0, "nothing is expected of it there"


def test_json_has_the_rows_and_nothing_else(lab) -> None:
    done = invoke("run", "--all", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and len(found) == 5
    assert found[0] == {
        "scenario": "R06 count-readers",
        "guard": "none",
        "switch": "",
        "model": "sc",
        "expected": "sometimes",
        "verdict": "sometimes",
        "complete": False,
        "bound": 1,
        "schedules": 7,
        "seconds": 0.5,
        "replay": "R06.none.x",
    }


@pytest.mark.parametrize(
    ("options", "cases"),
    [
        (["--guard", "percpu_ref"], [1, 2, 3]),
        (["--guard", "none", "--guard", "percpu_ref"], [0, 1, 2, 3]),
        (["--switch", "no-heavy"], [3]),
        (["--switch", "none"], [0, 1, 2]),
        (["--model", "weak"], [2]),
        (["--guard", "percpu_ref", "--model", "sc"], [1]),
    ],
)
def test_options_select_cases(lab, options: list[str], cases: list[int]) -> None:
    assert invoke("run", "R06", *options).exit_code == 0
    assert [case for _, case, _ in lab.asked] == [R06.cases[n] for n in cases]


def test_limits_go_to_the_lab(lab) -> None:
    words = "run R12 --strategy pct --preemptions 3 --schedules 9 --seconds 1.5 --jobs 1 --seed 4"
    invoke(*words.split())
    assert lab.asked[0][2] == runs.Limits("pct", 3, 9, 1.5, 1, 4)
    invoke("run", "R12")
    assert lab.asked[1][2] == runs.Limits()
    invoke("run", "R12", "--preemptions", "none")
    assert lab.asked[2][2] == runs.Limits(preemptions=runs.UNBOUNDED)


def test_findings_go_to_files(lab, tmp_path: Path) -> None:
    done = invoke("run", "R06", "--svg", tmp_path / "a.svg", "--html", tmp_path / "a.html")
    assert done.exit_code == 0, done.output
    assert "R06, guard none: Is a count" in ET.parse(tmp_path / "a.svg").find("{http://www.w3.org/2000/svg}title").text
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


def test_without_a_finding_no_file_is_written(lab, tmp_path: Path) -> None:
    done = invoke("run", "R12", "--svg", tmp_path / "a.svg")
    assert done.exit_code == 0 and "nothing was found, so nothing is drawn." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_says_what_was_covered(lab) -> None:
    lab.stop = 3
    done = invoke("run", "--all", "--json")
    assert done.exit_code == 130
    assert len(json.loads(done.stdout)) == 2, "what is done is not lost"
    assert done.stderr.endswith("interrupted: 2 of 5 cases are done; R06 count-readers: 5 schedules, 20 pruned.\n")


def test_a_case_that_is_refused_does_not_stop_the_others(lab) -> None:
    lab.broken = ("weak",)
    done = invoke("run", "R06", "--json")
    assert done.exit_code == 1 and len(json.loads(done.stdout)) == 3
    assert "R06 count-readers shows nothing.\n" in done.stderr


# Replay


def test_replay_draws_the_schedule(lab, tmp_path: Path) -> None:
    done = invoke("replay", "R06.none.x", "--svg", tmp_path / "r.svg")
    assert done.exit_code == 0
    assert done.stdout.startswith("R06, guard none: Is a count read from a freed map?\n\nCPU 0 (exit)")
    assert "mutex_lock(areas[0].lock)" in done.stdout and "hotswap lab replay R06.none.x\n" in done.stdout
    ET.parse(tmp_path / "r.svg")


def test_a_terminal_of_plain_ascii_gets_no_other_signs(lab) -> None:
    for word in (["replay", "R06.none.x"], ["show", "R06"]):
        done = CliRunner(charset="ascii").invoke(cli.main, ["lab", *word])
        assert done.exit_code == 0 and done.stdout_bytes.isascii()


# Refusals


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("run R60", "there is no scenario 'R60' (did you mean R06 count-readers?); there are R06, R12."),
        ("show cout-readers", "there is no scenario 'cout-readers' (did you mean R06 count-readers?); there are R06, R12."),
        ("show xyzzy", "there is no scenario 'xyzzy'; there are R06, R12."),
        ("run R06 --guard percpu", "there is no guard 'percpu' (did you mean percpu_ref?); there are none, percpu_ref."),
        ("run R06 --switch heavy", "there is no switch 'heavy' (did you mean no-heavy?); there are none, no-heavy."),
        ("run R06 --model tos", "there is no model 'tos' (did you mean tso?); there are sc, tso, weak."),
        ("run R12 --guard percpu_ref", "R12 says nothing about guard percpu_ref; `hotswap lab show` has its cases."),
        (
            "run R06 --guard none --model weak",
            "R06 says nothing about guard none, model weak; `hotswap lab show` has its cases.",
        ),
        ("replay R06", "'R06' is no id of a schedule."),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(lab, words: str, sentence: str) -> None:
    assert refused(*words.split()) == sentence
    assert lab.asked == []


@pytest.mark.parametrize("words", ["run", "run R06 --all"])
def test_run_wants_names_or_all(lab, words: str) -> None:
    done = invoke(*words.split())
    assert done.exit_code == 2 and "Name scenarios, or give --all" in done.stderr


@pytest.mark.parametrize(
    "words", ["run R06 --strategy best", "run R06 --preemptions -1", "run R06 --schedules 0", "run R06 --seconds 0", "replay"]
)
def test_values_that_mean_nothing_are_wrong_usage(lab, words: str) -> None:
    assert invoke(*words.split()).exit_code == 2


def test_a_file_that_cannot_be_written_is_refused(lab, tmp_path: Path) -> None:
    done = invoke("replay", "R06.none.x", "--svg", tmp_path / "none" / "r.svg")
    assert done.exit_code == 1
    assert done.stderr.endswith("r.svg cannot be written: no such file or directory.\n")


# The page


def test_corpus_writes_the_page(lab, tmp_path: Path) -> None:
    made = json.loads(invoke("run", "--all", "--json").stdout)
    (tmp_path / "rows.json").write_text(json.dumps(made))
    done = invoke("corpus", tmp_path / "rows.json", "--docs", tmp_path)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "races.md").read_text()
    assert "| [R06 count-readers](#r06-count-readers) | sometimes, 7 schedules, 0.5 s |" in page
    assert (tmp_path / "races" / "r06-count-readers.svg").exists()


def test_corpus_refuses_what_are_no_rows(lab, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[]")
    assert "holds no rows" in refused("corpus", tmp_path / "rows.json", "--docs", tmp_path)
    assert not (tmp_path / "races.md").exists()


def test_rows_of_a_run_are_rows_for_the_page(lab, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(invoke("run", "--all", "--json").stdout)
    assert [row.scenario for row in rows.load(tmp_path / "rows.json")] == [R06.name] * 4 + [R12.name]


# On a terminal


def shown_on_a_terminal(show):
    console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    show(console)
    return console.file.getvalue()


def test_a_terminal_gets_tables(lab) -> None:
    found = [Row("R06 [x]", "none", "[b]", "sc", "sometimes", "never", True, 2, 1234, 0.5, "R06.a")]
    printed = shown_on_a_terminal(lambda console: console.print(report.cases(found)))
    assert "R06 [x]" in printed and "[b]" in printed and "never within 2 preemptions" in printed and "1,234" in printed
    listed = shown_on_a_terminal(lambda console: console.print(report.catalogue([R06, R12])))
    assert "none, percpu_ref" in listed and "no-heavy" in listed and R12.question in listed


def test_a_terminal_gets_a_bar_with_the_rate(lab) -> None:
    def show(console):
        watch = report.Watch(console, 2)
        watch.begin("R06 none sc")
        watch(Coverage(5000, 20, 2.0, False))
        watch._bar.refresh()
        watch.end(lab.run(R06, R06.cases[0], runs.Limits(), lambda coverage: None))
        watch.close()

    printed = shown_on_a_terminal(show)
    assert "0/2" in printed and "5,000 schedules, 20 pruned, 2,500 a second" in printed
    assert "[1/2] R06 count-readers, guard none, model sc: sometimes (7 schedules, 0.5 s)" in printed


def test_elsewhere_a_long_case_tells_how_far_it_is_now_and_then(monkeypatch) -> None:
    console = Console(file=io.StringIO(), width=200)
    watch = report.Watch(console, 1)
    watch.begin("R06 none sc")
    now = report.time.monotonic()
    for second in range(26):
        monkeypatch.setattr(report.time, "monotonic", lambda second=second: now + second)
        watch(Coverage(100 * second, 0, float(second), False))
    assert console.file.getvalue().splitlines() == [
        "R06 none sc: 1,000 schedules, 0 pruned, 100 a second",
        "R06 none sc: 2,000 schedules, 0 pruned, 100 a second",
    ]


# The lab itself, not played


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """R01 without a guard and R04 with one, as JSON, with the picture of the first."""
    folder = tmp_path_factory.mktemp("lab")
    done = invoke("run", "R01", "R04", "--guard", "none", "--json", "--svg", folder / "r.svg", "--html", folder / "r.html")
    assert done.exit_code == 0, done.output
    (folder / "rows.json").write_text(done.stdout)
    return folder


def test_a_real_race_is_found_replayed_and_drawn(found: Path) -> None:
    first = rows.load(found / "rows.json")[0]
    assert (first.scenario, first.guard, first.verdict) == ("R01 readahead-vs-swapoff", "none", "sometimes")
    done = invoke("replay", first.replay)
    assert done.exit_code == 0
    for name in ("read_window()", "area_free_tables()", "table_free(areas[0].map)", "CPU 1 (swapoff)", "<-- "):
        assert name in done.stdout
    assert invoke("replay", first.replay).stdout == done.stdout
    called = set(re.findall(r"^ *(\w+)\(\)$", done.stdout, re.MULTILINE))
    assert called and called <= drawing.engine_functions()
    assert "area_free_tables()" in (found / "r.html").read_text()
    ET.parse(found / "r.svg")


def test_an_id_of_another_version_of_the_source_is_refused(found: Path) -> None:
    parts = rows.load(found / "rows.json")[0].replay.split(".")
    sentence = refused("replay", ".".join([*parts[:4], "00000000", parts[5]]))
    assert "is of another version of the source (00000000, this one is " in sentence


@pytest.mark.parametrize(
    ("ident", "sentence"),
    [
        ("r01", "'r01' is no id of a schedule"),
        ("r99.none.-.sc.00000000.a", "there is no scenario 'r99'"),
        ("r01.nobody.-.sc.00000000.a", "scenario R01 readahead-vs-swapoff has no case of guard nobody"),
    ],
)
def test_an_id_of_nothing_is_refused(ident: str, sentence: str) -> None:
    assert sentence in refused("replay", ident)


@pytest.mark.parametrize("scenario", runs.scenarios(), ids=lambda scenario: scenario.name)
def test_every_scenario_is_drawn_as_it_happens(scenario) -> None:
    """Read strictly, and followed to its mark in one of the cases where the race is expected."""
    assert runs.drawn(scenario) == ""


def test_show_tells_how_far_the_drawing_goes_under_each_design() -> None:
    done = invoke("show", "R01")
    assert done.exit_code == 0
    assert re.search(r"^sometimes  none[\w+, -]*, model sc: happens as drawn$", done.stdout, re.MULTILINE)
    assert re.search(r"^never      percpu_ref, model sc: line \d+: ", done.stdout, re.MULTILINE)


def test_the_page_is_made_of_real_rows(found: Path) -> None:
    done = invoke("corpus", found / "rows.json", "--docs", found)
    assert done.exit_code == 0, done.output
    page = (found / "races.md").read_text()
    assert "## R01 readahead-vs-swapoff" in page and "area_free_tables()" in page
    assert {path.name for path in (found / "races").iterdir()} == {"r01-readahead-vs-swapoff.svg", "r04-smaller-area.svg"}


def test_a_real_ctrl_c_says_what_was_covered_and_leaves_nobody() -> None:
    words = [sys.executable, "-m", "hotswap", "lab", "run", "R01", "--guard", "percpu_ref", "--switch", "none"]
    words += ["--preemptions", "none", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        while " schedules, " not in process.stderr.readline():  # it says how far it is
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=45)
    assert (process.returncode, out) == (130, "[]\n"), err
    assert re.search(r"interrupted: 0 of 2 cases are done; R01 readahead-vs-swapoff: [\d,]+ schedules, [\d,]+ pruned", err)
    assert "Traceback" not in err
    assert eventually(lambda: members(process.pid) == [])


def members(group: int) -> list[str]:
    """Processes of a group that live; one that has ended and that nobody has asked about counts no more."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(path.parent.name)
    return found
