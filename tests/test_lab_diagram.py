"""A finding is drawn as kernel mails draw one: as text of any width, as SVG and as HTML, all from the same rows."""

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections import namedtuple
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.lab import diagram, drawing, twin
from hotswap.lab.diagram import html, svg, text
from hotswap.lab.findings import Deadlock, InvariantBroken, UseAfterFree, WrongEnd
from hotswap.lab.memory import Thing, name_of

Step = namedtuple("Step", "cpu kind target details stack note", defaults=((), (), ""))
SVG = "{http://www.w3.org/2000/svg}"


def outcome(steps, finding=None):
    return SimpleNamespace(steps=steps, finding=finding, choices=[])


def lost_area():
    """Process 1 is preempted behind its count, swapoff frees the map, process 1 goes on (R12, as it was drawn in 2024)."""
    exit_mm, off = ("free_swap_and_cache", "swap_free"), ("swapoff_main",)
    steps = [
        *(Step(0, "load", f"mms[0].ptes[{n}].state", (), exit_mm[:1]) for n in range(4)),
        Step(0, "mutex_lock", "areas[0].lock", (), exit_mm),
        Step(0, "add", "areas[0].inuse", (-1,), exit_mm),
        Step(0, "mutex_unlock", "areas[0].lock", (), exit_mm),
        Step(1, "load", "areas[0].inuse", (), off),
        Step(1, "load", "emptyings[0].failed", (), off),
        Step(1, "store", "refs[0].live", (0,), (*off, "guard_retire")),
        Step(1, "table_free", "areas[0].map", (True,), (*off, "area_free_tables", "map_free")),
        Step(0, "mutex_lock", "areas[0].lock", (), ("free_swap_and_cache", "swap_has_cache")),
    ]
    finding = UseAfterFree("'__getitem__' of areas[0].map, freed at swap_map.py:61, map_free()")
    finding.stack = steps[-1].stack
    return outcome(steps, finding)


def drawn(**options):
    return diagram.build(
        lost_area(), "R12 free-swap-and-cache, guard none", {0: "exit", 1: "swapoff"}, ["replay: R12.none.0x7"], **options
    )


GOLDEN = """\
R12 free-swap-and-cache, guard none

CPU 0 (exit)                      CPU 1 (swapoff)
------------                      ---------------
free_swap_and_cache()
  ...
  swap_free()
    mutex_lock(areas[0].lock)
    add(areas[0].inuse, -1)
    mutex_unlock(areas[0].lock)
                                  swapoff_main()
                                    load(areas[0].inuse)
                                    ...
                                    area_free_tables()
                                      map_free()
                                        table_free(areas[0].map)
  swap_has_cache()
    mutex_lock(areas[0].lock)
        <-- use after free: '__getitem__' of areas[0].map, freed at
            swap_map.py:61, map_free()

use after free: '__getitem__' of areas[0].map, freed at swap_map.py:61,
    map_free()
  CPU 0 failed in free_swap_and_cache() > swap_has_cache() > mutex_lock()
  CPU 1 freed it in swapoff_main() > area_free_tables() > map_free() >
    table_free()

replay: R12.none.0x7
"""


def test_a_finding_is_drawn_in_columns() -> None:
    assert text.render(drawn(), 80, ascii_only=True) == GOLDEN


def test_the_same_in_utf8() -> None:
    plain, rich = text.render(drawn(), 80, ascii_only=True), text.render(drawn(), 80)
    assert plain.isascii() and not rich.isascii()
    assert text.in_ascii(rich) == plain


def test_a_wide_terminal_has_the_mark_beside_its_line() -> None:
    wide = text.render(drawn(), 150)
    assert re.search(r"mutex_lock\(areas\[0\]\.lock\)  <-- use after free: .* map_free\(\)\n", wide)


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("width", [40, 80, 100, 160, 400])
def test_no_line_is_wider_than_asked(columns: int, width: int) -> None:
    deep = tuple(f"a_function_with_a_long_name_{n}" for n in range(20))
    steps = [
        Step(cpu, "store_release", "mms[12].ptes[34567].state", (1 << 45,), deep[: 4 + turn], "waits for " + "x" * 30)
        for turn in range(16)
        for cpu in range(columns)
    ]
    found = diagram.build(outcome(steps, InvariantBroken("nothing is lost " * 20)), "A title " * 30, facts=["fact " * 60])
    lines = text.render(found, width).splitlines()
    assert max(map(len, lines)) <= min(max(width, 80), 160)
    starts = text.columns(found, min(max(width, 80), 160))
    for parts in text.place(found, min(max(width, 80), 160)):
        for part in parts:
            if part.row and part.kind == "step":
                after = min((s for s in starts.values() if s > starts[part.row.cpu]), default=1000)
                assert starts[part.row.cpu] <= part.at < after, "a line begins in its CPU's column, however deep it is"


def test_a_failure_is_marked_exactly_once_and_last() -> None:
    rows = drawn().rows
    assert [row.mark for row in rows if row.mark] == [diagram.sentence(lost_area().finding)] == [rows[-1].mark]
    assert text.render(drawn(), 160).count("<--") == 1


def test_without_a_finding_nothing_is_marked() -> None:
    found = diagram.build(outcome(lost_area().steps), "All well")
    assert not found.failure and not found.stacks and not any(row.mark for row in found.rows)
    assert "<--" not in text.render(found)


def test_a_run_without_steps_can_be_drawn() -> None:
    for finding in (None, InvariantBroken("at the start")):
        found = diagram.build(outcome([], finding), "Nothing happened", {0: "idle"})
        assert "CPU 0 (idle)" in text.render(found)
        ET.fromstring(svg.render(found))
        assert "all 0 steps" in html.render(found)


def test_what_a_cpu_waits_for_is_drawn_and_said_below() -> None:
    steps = [
        Step(0, "begin", "CPU 0"),
        Step(0, "mutex_lock", "areas[0].lock", (), ("swap_free",)),
        Step(1, "begin", "CPU 1"),
        Step(1, "mutex_lock", "areas[1].lock", (), ("swap_count",)),
        Step(1, "waits", "areas[0].lock", ("mutex_lock",), ("swap_count",), "waits for areas[0].lock, held by CPU 0"),
        Step(0, "waits", "areas[1].lock", ("mutex_lock",), ("swap_free",), "waits for areas[1].lock, held by CPU 1"),
    ]
    shown = text.render(diagram.build(outcome(steps, Deadlock("nobody can go on")), "Deadlock"), 140)
    assert "mutex_lock(areas[0].lock)  (waits for areas[0].lock, held by CPU 0)\n" in shown
    assert "(waits for areas[1].lock, held by CPU 1)  <-- deadlock: nobody can go on\n" in shown
    assert "  CPU 0 waits for areas[1].lock, held by CPU 1, in swap_free() > mutex_lock()\n" in shown
    assert "  CPU 1 waits for areas[0].lock, held by CPU 0, in swap_count() > mutex_lock()\n" in shown
    assert "begin" not in shown and "failed in" not in shown


def test_what_is_wrong_at_the_end_is_nobodys_failure() -> None:
    steps = [Step(0, "store", "w", (1,), ("swap_free",)), Step(1, "store", "w", (2,), ("swap_count",))]
    found = diagram.build(outcome(steps, WrongEnd("page 1 is lost")), "A loss")
    assert found.rows[-1].mark == "wrong end: page 1 is lost" and found.stacks == ()


def test_a_store_that_comes_out_of_its_buffer_leaves_its_cpu_where_it_is() -> None:
    steps = [
        Step(0, "store", "areas[0].flags", (1,), ("swap_free",)),
        Step(1, "load", "areas[0].flags", (), ("swap_count",)),
        Step(0, "drain", "areas[0].flags", (1,), (), "store buffer"),
        Step(0, "fence", "", (), ("swap_free",)),
    ]
    assert text.render(diagram.build(outcome(steps), "TSO"), 80, ascii_only=True).splitlines()[4:] == [
        "swap_free()",
        "  store(areas[0].flags, 1)",
        " " * 29 + "swap_count()",
        " " * 31 + "load(areas[0].flags)",
        "  drain(areas[0].flags, 1)  (store buffer)",
        "  fence()",
    ]


def test_the_stack_in_a_findings_sentence_is_not_said_twice() -> None:
    found = UseAfterFree("'map' of areas[0], freed by CPU 1 in map_free (step 9); CPU 0 (exit) is in swap_free")
    found.stack = ("swap_free",)
    assert diagram.sentence(found) == "use after free: 'map' of areas[0], freed by CPU 1 in map_free (step 9)"


names = st.text(min_size=1, max_size=12)
any_step = st.builds(
    Step,
    st.integers(0, 2),
    st.sampled_from(["load", "store", "add", "mutex_lock", "mutex_unlock", "table_free", "user_write"]),
    st.sampled_from(["", "areas[0].lock", "areas[0].map"]) | names,
    st.lists(st.integers() | st.booleans() | st.binary(max_size=4) | names, max_size=2).map(tuple),
    st.lists(st.sampled_from("abc") | names, max_size=5).map(tuple),
    st.sampled_from(["", "waits for areas[0].lock, held by CPU 1"]),
)


@given(st.lists(any_step, max_size=20), st.none() | st.builds(UseAfterFree, names), st.integers(1, 200))
@settings(max_examples=40, deadline=None)
def test_any_run_can_be_drawn(steps, finding, width) -> None:
    found = diagram.build(outcome(steps, finding), "A run", facts=["a fact"])
    shown = text.render(found, width, ascii_only=True)
    assert shown.isascii() and ("<--" in shown or not (steps and finding))
    ET.fromstring(svg.render(found))
    assert html.render(found).count("<tr") >= len(found.rows)
    covered = {n for r in found.rows if r.kind in ("step", "gap") and not r.mark for n in range(r.first, r.last + 1)}
    assert finding or covered == set(range(1, len(steps) + 1)), "every step is shown, or counted in a gap"


# What is shown


def places(steps, finding=None):
    return diagram.shown(steps, finding)


def test_a_lonely_run_is_its_last_step() -> None:
    assert places([Step(0, "load", f"w[{n}]") for n in range(9)]) == [8]
    assert places([Step(0, "load", f"w[{n}]") for n in range(9)], InvariantBroken()) == [6, 7, 8]


def test_conflicts_are_shown_and_reads_or_additions_are_none() -> None:
    def between(kind, other):
        quiet = [Step(1, "load", f"q[{n}]") for n in range(3)]
        steps = [Step(0, kind, "w"), Step(0, "fence", None), *quiet, Step(1, other, "w"), *quiet]
        return places(steps)

    assert between("store", "load") == [0, 1, 2, 5, 8]
    assert between("load", "load") == between("add", "add") == [1, 2, 8]
    assert between("add", "load") == [0, 1, 2, 5, 8]


def test_where_memory_is_gone_only_conflicts_about_it_are_shown() -> None:
    quiet = [Step(1, "load", f"q[{n}]") for n in range(3)]
    steps = [Step(0, "store", "mms[0].relief"), Step(0, "store", "areas[0].flags"), Step(0, "fence", None), *quiet]
    steps += [Step(1, "load", "mms[0].relief"), Step(1, "load", "areas[0].flags"), *quiet, Step(1, "table_free", "areas[0].map")]
    assert places(steps, InvariantBroken()) == [0, 1, 2, 3, 6, 7, 9, 10, 11]
    assert places(steps, UseAfterFree()) == [1, 2, 3, 7, 9, 10, 11]


def test_with_an_unlock_its_lock_is_shown() -> None:
    inside = [Step(0, "load", f"w[{n}]") for n in range(9)]
    steps = [Step(0, "mutex_lock", "a"), Step(0, "mutex_lock", "b"), *inside, Step(0, "mutex_unlock", "b")]
    assert places(steps) == [1, 11]
    entry = [Step(0, "bit_trylock", "e"), *inside, Step(0, "bit_unlock", "e", (4,))]
    assert places(entry) == [0, 10]


def test_of_many_conflicts_the_last_are_shown() -> None:
    steps = [Step(cpu, "store", f"w[{n}]") for cpu in (0, 1) for n in range(100)]
    found = places(steps)
    assert len(found) == diagram.MOST and {99, 100, 199} <= set(found) and found[-5:] == [195, 196, 197, 198, 199]


def test_every_step_is_shown_or_counted_in_a_gap() -> None:
    found = diagram.build(lost_area(), "R12")
    covered = {(r.cpu, n) for r in found.rows if r.kind == "step" for n in [r.first]}
    covered |= {(r.cpu, n) for r in found.rows if r.kind == "gap" for n in range(r.first, r.last + 1)}
    assert covered == {(step.cpu, number) for number, step in enumerate(found.steps, 1)}


# The engine's own


@pytest.fixture(scope="module")
def real():
    """A cache lookup during which the area's tables go, on the shipping source without a guard (R02).

    There is no scheduler: at CPU 0's first access, CPU 1 runs to its end.
    """
    life = twin.load()
    type = life.swapon.area_setup(-1, 600, 0)
    life.swapon.area_publish(type)
    entry = life.entry.make_entry(type, life.swap_map.swap_alloc(type, 0, 1) >> 16)
    life.guard.contract.choose_guard(0)
    steps = []

    def access(kind, target, *details):
        if not steps:
            steps.append(None)
            life.seam.current = 1
            life.area.area_detach(type)
            life.swapon.area_free_tables(type)
            life.seam.current = 0
            del steps[0]
        names, frame = [], sys._getframe(1)
        while frame:
            if "/engine/" in frame.f_code.co_filename:
                names.insert(0, frame.f_code.co_name)
            frame = frame.f_back
        names = names[names.index("area_free_tables") :] if "area_free_tables" in names else names
        steps.append(
            Step(life.seam.current, kind, name_of(target) if isinstance(target, Thing) else target, details, tuple(names))
        )

    life.seam.on_access = access
    with pytest.raises(Exception) as found:
        life.cache.cache_take(None, entry, 1)
    return diagram.build(outcome(steps, found.value), "R02 cache-lookup-vs-swapoff", {0: "lookup", 1: "swapoff"})


def test_the_diagram_of_a_real_finding_names_real_functions(real) -> None:
    called = [row.text.removesuffix("()") for row in real.rows if row.kind == "call"]
    assert {"cache_take", "area_free_tables", "map_free"} <= set(called) <= drawing.engine_functions()
    operations = {row.text.partition("(")[0] for row in real.rows if row.kind == "step"}
    assert "table_free" in operations and operations <= drawing.seam_operations()


def test_a_failure_outside_the_seam_is_marked_at_its_line_of_the_source(real) -> None:
    last = real.rows[-1]
    assert last.kind == "code" and "area.buckets[" in last.text and last.mark.startswith("null dereference: ")
    assert real.rows[-2].text == "index_find()", "although that function shares nothing and is in no step's stack"
    assert str(real.stacks[0]) == "CPU 0 failed in cache_take() > index_find()"
    assert str(real.stacks[1]) == "CPU 1 freed it in area_free_tables() > table_free()"


def test_drawn_twice_it_is_the_same(real) -> None:
    for render in (text.render, svg.render, html.render):
        assert render(drawn()) == render(drawn())
        assert render(real) == render(real)


# SVG and HTML


def test_the_svg_is_well_formed_and_says_what_it_shows(real) -> None:
    for found in (drawn(), real):
        root = ET.fromstring(svg.render(found))
        assert root.attrib["role"] == "img" and root.attrib["aria-labelledby"] == "t d"
        assert root.find(f"{SVG}title").text == found.title
        assert found.failure in root.find(f"{SVG}desc").text
        assert "prefers-color-scheme: dark" in root.find(f"{SVG}style").text
        said = "\n".join(element.text or "".join(element.itertext()) for element in root.iter(f"{SVG}text"))
        for row in found.rows:
            if row.kind == "call":
                assert row.text in said


def test_nothing_in_the_svg_is_outside_of_it() -> None:
    root = ET.fromstring(svg.render(drawn()))
    _, _, wide, high = map(float, root.attrib["viewBox"].split())
    for element in root.iter(f"{SVG}text"):
        words = (element.text or "") + "".join(child.tail or "" for child in element)
        assert 0 <= float(element.attrib["x"]) and float(element.attrib["x"]) + svg.GLYPH * len(words) <= wide
        assert 0 < float(element.attrib["y"]) < high


def test_signs_of_the_markup_are_escaped() -> None:
    wild = diagram.build(outcome([Step(0, "load", "<w>&\"'")], InvariantBroken("a < b & </script>")), "<title> & 'more'")
    ET.fromstring(svg.render(wild))
    page = html.render(wild)
    assert "<title> &" not in page and "a < b" not in page
    assert page.count("</script>") == 2


class Tags(HTMLParser):
    """Checks that tags close in order, and keeps what is needed."""

    EMPTY = ("meta", "br")

    def __init__(self, page):
        super().__init__()
        self.open, self.links, self.texts = [], [], {}
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def test_the_html_is_one_file_that_shows_all_of_it_without_a_script() -> None:
    page = html.render(drawn())
    read = Tags(page)
    assert read.links == []
    without = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    for row in drawn().rows:
        assert f">{row.text}</span>" in without
    assert without.count('class="mark"') == 1 and '<div id="walk" hidden>' in without
    assert len(re.findall(r'<td class="n">\d+</td><td>\d</td>', without)) == len(lost_area().steps)


def test_the_script_has_each_cpus_stack_at_each_row() -> None:
    page = html.render(drawn())
    stacks = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])
    assert len(stacks) == len(drawn().rows) and all(len(of_row) == 2 for of_row in stacks)
    assert stacks[0][1] == "CPU 1 has not begun"
    assert stacks[-1][1] == "CPU 1 in swapoff_main() > area_free_tables() > map_free() > table_free()"
