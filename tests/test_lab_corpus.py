"""The corpus page is made from the rows of a run, and says no more than they do."""

import json
import re
import xml.etree.ElementTree as ET
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from hotswap.lab import corpus, diagram, rows
from hotswap.lab.findings import UseAfterFree
from hotswap.lab.rows import BadRows, Row
from hotswap.lab.runs import Scenario

Step = namedtuple("Step", "cpu kind target details stack note")
TEXT = """Is a count read from a freed map?

Source: seed 000.

CPU 0 (exit)          CPU 1 (swapoff)
------------          ---------------
swap_count()
                      table_free(map)
  mutex_unlock(lock)                     <- use after free
"""


def row(**changed):
    given = {
        "scenario": "R06 count-readers",
        "guard": "none",
        "switch": "",
        "model": "sc",
        "expected": "sometimes",
        "verdict": "sometimes",
        "complete": False,
        "bound": None,
        "schedules": 12,
        "seconds": 0.25,
        "replay": "R06.none.sc.x",
    }
    return Row(**{**given, **changed})


NEVER = {"expected": "never", "verdict": "never", "complete": True, "bound": 2, "replay": ""}
RUN = [
    row(),
    row(guard="percpu_ref", schedules=4321, seconds=9.5, **NEVER),
    row(guard="rcu", schedules=1, seconds=1.0, **{**NEVER, "complete": False}),
    row(guard="percpu_ref", switch="without the section", schedules=7),
]


def scenario(name="R06 count-readers"):
    return Scenario(name, name, "Is a count read from a freed map?", "seed 000", TEXT, ())


def draw(found):
    steps = [Step(0, "mutex_lock", "areas[0].lock", (), ("swap_count",), "")]
    return diagram.build(SimpleNamespace(steps=steps, finding=UseAfterFree("the map")), found.case, facts=[found.replay])


def page(run=RUN, scenarios=None):
    return corpus.pages(run, scenarios or [scenario()], draw, lambda scenario, row: f"goes as {row.guard} lets it")


def test_the_table_is_race_by_design() -> None:
    made = page()["races.md"]
    assert "| race | `none` | `percpu_ref` | `rcu` |\n| --- | --- | --- | --- |\n" in made
    assert (
        "| [R06 count-readers](#r06-count-readers) | sometimes, 12 schedules, 0.2 s "
        "| never within 2 preemptions, 4,321 schedules, 9.5 s | not in 1 schedule, 1.0 s |\n"
    ) in made


def test_the_summary_counts() -> None:
    assert (
        "1 race, 4 cases, 4,341 schedules in 11 s: 2 found, 1 explored to the end of their bound, 1 not found in the schedules "
        "that were run. All as expected.\n"
    ) in page()["races.md"]


def test_what_is_not_as_expected_stands_out() -> None:
    made = page([row(expected="never")])["races.md"]
    assert "**1 not as expected.**" in made and made.count("(**expected never**)") == 2


def test_several_models_share_a_cell() -> None:
    made = page([row(), row(model="weak", schedules=3)])["races.md"]
    assert "| sc: sometimes, 12 schedules, 0.2 s<br>weak: sometimes, 3 schedules, 0.2 s |" in made


def test_a_race_has_its_question_source_drawing_rows_and_diagram() -> None:
    made = page()["races.md"].split("## R06 count-readers\n")[1]
    assert made.startswith("\nIs a count read from a freed map?\n\nSource: seed 000\n\n```\nCPU 0 (exit) ")
    assert "| `percpu_ref` | without the section | sc | sometimes | 7 | 0.2 | goes as percpu_ref lets it |\n" in made
    assert "Found under `none`, model sc, after 12 schedules ([as a picture](races/r06-count-readers.svg)):\n" in made
    assert "<-- use after free: the map" in made and "R06.none.sc.x" in made


def test_the_picture_is_there_and_well_formed() -> None:
    files = page()
    linked = re.findall(r"\]\((races/[^)]+)\)", files["races.md"])
    assert linked and set(linked) == set(files) - {"races.md"}
    ET.fromstring(files[linked[0]])


def test_a_race_that_was_never_found_has_no_diagram() -> None:
    files = page([row(**NEVER)])
    assert set(files) == {"races.md"} and "Found under" not in files["races.md"]


def test_r12_says_how_many_schedules_it_took() -> None:
    r12 = scenario("R12 free-swap-and-cache")
    run = [row(scenario=r12.name, schedules=n, guard=g) for n, g in ((90, "none"), (33, "rcu"))]
    assert "Here it took 33 schedules and 0.2 s under `rcu`, model sc." in page(run, [r12])["races.md"]
    assert "this run did not find it either" in page([row(scenario=r12.name, **NEVER)], [r12])["races.md"]


def test_scenarios_that_were_not_run_are_not_on_the_page() -> None:
    assert "R07" not in page(scenarios=[scenario(), scenario("R07 continuation")])["races.md"]


def test_made_twice_it_is_the_same() -> None:
    assert page() == page()


def test_written_it_replaces_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "races").mkdir()
    (tmp_path / "races" / "gone.svg").write_text("old")
    corpus.write(tmp_path, page())
    assert sorted(p.name for p in (tmp_path / "races").iterdir()) == ["r06-count-readers.svg"]
    assert (tmp_path / "races.md").read_text() == page()["races.md"]


# Rows in a file


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(rows.to_json(RUN))
    assert rows.load(tmp_path / "rows.json") == RUN
    assert list(json.loads(rows.to_json(RUN))[0]) == [
        *("scenario", "guard", "switch", "model", "expected", "verdict", "complete", "bound", "schedules", "seconds", "replay")
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "rows.json is not JSON"),
        ("[]", "rows.json holds no rows; make it with `hotswap lab run --all --json`."),
        ('{"rows": []}', "rows.json holds no rows"),
        ("[1]", "rows.json, row 1: a row has scenario, guard, switch, model, expected"),
        ('[{"scenario": "R06"}]', "row 1: a row has"),
        (rows.to_json([row(), row(verdict="perhaps")]), "row 2: 'perhaps' is no verdict."),
        (rows.to_json([row(schedules="12")]), "row 1: '12' is no schedules."),
        (rows.to_json([row(complete=1)]), "row 1: 1 is no complete."),
        (rows.to_json([row(bound="2")]), "row 1: '2' is no bound."),
        (rows.to_json([row(seconds=-1)]), "row 1: -1 is no seconds."),
    ],
)
def test_a_file_of_something_else_is_refused_in_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "rows.json").write_text(content)
    with pytest.raises(BadRows, match=re.escape(sentence)) as refused:
        rows.load(tmp_path / "rows.json")
    assert str(refused.value).endswith(".")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRows, match="none.json cannot be read: no such file or directory."):
        rows.load(tmp_path / "none.json")
