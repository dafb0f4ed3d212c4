"""A case from its file to its verdict: found, minimised, printed as an id, replayed; counted, stopped, refused."""

import ast
import types

import pytest

from hotswap.errors import HotswapError
from hotswap.lab import explore, minimise, schedule_id
from hotswap.lab.explore import Limits
from hotswap.lab.findings import NullDereference
from hotswap.lab.scenario import contract, switches
from hotswap.lab.scenario.contract import BadScenario, Case, NoSuchScenario, Scenario, find
from hotswap.lab.shared import Shared, Task, search_piece
from hotswap.lab.strategy.exhaustive import Exhaustive
from hotswap.lab.strategy.replay import Replay

RACE = Case("r01_readahead_vs_swapoff", "none", "", "sc")
GUARDED = Case("r01_readahead_vs_swapoff", "percpu_ref", "", "sc")


def test_the_race_of_2019_is_found_without_a_guard_and_its_id_replays():
    """Fail, print, replay: the same steps, the same finding."""
    result = explore.explore(RACE)
    assert result.verdict == result.expected == "sometimes" and result.as_expected
    assert isinstance(result.finding, NullDereference)
    assert result.replay.startswith("r01.none.-.sc.")
    case, outcome = explore.replay(result.replay)
    assert case == RACE
    assert str(outcome.finding) == str(result.finding)
    assert schedule_id.encode(case, outcome.choices) == result.replay
    assert explore.replay(result.replay)[1].steps == outcome.steps
    assert minimise.switches(outcome.choices) == 2


def test_with_the_default_guard_it_is_not_found_within_two_preemptions():
    result = explore.explore(GUARDED, Limits(jobs=2))
    assert result.verdict == "never" and result.as_expected and result.replay == ""
    assert result.coverage.complete and result.coverage.bound == 2
    assert result.coverage.schedules > 100 and result.coverage.steps > 100 * result.coverage.schedules


def test_several_processes_try_the_same_schedules_as_one():
    """Bound 1, shared out from its second schedule on; each schedule once."""
    machine = find(GUARDED.scenario).machine(GUARDED)
    alone = Exhaustive(1)
    while alone.begin():
        assert machine.run(alone).finding is None
    first = Exhaustive(1)
    for _ in range(2):
        assert first.begin()
        machine.run(first)
    with Shared(Task(GUARDED, 1), 2) as shared:
        shared.add(*first.export())
        assert all(done.choices is None for done in shared.run(lambda: False))
        assert shared.complete
    assert first.schedules + shared.coverage.schedules == alone.schedules


def test_a_worker_finds_what_there_is_to_find():
    machine = find(RACE.scenario).machine(RACE)

    class Never:
        def is_set(self):
            return False

    done = search_piece(machine, 1, (), Never())
    assert done.choices is not None
    assert isinstance(machine.run(Replay(done.choices)).finding, NullDereference)


def test_who_is_told_the_progress_can_stop_and_is_told_how_far_it_came():
    told = []

    def stop(progress):
        told.append(progress)
        return progress.coverage.schedules >= 20

    result = explore.explore(GUARDED, Limits(bound=None), stop)
    assert result.stopped and not result.coverage.complete and not result.as_expected
    assert told and result.coverage.schedules >= 20


def test_ctrl_c_says_what_was_covered():
    def interrupt(progress):
        raise KeyboardInterrupt

    result = explore.explore(GUARDED, Limits(bound=None), interrupt)
    assert result.stopped and result.coverage.schedules > 0 and not result.coverage.complete


@pytest.mark.parametrize(
    "limits", [Limits(schedules=30), Limits(strategy="random", schedules=30), Limits(strategy="pct", schedules=30)]
)
def test_a_count_of_schedules_is_kept_to(limits):
    result = explore.explore(GUARDED, limits)
    assert result.verdict == "never" and not result.coverage.complete and not result.as_expected
    assert result.coverage.schedules <= 30 + 2 + 43  # the lower bounds' come before


def test_a_fix_left_out_is_found():
    result = explore.explore(Case("r04_smaller_area", "percpu_ref", "no-bounds", "sc"))
    assert result.verdict == "sometimes" and "areas[0].map[16], which has 16" in str(result.finding)


# Bad input


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("r01", "is no id of a schedule"),
        ("r01.none.-.sc.00000000.a3!", "is no id of a schedule"),
        ("r77.none.-.sc.00000000.a3", "there is no scenario 'r77'"),
        ("r01.nobody.-.sc.00000000.a3", "has no case of guard nobody"),
        ("r01.none.-.sc.00000000.a3", "is of another version of the source"),
    ],
)
def test_what_is_no_id_is_refused_in_one_sentence(text, said):
    with pytest.raises(HotswapError, match=said) as error:
        explore.replay(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("suffix", "old", "new", "other"),
    [
        (
            ".py",
            'def f():\n    """Says."""\n    return "#1"\n',
            '# why\n\ndef f():\n    return "#1"  # so\n',
            'def f():\n    return "#2"\n',
        ),
        (".pxd", "cdef enum:\n    A = 1   # one\n", "cdef enum:\n    A = 1\n", "cdef enum:\n    A = 2   # one\n"),
        (".h", 'int a; /* two\nlines */\nchar *b = "/*";\n', 'int a;\nchar *b = "/*";\n', 'int a;\nchar *b = "*/";\n'),
    ],
)
def test_an_id_outlives_a_change_of_comments_and_no_other(tmp_path, suffix, old, new, other):
    files = [tmp_path / f"{number}{suffix}" for number in range(3)]
    for file, text in zip(files, (old, new, other)):
        file.write_text(text)
    assert schedule_id.code(files[0]) == schedule_id.code(files[1]) != schedule_id.code(files[2])


def test_an_id_that_does_not_fit_is_refused():
    text = schedule_id.encode(RACE, [0, 9])
    with pytest.raises(HotswapError, match="cannot be replayed: step 1: actor 9 cannot act there"):
        explore.replay(text)


@pytest.mark.parametrize("choices", [[], [0], [0, 0, 0, 1, 1, 0], [2, 32, 32, 33, -1, -4, 0], [*[0] * 120, 1]])
def test_an_id_says_every_choice(choices):
    case, read = schedule_id.decode(schedule_id.encode(RACE, choices))
    assert (case, read) == (RACE, choices)


def test_an_unknown_scenario_or_switch_is_refused():
    with pytest.raises(NoSuchScenario, match="there is no scenario 'r99'"):
        find("r99")
    with pytest.raises(switches.NoSuchSwitch, match="there is no switch 'magic'; there are no-acquire"):
        switches.named("magic")


@pytest.mark.parametrize(
    ("switch", "said"),
    [
        (switches.Switch("s", "swap_map", "in_bounds", "yield_cpu()"), "`yield_cpu\\(\\)` is not there in swap_map.in_bounds"),
        (switches.Switch("s", "swap_map", "gone", "pass"), "the engine has no function swap_map.gone"),
        (switches.Switch("s", "swap_map", "swap_alloc", "arch."), "is there [0-9]+ times"),
    ],
)
def test_a_switch_whose_place_is_gone_is_refused(switch, said):
    from hotswap.lab import declarations

    text = declarations.module_path("hotswap.engine.swap_map", ".py").read_text()
    with pytest.raises(switches.NoSuchSwitch, match=said):
        switch("hotswap.engine.swap_map", ast.parse(text))


def test_several_switches_are_joined_and_one_may_be_in_several_places():
    assert [s.name for s in switches.named("no-bounds+count-outside")] == ["no-bounds", "count-outside", "count-outside"]
    assert switches.named("") == ()
    with pytest.raises(switches.NoSuchSwitch, match="there is no switch 'magic'"):
        switches.named("no-bounds+magic")


def test_a_switch_says_which_of_several_places_it_means():
    text = "def work(x):\n    x = 1\n    if x:\n        x = 2\n    x = 3\n"
    changed = switches.Switch("s", "made", "work", "x = ", "x = 9", nth=2)("hotswap.engine.made", ast.parse(text))
    assert ast.unparse(changed) + "\n" == text.replace("x = 2", "x = 9")


def test_a_switch_may_change_a_condition_alone():
    tree = ast.parse("def f():\n    if a and b:\n        c()\n    else:\n        d()\n    while a and b:\n        c()")
    for start, instead in (("if a and ", "if b: ..."), ("while a and ", "while b: ...")):
        tree = switches.Switch("s", "swap_map", "f", start, instead)("hotswap.engine.swap_map", tree)
    assert ast.unparse(tree) == "def f():\n    if b:\n        c()\n    else:\n        d()\n    while b:\n        c()"


def scenario(monkeypatch, name="r90_made_up", **more):
    module = types.ModuleType(f"hotswap.lab.scenario.{name}", "Is this one?\n\nSource: this test.\n")
    race = find("r01").module
    vars(module).update({"EXPECT": {("none", ""): "sometimes"}, "setup": race.setup, "actors": race.actors, **more})
    made = Scenario(module)
    monkeypatch.setattr(contract, "scenarios", lambda: {name: made})
    return Case(name, "none", "", "sc")


def test_a_scenario_whose_cpus_share_nothing_fails(monkeypatch):
    def actors(world):
        def looks():
            yield "load", world.array.mm.budget

        return {"one": looks, "other": looks}

    with pytest.raises(BadScenario, match="its CPUs touch nothing in common"):
        explore.explore(scenario(monkeypatch, actors=actors), Limits(bound=1))


def test_a_sometimes_that_is_not_met_fails(monkeypatch):
    def actors(world):
        race = find_race.module.actors(world)
        return {"readahead": race["readahead"], "again": race["readahead"]}

    find_race = find("r01")
    result = explore.explore(scenario(monkeypatch, actors=actors, BOUND=1), Limits(jobs=1))
    assert (result.verdict, result.expected) == ("never", "sometimes") and result.coverage.complete
    assert not result.as_expected


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("No question.\n\nSource: x", {}, "does not ask a question"),
        ("A question?\n", {}, "names no source"),
        ("A question?\n\nSource: x", {"setup": None}, "has no setup"),
    ],
)
def test_a_scenario_that_lacks_something_is_refused(text, more, said):
    module = types.ModuleType("r91_lacks", text)
    vars(module).update({"EXPECT": {}, "setup": print, "actors": print, **more})
    for name in [name for name, value in more.items() if value is None]:
        delattr(module, name)
    with pytest.raises(BadScenario, match=said):
        Scenario(module)
