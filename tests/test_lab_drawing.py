"""A scenario's drawing is read strictly, and followed or refused with the reason. The machine here is a toy of a few lines."""

import re
from collections import namedtuple

import pytest

from hotswap.lab import drawing, follow
from hotswap.lab.drawing import BadDrawing
from hotswap.lab.follow import CannotFollow, Follower

Op = namedtuple("Op", "kind target details", defaults=("", ()))
Step = namedtuple("Step", "cpu kind target details stack note", defaults=((), (), ""))


class Toy:
    """CPUs are generators that yield operations; functions are generators in each other, as in the stepping engine.

    It has one lock, and ``loses`` says what a step does: the toy's own race is a counter that is read and then written.
    """

    def __init__(self, *programs):
        self.value = 0
        self.owner = None
        self.programs = [program(self) for program in programs]
        self.operations = [next(program) for program in self.programs]
        self.trace = []

    def enabled(self):
        return [cpu for cpu, op in enumerate(self.operations) if op and not (op.kind == "mutex_lock" and self.owner is not None)]

    def pending(self, cpu):
        return self.operations[cpu]

    def calls(self, cpu):
        found, generator = [], self.programs[cpu].gi_yieldfrom
        while generator is not None:
            found.append((generator.gi_code.co_name, generator))
            generator = generator.gi_yieldfrom
        return found

    def passed(self):
        return []

    def waits_for(self, cpu):
        return f"CPU {cpu} waits for lock, held by CPU {self.owner}" if self.operations[cpu] and cpu not in self.enabled() else ""

    def step(self, cpu):
        op = self.operations[cpu]
        self.trace.append(Step(cpu, op.kind, op.target, op.details, tuple(name for name, _ in self.calls(cpu))))
        answer = None
        if op.kind == "mutex_lock":
            self.owner = cpu
        elif op.kind == "mutex_unlock":
            self.owner = None
        elif op.kind == "load":
            answer = self.value
        elif op.kind == "store":
            self.value = op.details[0]
        try:
            self.operations[cpu] = self.programs[cpu].send(answer)
        except StopIteration:
            self.operations[cpu] = None

    def run(self, text):
        """Follows a drawing to its end; the CPUs in the order of their steps."""
        follower = Follower(drawing.parse("toy", text), self)
        while self.enabled():
            self.step(follower.choose())
        follower.end(failed=False)
        return [step.cpu for step in self.trace]


def swap_count():
    value = yield Op("load", "areas[0].inuse")
    return value


def swap_free():
    value = yield from swap_count()
    yield Op("store", "areas[0].inuse", (value + 1,))


def program(toy):
    yield from swap_free()
    yield from swap_free()


def guarded(toy):
    yield Op("mutex_lock", "areas[0].lock")
    yield from swap_free()
    yield Op("mutex_unlock", "areas[0].lock")


def draw(*lines, head=("CPU 0               CPU 1", "-----               -----")):
    return "\n".join(["Is anything lost?", "", *head, *lines, ""])


RIGHT = " " * 20


# Reading


def test_an_entry_belongs_to_the_column_it_stands_in() -> None:
    text = draw("swap_free()", RIGHT + "swap_free()", RIGHT + "  swap_count() returns", "  load(inuse)")
    entries = drawing.parse("toy", text).entries
    assert [(e.cpu, e.indent, e.text, e.within) for e in entries] == [
        (0, 0, "swap_free()", None),
        (1, 0, "swap_free()", None),
        (1, 2, "swap_count() returns", 1),
        (0, 2, "load(inuse)", 0),
    ]
    assert [e.line for e in entries] == [5, 6, 7, 8]


def test_headers_name_any_cpus_and_their_actors() -> None:
    head = ("    CPU 2 (exit)     CPU 0     CPU 1 (swapoff)", "    ------------     -----     ---------------")
    read = drawing.parse("toy", draw("    swap_free()", " " * 31 + "swap_free()", head=head))
    assert read.cpus == (2, 0, 1) and read.actors == {2: "exit", 1: "swapoff"}
    assert [e.cpu for e in read.entries] == [2, 1]
    assert read.text.startswith("CPU 2 (exit)     CPU 0")


def test_the_mark_and_remarks_are_read() -> None:
    text = draw("swap_free()   // the last reference", RIGHT + "table_free(map, 1)   <- use after free: the map")
    read = drawing.parse("toy", text)
    assert read.entries[0].remark == "the last reference"
    assert read.failure is read.entries[1] and read.failure.failure == "use after free: the map"
    assert read.failure.values == ("1",) and not read.failure.function


def test_a_name_of_both_is_the_function_when_its_parentheses_are_empty() -> None:
    entries = drawing.parse("toy", draw("load()", "load(inuse)")).entries
    assert [e.function for e in entries] == [True, False]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["swap_fre()"], "scenario toy, line 5: swap_fre() is not a function of the engine (did you mean swap_free?)."),
        (["mutex_lok(lock)"], "line 5: mutex_lok() is not an operation of the seam (did you mean mutex_lock?)."),
        (["xyzzy()"], "line 5: xyzzy() is not a function of the engine."),
        (["mutex_lock(lokc)"], "line 5: the engine has no field or variable lokc (did you mean lock?)."),
        (["mutex_lock(a b)"], "line 5: 'a b' names no object."),
        (["swap_free(entry)"], "line 5: swap_free() is a function of the engine; its parentheses stay empty."),
        (["swap_free() stale"], "line 5: 'stale' after swap_free() means nothing; 'returns' or 'waits' does."),
        (["mutex_lock(lock) returns"], "'next', 'waits', 'stale' or 'delayed' does."),
        (["swap_free()   swap_free()"], "two entries stand on one line, so it does not say which comes first."),
        (["swap_free"], "line 5: 'swap_free' is no entry."),
        (["swap_free()", "\tmutex_lock(lock)"], "line 6: columns are counted in blanks; a tab is none."),
        (["  swap_free()"], "line 5: it is indented, and nothing of CPU 0 is above it."),
        (["swap_free()", "    fence()"], "line 6: each level is 2 blanks; this is 4 under swap_free()."),
        (["mutex_lock(lock)", "  swap_free()"], "it is indented under mutex_lock(lock), inside of which nothing can happen."),
        (["swap_free() returns", "  fence()"], "under swap_free() returns, inside of which nothing can happen."),
        (["swap_free()   <- use after free", "drop_one()"], "line 6: nothing can follow the line that is marked"),
        (["swap_free()   <-"], "line 5: the mark <- does not say what fails."),
        (["plain_load(map)"], "line 5: only plain_load(field) stale says anything: fields are read between operations."),
        (["pte_make()"], "line 5: no other CPU notices anything of pte_make(), so none can be stopped there."),
        (["light()"], "line 5: no other CPU notices anything of light(), so none can be stopped there."),
        ([], "line 3: the drawing has no entries."),
    ],
)
def test_what_is_wrong_in_a_drawing_is_one_sentence(lines: list[str], sentence: str) -> None:
    with pytest.raises(BadDrawing, match=re.escape(sentence)) as refused:
        drawing.parse("toy", draw(*lines))
    assert str(refused.value).startswith("scenario toy, line ") and str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (("CPU 0    CPU 0", "-----    -----"), "line 3: CPU 0 has two columns."),
        (("CPU 0    CPU 1", "-----   -----"), "line 4: a row of dashes belongs under each header."),
        (("CPU 0    CPU 1", "swap_free()"), "line 4: a row of dashes belongs under each header."),
        (("CPU 0    cpu 1", "-----    -----"), "scenario toy has no drawing in its docstring"),
    ],
)
def test_what_is_wrong_in_its_head_is_one_sentence(head: tuple[str, str], sentence: str) -> None:
    with pytest.raises(BadDrawing, match=re.escape(sentence)):
        drawing.parse("toy", draw("swap_free()", head=head))


def test_an_entry_left_of_all_columns_is_refused() -> None:
    with pytest.raises(BadDrawing, match="'swap_free\\(\\)' stands left of all columns"):
        drawing.parse("toy", draw("swap_free()", head=("   CPU 0    CPU 1", "   -----    -----")))


def test_two_drawings_are_refused() -> None:
    with pytest.raises(BadDrawing, match=re.escape("scenario toy has 2 drawings (lines 3, 9) in its docstring")):
        drawing.parse("toy", draw("swap_free()") + "\n" + draw("swap_free()"))


def test_the_programs_own_accesses_are_operations() -> None:
    assert not drawing.parse("toy", draw("user_write()", RIGHT + "user_read() waits")).entries[0].function


def test_where_it_fails_a_function_may_share_nothing() -> None:
    assert drawing.parse("toy", draw("swap_free()", "  in_bounds()  <- an entry of a larger area")).failure.name == "in_bounds"


# Following


def test_without_more_to_say_the_rest_runs_without_preemption() -> None:
    assert Toy(program, program).run(draw("swap_count()")) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert Toy(program, program).run(draw(RIGHT + "swap_count()")) == [0, 0, 0, 0, 1, 1, 1, 1]


def test_an_operation_is_done_and_no_more() -> None:
    toy = Toy(program, program)
    order = toy.run(draw("swap_free()", "  load(inuse)", RIGHT + "store(inuse)", "  store(inuse)"))
    assert order == [0, 1, 1, 0, 0, 0, 1, 1]
    assert toy.value == 3  # the drawn race: one of four is lost


def test_next_stops_before_it() -> None:
    assert Toy(program, program).run(draw("store(inuse) next", RIGHT + "load(areas[0].inuse)", "store(inuse)")) == [
        *(0, 1, 0),
        *(0, 0, 1, 1, 1),
    ]


def test_values_tell_operations_apart() -> None:
    toy = Toy(program, program)
    assert toy.run(draw("store(inuse, 2)", RIGHT + "swap_free() returns"))[:6] == [0, 0, 0, 0, 1, 1]


def test_returns_is_true_once_the_call_is_over() -> None:
    order = Toy(program, program).run(draw("swap_free()", "  swap_count() returns", RIGHT + "swap_free() returns", "swap_free()"))
    assert order == [0, 1, 1, 0, 0, 0, 1, 1]


def test_a_line_speaks_of_a_call_of_its_own() -> None:
    """The second line is the second call: the first is not over when it is read."""
    assert Toy(program, program).run(draw("swap_free()", "swap_free()", RIGHT + "load(inuse)"))[:3] == [0, 0, 1]


def test_waits_is_true_when_it_does() -> None:
    toy = Toy(guarded, guarded)
    assert toy.run(draw("mutex_lock(lock)", RIGHT + "mutex_lock(lock) waits", "mutex_unlock(lock)")) == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_lock_that_keeps_the_race_away_is_named() -> None:
    with pytest.raises(CannotFollow) as stopped:
        Toy(guarded, guarded).run(draw("load(inuse)", RIGHT + "load(inuse)", "store(inuse)"))
    assert str(stopped.value) == ("scenario toy, line 6, CPU 1: load(inuse) is not reached: CPU 1 waits for lock, held by CPU 0.")
    assert stopped.value.line == 6


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["swap_free()", "  fence()"], "line 6, CPU 0: fence() is not reached: swap_free() of line 5 has returned."),
        (["swap_alloc()"], "line 5, CPU 0: swap_alloc() is not reached: CPU 0 has ended, and did nothing shared in there."),
        (["store(inuse, 9)"], "store(inuse, 9) is not reached: CPU 0 has ended."),
        (["load(inuse) waits"], "load(inuse) waits is not reached: CPU 0 has ended."),
        (["swap_free()", "swap_free()", "swap_free()"], "line 7, CPU 0: swap_free() is not reached: CPU 0 has ended"),
    ],
)
def test_a_line_that_never_comes_true_says_why(lines: list[str], why: str) -> None:
    with pytest.raises(CannotFollow, match=re.escape(why)):
        Toy(program, program).run(draw(*lines))


def test_a_line_may_not_take_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def spinning(toy):
        while True:
            yield Op("yield_cpu")

    monkeypatch.setattr(follow, "PATIENCE", 50)
    with pytest.raises(CannotFollow, match="CPU 0 has made 50 steps, and goes on"):
        Toy(spinning, program).run(draw("swap_free()"))


# The point of failure


def failing(text, at):
    """Follows until step ``at``, which fails, and compares."""
    toy = Toy(program, program)
    follower = Follower(drawing.parse("toy", text), toy)
    while len(toy.trace) < at:
        toy.step(follower.choose())
    follower.end(True, toy.trace[-1])


def test_a_failure_where_it_is_marked_agrees() -> None:
    failing(draw("load(inuse)", RIGHT + "store(inuse)", "store(inuse)  <- a count is lost"), 4)
    failing(draw("load(inuse)", RIGHT + "store(inuse)", "swap_free()  <- a count is lost"), 4)


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (2, "line 6, CPU 1: store(inuse) is not reached: CPU 1 failed before it"),
        (3, "line 7, CPU 0: store(inuse) is not reached: CPU 1 failed in swap_free > store"),
        (5, "line 7, CPU 0: store(inuse) is not reached: CPU 0 failed in swap_free > swap_count > load"),
    ],
)
def test_a_failure_elsewhere_does_not(at: int, why: str) -> None:
    with pytest.raises(CannotFollow, match=re.escape(why)):
        failing(draw("load(inuse)", RIGHT + "store(inuse)", "store(inuse)  <- a count is lost"), at)


def test_a_mark_where_nothing_fails_is_told() -> None:
    with pytest.raises(CannotFollow, match="line 5, CPU 0: swap_count\\(\\) does not fail: it goes well to the end"):
        Toy(program, program).run(draw("swap_count()  <- a count is lost"))


def test_targets_are_named_from_any_component_on() -> None:
    assert follow.names("lock", "areas[0].lock") and follow.names("areas[0].lock", "areas[0].lock")
    assert follow.names("areas.lock", "areas[0].lock") and follow.names("count", "counts[1].count[3]")
    assert not follow.names("areas[1].lock", "areas[0].lock") and not follow.names("ock", "areas[0].lock")
    assert not follow.names("mms[0].areas[0].lock", "areas[0].lock")
