"""The engine's source keeps its rules and its two halves agree; and the checks that say so can fail."""

import pytest

from hotswap.lab import declarations, drift, rules, twin
from hotswap.lab.seam import PXD, Seam

MODULES = [f"hotswap.engine.{name}" for name in twin.engine_modules()]
HEAD = "import cython\nfrom cython.cimports.hotswap import arch\n"


@pytest.mark.parametrize("module", MODULES)
def test_the_engine_keeps_the_rules(module):
    assert rules.check_module(module) == []


@pytest.mark.parametrize("module", MODULES)
def test_pxd_and_py_declare_the_same_functions(module):
    assert drift.check_module(module) == []


def test_the_twin_of_the_seam_has_all_that_the_seam_has():
    assert drift.check_seam() == []


def test_there_are_modules_to_check():
    assert {"hotswap.engine.swap_map", "hotswap.engine.guard.percpu_ref"} <= set(MODULES)
    assert {"flags", "count", "live", "state"} <= rules.word_fields()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import os", "imports os"),
        ("import cython as c", "imports cython"),
        ("from threading import Lock", "imports threading.Lock"),
        ("from cython.cimports.libc.stdlib import malloc", "imports cython.cimports.libc.stdlib.malloc"),
        ("from cython.cimports.hotswap.arch import load", "imports cython.cimports.hotswap.arch.load"),
        ("from hotswap.engine import area", "imports hotswap.engine.area"),
        ("from .area import areas", "imports area.areas"),
    ],
)
def test_an_import_of_the_outside_is_found(line, said):
    [sentence] = rules.check("hotswap.engine.guard.percpu_ref", f"{HEAD}{line}\n")
    assert sentence == f"hotswap.engine.guard.percpu_ref, line 3: {said}"


def test_an_import_under_a_name_of_the_modules_own_is_found():
    line = "from cython.cimports.hotswap.engine.mm import BATCH_PAGES"
    [sentence] = rules.check("hotswap.engine.reclaim", f"{HEAD}{line}\n")
    assert sentence == "hotswap.engine.reclaim, line 3: imports BATCH_PAGES, a name of its own .pxd"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("return refs[type].live", "touched without the seam"),
        ("refs[type].live = 0", "touched without the seam"),
        ("ref = cython.address(refs[type]); ref.live += 1", "touched without the seam"),
        ("return counts[0].count[type] == 1", "touched without the seam"),
        ("return arch.load(refs[type].live)", "touched without the seam"),
        ("refs[0].live = refs[1].live", "touched without the seam"),
        ("return cython.address(refs[type].live)", "does not go to the seam"),
        ("word = cython.address(refs[type].live); return word[0]", "touched without the seam"),
        ("word = cython.address(refs[type].live); return word", "does not go to the seam"),
        ("leave(cython.address(refs[type].live))", "does not go to the seam"),
        ("ref = somewhere(type); return ref.live", "cannot tell whether ref.live is a shared word"),
    ],
)
def test_a_shared_word_outside_the_seam_is_found(line, said):
    source = f"{HEAD}def enter(type):\n    {line}\n"
    sentences = rules.check("hotswap.engine.guard.percpu_ref", source)
    assert sentences and all("line 4" in sentence for sentence in sentences)
    assert any(said in sentence for sentence in sentences)


def test_a_field_of_the_same_name_that_is_no_word_is_let_through():
    """``state`` of a page-table entry is a word, ``state`` of a frame stands under a lock."""
    source = "def f(mm):\n    mm.frames[0].state = 1\n"
    found = "import cython\ndef frame_put(mm, frame, state):\n    mm.frames[frame].state = state\n    return mm.ptes[0].state\n"
    assert rules.check("hotswap.engine.frames", found) == [
        "hotswap.engine.frames, line 4: mm.ptes[0].state is a shared word and touched without the seam"
    ]
    assert "cannot tell" in rules.check("hotswap.engine.frames", source)[0]  # f is not declared: what is its mm?


def test_what_drifts_apart_is_found():
    found = declarations.parse("cdef int kept(int a, long b) noexcept nogil\ncpdef void lost(int a) noexcept nogil\n")
    assert drift.compare("m", found, "def kept(a, c): pass\ndef added(): pass\n") == [
        "m: added is written in the .py and not declared in the .pxd",
        "m: kept(a, b) in the .pxd, (a, c) in the .py",
        "m: lost is declared in the .pxd and missing in the .py",
    ]


def test_a_seam_whose_twin_lacks_something_is_found():
    text = declarations.of_module(PXD).text
    more = 'cdef extern from "more.h" nogil:\n    enum:\n        MORE "ARCH_MORE"\n    void teleport "arch_teleport"(word *w)\n    void fence(int a)\n'
    assert drift.compare_seam(declarations.parse(text + more), Seam()) == [
        "the seam's twin has no constant MORE",
        "the seam's twin has no teleport()",
        "the seam's twin of fence() takes (), the seam 1 arguments",
    ]


def test_a_line_that_is_not_understood_is_refused():
    with pytest.raises(declarations.NotUnderstood, match="<text>:2"):
        declarations.parse("cdef int a\ncdef class Area:\n")
