"""A drawing is followed on the engine's own source: the race where it is drawn, and why it cannot be where a design prevents it."""

import re
import sys
from types import SimpleNamespace

import pytest

from hotswap.lab import diagram, drawing, twin
from hotswap.lab import follow as follow_
from hotswap.lab.diagram import text
from hotswap.lab.findings import NullDereference, UseAfterFree
from hotswap.lab.machine import Actor, Machine
from hotswap.lab.memory import NULL
from hotswap.lab.model.contract import Action, Model
from hotswap.lab.strategy.drawn import Drawn
from hotswap.lab.strategy.replay import Replay

NONE, PERCPU_REF = 0, 1

LOOKUP = """A lookup in the cache of an area whose tables go (R02).

CPU 0 (lookup)            CPU 1 (swapoff)
--------------            ---------------
cache_take()
  mutex_lock(lock) next
                          area_free_tables()
                            table_free(buckets)
  index_find()                                     <- the area's index is gone
"""


@pytest.fixture(scope="module")
def world():
    """One area with one slot taken, and a machine of a lookup and a swapoff's end, under a design."""
    engine = twin.load(stepping=True)
    alone = engine.alone
    type = alone(engine.swapon.area_setup(-1, 600, 0))
    for guard in (NONE, PERCPU_REF):
        engine.guard.contract.choose_guard(guard)
        alone(engine.guard.contract.guard_publish(type, NULL))
    alone(engine.swapon.area_publish(type))
    entry = engine.entry.make_entry(type, alone(engine.swap_map.swap_alloc(type, 0, 1)) >> 16)
    mm = engine.mm.mm_at(0)

    def swapoff():
        yield from engine.guard.contract.guard_retire(type, NULL)
        yield from engine.area.area_detach(type)
        yield from engine.swapon.area_free_tables(type)

    def lookup():
        yield from engine.cache.cache_take(mm, entry, 1)

    engine.checkpoint()

    def under(guard):
        engine.rollback()
        engine.guard.contract.choose_guard(guard)
        engine.checkpoint()
        return Machine(engine, [Actor("lookup", lookup), Actor("swapoff", swapoff)])

    return SimpleNamespace(under=under)


def follow(world, guard, text=LOOKUP):
    strategy = Drawn(drawing.parse("R02", text))
    return strategy, world.under(guard).run(strategy, record=True)


def test_the_drawn_race_happens_without_a_guard(world) -> None:
    strategy, outcome = follow(world, NONE)
    assert strategy.problem is None
    assert isinstance(outcome.finding, UseAfterFree | NullDereference)
    assert outcome.finding.cpu == 0 and outcome.finding.stack[-1].startswith("index_find")


def test_a_guard_that_keeps_it_away_is_named_with_the_line(world) -> None:
    strategy, outcome = follow(world, PERCPU_REF)
    assert outcome.finding is None
    assert strategy.problem.line == 7
    assert str(strategy.problem) == (
        "scenario R02, line 7, CPU 1: area_free_tables() is not reached: CPU 1 (swapoff) waits in event_wait of refs[0].left."
    )


def test_a_drawing_of_the_other_order_finds_nothing_and_says_so(world) -> None:
    late = LOOKUP.replace("  mutex_lock(lock) next\n", "  mutex_unlock(lock)\n")
    strategy, outcome = follow(world, NONE, late)
    assert outcome.finding is None and strategy.problem.line == 9 and strategy.problem.why == follow_.NO_FAILURE


def test_a_call_that_shares_nothing_returns_all_the_same(world) -> None:
    """retire() of the design none has no step in it: nobody can be stopped there, but it is over when it is over."""
    through = LOOKUP.replace("area_free_tables()\n", "guard_retire() returns\n" + " " * 26 + "area_free_tables()\n")
    strategy, outcome = follow(world, NONE, through)
    assert strategy.problem is None and outcome.finding is not None
    strategy, _ = follow(world, NONE, through.replace("guard_retire() returns", "guard_retire()"))
    assert strategy.problem.why == "CPU 1 has ended, and did nothing shared in there"
    strategy, _ = follow(world, PERCPU_REF, through)
    assert strategy.problem.line == 7 and strategy.problem.why.endswith("event_wait of refs[0].left")
    assert sys.getprofile() is None


def test_a_failure_before_its_line_is_told(world) -> None:
    early = LOOKUP.replace(
        "  index_find()                                     <- the", "  mutex_unlock(lock)\n  index_find()  <- the"
    )
    strategy, outcome = follow(world, NONE, early)
    assert outcome.finding is not None
    assert "mutex_unlock(lock) is not reached: CPU 0 failed before it" in str(strategy.problem)


def test_a_cpu_that_is_not_there_is_told(world) -> None:
    third = LOOKUP.replace("CPU 1 (swapoff)", "CPU 7 (swapoff)")
    strategy, _ = follow(world, NONE, third)
    assert strategy.problem.why == "there is no CPU 7 yet"


def test_followed_twice_and_replayed_it_is_the_same_schedule(world) -> None:
    _, first = follow(world, NONE)
    _, again = follow(world, NONE)
    replayed = world.under(NONE).run(Replay(first.choices), record=True)
    assert first.choices == again.choices == replayed.choices
    drawn = [diagram.build(outcome, "R02", {0: "lookup", 1: "swapoff"}) for outcome in (first, again, replayed)]
    assert len({text.render(each, 100) for each in drawn}) == 1


# Its diagram


def test_the_diagram_of_a_replayed_finding_names_real_functions(world) -> None:
    _, found = follow(world, NONE)
    replayed = world.under(NONE).run(Replay(found.choices), record=True)
    drawn = diagram.build(replayed, "R02", {0: "lookup", 1: "swapoff"})
    called = {row.text.removesuffix("()") for row in drawn.rows if row.kind == "call"}
    assert {"cache_take", "index_find", "area_free_tables", "map_free"} <= called <= drawing.engine_functions()
    operations = {row.text.partition("(")[0] for row in drawn.rows if row.kind == "step"}
    assert {"mutex_lock", "table_free"} <= operations <= drawing.seam_operations()


def test_it_shows_what_was_freed_where_and_the_line_that_touched_it(world) -> None:
    _, found = follow(world, NONE)
    drawn = diagram.build(found, "R02", {0: "lookup", 1: "swapoff"})
    last = drawn.rows[-1]
    assert last.kind == "code" and "area.buckets[" in last.text and last.mark == drawn.failure
    assert re.search(r"\n +table_free\(areas\[0\]\.buckets\)\n", text.render(drawn, 120))
    assert [str(stack).partition(" in ")[0] for stack in drawn.stacks] == ["CPU 0 failed", "CPU 1 freed it"]
    assert str(drawn.stacks[0]).endswith("cache_take() > index_find()")


def test_under_the_guard_the_wait_is_drawn(world) -> None:
    _, outcome = follow(world, PERCPU_REF)
    shown = text.render(diagram.build(outcome, "R02"), 140)
    assert re.search(r"event_wait\(refs\[0\]\.left\) +\(waits for refs\[0\]\.left\)\n", shown)


# Memory models, played by a few lines


class Late(Model):
    """Stores wait in their CPU's buffer, and a load may return any value that the word ever had."""

    acts = True

    def __init__(self, watch):
        super().__init__(watch)
        self.reset()

    def reset(self):
        self.buffers = {0: [], 1: []}
        self.past = {}

    def load(self, cpu, word, acquire):
        own = [value for other, value in self.buffers[cpu] if other is word]
        values = own[-1:] or [word.v, *reversed(self.past.get(word.uid, []))]
        return values[self.choose(len(values), "a load")]

    def store(self, cpu, word, value, release):
        self.buffers[cpu].append((word, value))

    def fence(self, cpu):
        while self.buffers[cpu]:
            self.perform(Action(cpu, "drain", self.buffers[cpu][0][0]))

    def internal(self):
        return [Action(cpu, "drain", stores[0][0]) for cpu, stores in self.buffers.items() if stores]

    def perform(self, action):
        word, value = self.buffers[action.cpu].pop(0)
        self.past.setdefault(word.uid, []).append(word.v)
        self.put(word, value)


def store_buffering(text, fenced=False):
    """Both store, then look at the other's word: what they saw, and the strategy."""
    engine = twin.load([], stepping=True)
    engine.watch.model = engine.seam.model = Late(engine.watch)
    words = [engine.seam.word.make(f"areas[{n}].flags") for n in (0, 1)]
    engine.checkpoint()
    saw = {}

    def program(cpu):
        yield "store", words[cpu], 1
        if fenced:
            yield ("fence",)
        saw[cpu] = yield "load", words[1 - cpu]

    strategy = Drawn(drawing.parse("SB", text))
    machine = Machine(engine, [Actor("one", lambda: program(0)), Actor("other", lambda: program(1))])
    assert machine.run(strategy).finding is None
    return (saw[0], saw[1]), strategy.problem


SB = """Store buffering.

CPU 0                     CPU 1
-----                     -----
store(flags){0}
                          store(flags)
                          load(areas[0].flags){1}
load(areas[1].flags)
"""


def test_stores_are_seen_at_once_unless_they_are_delayed() -> None:
    assert store_buffering(SB.format("", "")) == ((1, 1), None)
    assert store_buffering(SB.format(" delayed", "")) == ((1, 0), None)


def test_a_fence_sends_delayed_stores_out() -> None:
    drawn = SB.format(" delayed", "").replace(" " * 26 + "store", "fence()\n" + " " * 26 + "store")
    assert store_buffering(drawn, fenced=True) == ((1, 1), None)


def test_a_stale_load_reads_an_older_value() -> None:
    assert store_buffering(SB.format("", " stale")) == ((1, 0), None)


def test_where_there_is_no_older_value_a_stale_load_is_not_reached() -> None:
    _, problem = store_buffering(SB.format(" delayed", " stale"))
    assert problem.line == 7 and problem.why == "CPU 1 has ended, and never had an older value to read"


# The models themselves


PUBLISHED = """An area's fields are stored, then its flag; the flag is seen, and the fields are not.

CPU 0                     CPU 1
-----                     -----
                          store(flags)
load(flags)
plain_load(slots) stale                            <- the fields of before
"""


def publication(text, acquire):
    """What a reader has of a plain field of an area after it has seen the flag; the weak model."""
    engine = twin.load(["area"], stepping=True, model="weak")
    area = engine.area.areas[0]
    engine.checkpoint()
    saw = {}

    def reader():
        saw["flag"] = yield ("load_acquire" if acquire else "load"), area.flags
        saw["slots"] = area.slots
        yield "load", area.inuse
        saw["again"] = area.slots

    def writer():
        area.slots = 77
        yield "store_release", area.flags, 1

    strategy = Drawn(drawing.parse("R05", text.replace("load(flags)", f"load{'_acquire' * acquire}(flags)")))
    machine = Machine(engine, [Actor("reader", reader), Actor("writer", writer)])
    assert machine.run(strategy).finding is None
    return saw, strategy.problem


def test_a_stale_field_is_read_where_nothing_orders_it() -> None:
    drawn = PUBLISHED.replace("store(flags)", "store_release(flags)").replace("   <- the fields of before", "")
    saw, problem = publication(drawn, acquire=False)
    assert (saw, problem) == ({"flag": 1, "slots": 0, "again": 77}, None), "once, and no more"
    saw, problem = publication(drawn, acquire=True)
    assert saw == {"flag": 1, "slots": 77, "again": 77}
    assert problem.why == "CPU 0 has ended, and never had an older value to read"


def test_store_buffering_as_drawn_on_the_real_models() -> None:
    assert real_store_buffering("tso", SB.format(" delayed", "")) == ((1, 0), None)
    assert real_store_buffering("tso", SB.format("", "")) == ((1, 1), None)
    assert real_store_buffering("weak", SB.format("", " stale")) == ((1, 0), None)
    assert real_store_buffering("sc", SB.format(" delayed", "")) == ((1, 1), None)


def test_a_delayed_store_comes_out_where_its_cpu_needs_it() -> None:
    """Before a full barrier, as the machine has it; whoever looks after that sees it."""
    drawn = SB.format(" delayed", "").replace(" " * 26 + "store", "fence()\n" + " " * 26 + "store")
    assert real_store_buffering("tso", drawn, fenced=True) == ((1, 1), None)
    late = SB.format(" delayed", "").replace("load(areas[1].flags)", "fence()\nload(areas[1].flags)")
    assert real_store_buffering("tso", late, fenced=True) == ((1, 0), None)


def real_store_buffering(model, text, fenced=False):
    engine = twin.load([], stepping=True, model=model)
    words = [engine.seam.word.make(f"areas[{n}].flags") for n in (0, 1)]
    engine.checkpoint()
    saw = {}

    def program(cpu):
        yield "store", words[cpu], 1
        if fenced and cpu == 0:
            yield ("fence",)
        saw[cpu] = yield "load", words[1 - cpu]

    strategy = Drawn(drawing.parse("SB", text))
    assert Machine(engine, [Actor("one", lambda: program(0)), Actor("other", lambda: program(1))]).run(strategy).finding is None
    return (saw[0], saw[1]), strategy.problem
