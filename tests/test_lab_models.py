"""The lab's memory models: the litmus tests of the literature give what each model allows, no more and no less.

Each set of outcomes is found three times, by ways that share nothing but the program: by running every schedule, by judging every
candidate execution by the model's axioms, and from the table in ``classics``, which was written from the literature.
"""

import os
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

import pytest

from hotswap.lab import twin
from hotswap.lab.litmus import axioms, kernel, run
from hotswap.lab.litmus.classics import BROKEN_COUNTER, CLASSICS, COUNTERS
from hotswap.lab.litmus.program import Op, Program, outcome_of, program, running
from hotswap.lab.machine import Actor, Machine
from hotswap.lab.model.contract import Model
from hotswap.lab.model.sc import Sequential
from hotswap.lab.model.tso import StoreBuffers
from hotswap.lab.model.weak import PATIENCE, Views
from hotswap.lab.strategy.exhaustive import Exhaustive
from hotswap.lab.watch import Watch

MODELS: dict[str, type[Model]] = {"sc": Sequential, "tso": StoreBuffers, "weak": Views}
TEXTS = sorted((Path(__file__).parent.parent / "docs/litmus").glob("*.litmus"))

models = pytest.mark.parametrize("model", MODELS)
classics = pytest.mark.parametrize("classic", CLASSICS, ids=lambda classic: classic.name)
texts = pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)


def outcomes(program, observed, model, prune=True):
    return {outcome_of(observed, *end) for end in run.ends(program, model, prune)}


# The classics


@models
@classics
def test_a_classic_has_exactly_the_outcomes_that_the_model_allows(classic, model):
    assert outcomes(classic.program, classic.observed, MODELS[model]) == classic.allowed(model)


@models
@classics
def test_the_axioms_allow_the_same(classic, model):
    assert {outcome_of(classic.observed, *end) for end in axioms.ends(classic.program, model)} == classic.allowed(model)


@models
@pytest.mark.parametrize("name", ["SB", "SB+light+heavy", "MP+rel+acq", "2+2W", "WRC", "R", "S+mbs"])
def test_what_a_step_touches_is_told_in_full(name, model):
    """Leaving out orders of steps that commute, by what the model says they touch, finds all that brute force finds."""
    (classic,) = [c for c in CLASSICS if c.name == name]
    all_ends = [outcome_of(classic.observed, *end) for end in run.ends(classic.program, MODELS[model])]
    fewer = [outcome_of(classic.observed, *end) for end in run.ends(classic.program, MODELS[model], prune=True)]
    assert set(fewer) == set(all_ends) and len(fewer) < len(all_ends)


def test_full_barriers_of_two_cpus_do_not_commute():
    """Of thousands of random programs one of the few where nothing else tells their order."""
    made = program("an add between", "x=1; a=add y 10; mb | b=y; mb; c=x")
    assert outcomes(made, "a b c", Views, prune=True) == outcomes(made, "a b c", Views, prune=False)


def test_each_model_is_weaker_than_the_one_before():
    """The table tells models apart, and barriers from none."""
    for stronger, weaker in (("sc", "tso"), ("tso", "weak")):
        assert all(c.allowed(stronger) <= c.allowed(weaker) for c in CLASSICS)
        assert sum(c.allowed(stronger) < c.allowed(weaker) for c in CLASSICS) >= 8


@models
@pytest.mark.parametrize("classic", [c for c in CLASSICS if "fields" not in c.name], ids=lambda classic: classic.name)
def test_the_machine_finds_the_same_with_partial_order_reduction(classic, model):
    assert on_the_machine(classic.program, classic.observed, model) == classic.allowed(model)


def on_the_machine(program, observed, model):
    machine_twin = twin.load([], stepping=True, model=model)
    seam = machine_twin.seam
    things = {place: seam.word.make(place) for place in program.places()}
    registers = [{} for _ in program.threads]
    found = set()

    def cpu(number):
        registers[number].clear()
        way, answer = running(program.threads[number], registers[number]), None
        while True:
            try:
                op, value, expected = way.send(answer) if answer is not None else next(way)
            except StopIteration:
                return
            answer = 0
            if op.kind in ("acquire", "light"):
                getattr(seam, op.kind)()
            elif op.kind == "cas":
                answer = int((yield "cas", things[op.place], expected, value))
            elif not op.place:
                yield (op.kind,)
            elif op.register and op.kind.startswith(("add", "swap")):
                read = yield op.kind.removeprefix("swap_acq_rel") or "swap", things[op.place], value
                answer = read - value if op.kind.startswith("add") else read
            else:
                answer = (yield op.kind, things[op.place], *([value] if "store" in op.kind else [])) or 0

    def note_end():
        found.add(outcome_of(observed, registers, {place: word.v for place, word in things.items()}))

    machine_twin.checkpoint()
    machine = Machine(machine_twin, [Actor(f"P{n}", lambda n=n: cpu(n)) for n in range(len(registers))], note_end)
    strategy = Exhaustive()
    while strategy.begin():
        outcome = machine.run(strategy)
        assert outcome.finding is None
    return found


# Random programs


def random_program(seed):
    """Two or three CPUs, up to seven operations, at most two of them atomic and one a heavy barrier; what it observes."""
    chance, left, cpus, observed = random.Random(seed), {"atomic": 2, "add": 1, "heavy": 1}, [], []
    values = iter(range(1, 99))

    def operation():
        kind = chance.choice(
            ["store", "store", "rel", "load", "load", "acq", "add", "add.rel", "swap", "cas", "mb", "mb", "rmb", "heavy"]
        )
        place = chance.choice("xy")
        if kind.startswith(("add", "swap", "cas")):
            left["atomic"] -= 1
            if left["atomic"] < 0 or (kind.startswith("add") and left.pop("add", 0) == 0):
                kind = "load"
        if kind == "heavy" and not left.pop("heavy", 0):
            kind = "mb"
        if kind in ("mb", "rmb", "heavy"):
            return kind
        if kind in ("store", "rel"):
            return f"{place}={'rel ' * (kind == 'rel')}{next(values)}"
        register = "abcdefgh"[len(observed)]
        observed.append(register)
        operand = {"cas": f" {chance.choice([0, 1])} {next(values)}", "swap": f" {next(values)}", "load": "", "acq": ""}.get(
            kind, " 10"
        )
        return f"{register}={'' if kind == 'load' else kind + ' '}{place}{operand}"

    for number in range(chance.choice([2, 2, 3])):
        cpus.append("; ".join(operation() for _ in range(chance.choice([2, 3]) if number < 2 else 1)))
    made = program(f"random {seed}", " | ".join(cpus))
    return made, observed + made.places(), " | ".join(cpus)


def values_of(names, registers, memory):
    known = {name: value for own in registers for name, value in own.items()} | memory
    return tuple(known[name] for name in names)


@models
def test_random_programs_have_the_outcomes_that_the_axioms_allow(model):
    """With ``free_rmw`` the views are exactly the axioms'; without, read-modify-writes take the newest value and find no more."""
    told_apart = 0
    for seed in range(40):
        made, observed, text = random_program(seed)
        wanted = {values_of(observed, *end) for end in axioms.ends(made, model)}
        exact = (lambda watch: Views(watch, free_rmw=True)) if model == "weak" else MODELS[model]
        assert {values_of(observed, *end) for end in run.ends(made, exact, prune=True)} == wanted, text
        assert {values_of(observed, *end) for end in run.ends(made, MODELS[model], prune=True)} <= wanted, text
        told_apart += len(wanted) > 1
    assert told_apart > 20


def test_the_axioms_can_tell_a_broken_model():
    """The comparison can fail: views whose acquire does nothing find what the axioms forbid."""

    class Deaf(Views):
        def sees(self, cpu, message, acquire):
            pass

    (classic,) = [c for c in CLASSICS if c.name == "MP+rel+acq"]
    assert outcomes(classic.program, classic.observed, Deaf) - classic.allowed("weak") == {"10"}


# Counters


@models
def test_the_broken_counter_is_caught(model):
    assert {end[1]["x"] for end in run.ends(BROKEN_COUNTER, MODELS[model])} == {1, 2}


@models
@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.name)
def test_a_counter_that_is_not_broken_is_not(counter, model):
    assert {end[1]["x"] for end in run.ends(counter, MODELS[model])} == {2}


# The kernel's format


def test_there_are_texts_for_each_pattern():
    assert len(TEXTS) >= 20
    for pattern in ("R05", "R08-message-passing", "R08-load-buffering", "R09", "percpu-ref-enter", "percpu-ref-leave"):
        assert {kernel.read(path).expected for path in TEXTS if path.stem.startswith(pattern)} == {"Never", "Sometimes"}


@texts
def test_the_weak_model_gives_the_verdict_of_the_text(path):
    test = kernel.read(path)
    assert test.program.name == path.stem and test.question
    assert test.verdict(run.ends(test.program, Views)) == (test.lab or test.expected)


def test_the_lab_disagrees_about_load_buffering_and_nothing_else():
    assert {path.stem for path in TEXTS if kernel.read(path).lab} == {
        "R08-load-buffering+once+once",
        "percpu-ref-use+once+once",
    }


@pytest.mark.parametrize(
    "name", ["percpu-ref-enter+section+grace-period", "percpu-ref-leave+section+grace-period", "percpu-ref-whole"]
)
@pytest.mark.parametrize("model", ["tso", "weak"])
def test_light_and_heavy_do_what_section_and_grace_period_do(name, model):
    """The engine's form of those texts: no section, ``heavy`` for the grace period. Without ``heavy`` it is broken."""
    (path,) = [path for path in TEXTS if path.stem == name]
    test = kernel.read(path)
    assert test.verdict(run.ends(asymmetric(test.program, "heavy"), MODELS[model], prune=True)) == "Never"
    assert test.verdict(run.ends(asymmetric(test.program, "light"), MODELS[model], prune=True)) == "Sometimes"


def asymmetric(program, barrier):
    def other(op):
        return Op(barrier) if op.kind == "synchronize" else op

    dropped = ("read_lock", "read_unlock")
    return Program(program.name, [[other(op) for op in cpu if op.kind not in dropped] for cpu in program.threads], program.start)


BROKEN_TEXT = "C t\n(* Result: {result} *)\n{{}}\nP0(int *x)\n{{\n\t{body}\n}}\nexists (x=1)"


@pytest.mark.parametrize(
    ("body", "result", "said"),
    [
        ("WRITE_ONCE(*x, 1);", "Perhaps", "has no 'Result"),
        ("atomic_inc(x);", "Never", "expected ="),
        ("WRITE_ONCE(x, 1);", "Never", "expected *"),
        ("WRITE_ONCE(*x, 1)", "Never", "expected ;"),
        ("int r0;\n\tr0 = *x;", "Never", "is not understood"),
        ("if (y) smp_mb();", "Never", "is not understood"),
        ('WRITE_ONCE(*x, "1");', "Never", "not understood"),
    ],
)
def test_a_text_that_is_not_understood_is_refused(body, result, said):
    with pytest.raises(kernel.NotRead, match=re.escape(said)):
        kernel.parse(BROKEN_TEXT.format(body=body, result=result))


def test_a_condition_may_look_at_memory():
    test = kernel.parse(BROKEN_TEXT.format(body="WRITE_ONCE(*x, 1);", result="Always"))
    assert test.verdict(run.ends(test.program, Views)) == test.expected


@pytest.mark.skipif(
    not shutil.which("herd7") or not os.environ.get("LKMM"), reason="wants herd7 and $LKMM, the kernel's tools/memory-model"
)
@texts
def test_herd7_gives_the_verdict_of_the_text(path):
    command = ["herd7", "-I", os.environ["LKMM"], "-conf", os.path.join(os.environ["LKMM"], "linux-kernel.cfg"), path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    (verdict,) = re.findall(rf"^Observation {re.escape(path.stem)} (\w+)", done.stdout, re.MULTILINE)
    assert verdict == kernel.read(path).expected


# Parts of the contract that litmus tests do not reach


class Place:
    """A word, or a lock."""

    numbers: ClassVar = iter(range(1 << 40, 1 << 41))

    def __init__(self):
        self.uid = next(self.numbers)
        self.v = 0


def test_what_a_lock_hands_over_is_seen_and_what_it_does_not_is_not():
    model = Views(Watch())
    model.choose = lambda n, label: n - 1  # the oldest that may be read
    word, lock, other = Place(), Place(), Place()
    model.store(0, word, 1, False)
    assert model.load(1, word, True) == 0
    model.hand_over(0, lock)
    model.take_over(1, other)
    assert model.load(1, word, True) == 0
    model.take_over(1, lock)
    assert model.load(1, word, False) == 1


def test_who_waited_for_a_word_reads_it_no_older():
    model = Views(Watch())
    model.choose = lambda n, label: n - 1
    word = Place()
    model.store(0, word, 1, False)
    model.take_over(1, word)
    assert model.load(1, word, False) == 1


def test_a_loop_that_waits_for_a_store_ends():
    model = Views(Watch())
    model.choose = lambda n, label: n - 1
    word = Place()
    model.store(0, word, 1, False)
    assert [model.load(1, word, False) for _ in range(PATIENCE + 1)] == [0] * PATIENCE + [1]


@models
def test_settled_all_see_all_and_reset_forgets(model):
    made = MODELS[model](Watch())
    made.choose = lambda n, label: n - 1
    word = Place()
    made.store(0, word, 1, False)
    made.settle()
    assert word.v == 1 and made.load(1, word, False) == 1 and not made.internal()
    made.store(0, word, 2, False)
    word.v = 7  # as a rollback does
    made.reset()
    assert made.load(0, word, False) == made.load(1, word, False) == 7 and not made.internal()


def test_locked_instructions_wait_for_the_buffer_and_loads_do_not():
    model = StoreBuffers(Watch())
    word = Place()
    assert not model.must_wait(0, "cas")
    model.store(0, word, 1, False)
    waiting = {
        kind for kind in ("load", "store_release", "light", "cas", "fence", "mutex_unlock", "heavy") if model.must_wait(0, kind)
    }
    assert waiting == {"cas", "fence", "mutex_unlock", "heavy"}
    assert not model.must_wait(1, "cas") and model.must_wait(1, "heavy")
    (action,) = model.internal()
    model.perform(action)
    assert word.v == 1 and not model.must_wait(0, "heavy")


# What the documentation says of all this


def test_the_page_has_each_text_with_the_verdicts_found():
    page = (Path(__file__).parent.parent / "docs/models.md").read_text()
    rows = {
        cells[0]: cells[1:]
        for cells in re.findall(r"^\| \[(\S+)\]\(\S+\) \| (\w+) \| (\w+) \| (\w+) \| (\w+)", page, re.MULTILINE)
    }
    assert rows.keys() == {path.stem for path in TEXTS}
    for path in TEXTS:
        test = kernel.read(path)
        found = [test.verdict(run.ends(test.program, model, prune=True)) for model in MODELS.values()]
        assert list(rows[path.stem]) == [word.lower() for word in (test.expected, *found)], path.stem


@pytest.mark.parametrize("model", ["tso", "weak"])
def test_a_heavy_barrier_at_one_instant_shows_what_one_cpu_after_another_does(model):
    compared = 0
    for seed in range(300):
        made, observed, text = random_program(seed)
        if "heavy" in text:
            one_by_one = program("one by one", text.replace("heavy", "gp"))  # nobody is in a section: a barrier on each, in turn
            ends = [{values_of(observed, *end) for end in run.ends(p, MODELS[model], prune=True)} for p in (made, one_by_one)]
            assert ends[0] == ends[1], text
            compared += 1
    assert compared >= 50
