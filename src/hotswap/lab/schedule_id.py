"""Ids of schedules: short strings that say which case, of which source, and who stepped when; ``decode`` refuses what is none.

``r01.none.-.sc.1f9c2a7b.a41b97a2``: scenario, guard, switch, memory model, a digest of the source, and the choices: a letter a CPU and how
many steps it made (A is what happens by itself for CPU a: its store buffer), ``x3`` where the memory model took its value 3.
"""

import ast
import hashlib
import re
from functools import cache
from pathlib import Path

from ..errors import HotswapError
from . import declarations
from .machine import BUFFERS
from .scenario.contract import Case, find

# Of the lab: what a step is, and what a scenario stands on. Strategies and diagrams may change without making ids stale.
_LAB = [
    "atomics",
    "cstand",
    "declarations",
    "disk",
    "kinds",
    "machine",
    "memory",
    "mmu",
    "model/*",
    "seam",
    "source",
    "stepping",
    "steps",
    "sync",
    "twin",
    "watch",
    "world",
]


# By suffix: a string, which is kept, or a comment.
_COMMENTS = {
    ".py": re.compile(r'''("""(?:[^\\]|\\.)*?"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|#[^\n]*''', re.DOTALL),
    ".pxd": re.compile(r'("[^"\n]*")|#[^\n]*'),
    ".h": re.compile(r'("(?:[^"\\\n]|\\.)*")|/\*.*?\*/', re.DOTALL),
}


class BadId(HotswapError):
    """A string that is no id, or is one of another version of the source."""


@cache
def digest(scenario: str) -> str:
    """Of everything a schedule of the scenario depends on. What only people read makes no id stale."""
    package = declarations.ENGINE.parent
    kinds = [f"{place}/*{suffix}" for place in ("engine/**", "arch") for suffix in _COMMENTS]
    files = [p for pattern in kinds for p in package.glob(pattern)]
    files += [p for name in _LAB for p in package.glob(f"lab/{name}.py")]
    files += [package / "lab/scenario" / f"{name}.py" for name in (scenario, "switches")]
    state = hashlib.sha256()
    for path in sorted(p for p in files if p.exists()):
        state.update(f"{path.relative_to(package).as_posix()}\0{code(path)}\0".encode())
    return state.hexdigest()[:8]


@cache
def code(path: Path) -> str:
    """A source file without comments, docstrings and empty lines; the same under every version of Python."""
    text = path.read_text()
    if path.suffix == ".py":
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                first, last = node.body[0].lineno, node.body[0].end_lineno or 0
                lines[first - 1 : last] = [""] * (last - first + 1)
        text = "\n".join(lines)
    text = _COMMENTS[path.suffix].sub(lambda found: found[1] or "", text)
    return "\n".join(stripped for line in text.splitlines() if (stripped := line.rstrip()))


def encode(case: Case, choices: list[int]) -> str:
    parts: list[str] = []
    at = 0
    while at < len(choices):
        choice = choices[at]
        upto = at + 1
        if choice < 0:
            parts.append(f"x{-1 - choice}")
        else:
            while upto < len(choices) and choices[upto] == choice:
                upto += 1
            letter = chr((ord("a") + choice) if choice < BUFFERS else (ord("A") + choice - BUFFERS))
            parts.append(letter + (str(upto - at) if upto - at > 1 else ""))
        at = upto
    return ".".join((case.short, case.guard, case.switch or "-", case.model, digest(case.scenario), "".join(parts)))


def decode(text: str) -> tuple[Case, list[int]]:
    """The case and the choices."""
    fields = text.strip().split(".")
    if len(fields) != 6 or not re.fullmatch(r"(?:[a-pA-P]\d*|x\d+)*", fields[5]):
        raise BadId(f"{text!r} is no id of a schedule; one looks like r01.none.-.sc.1f9c2a7b.a41b97a2.")
    key, guard, switch, model, version, letters = fields
    scenario = find(key)
    case = Case(scenario.key, guard, "" if switch == "-" else switch, model)
    if case not in scenario.expected():
        raise BadId(f"{text!r}: scenario {scenario.name} has no case of guard {guard}, switch {switch}, model {model}.")
    if version != digest(case.scenario):
        raise BadId(
            f"{text!r} is of another version of the source ({version}, this one is {digest(case.scenario)}); run it anew."
        )
    choices: list[int] = []
    for letter, count in re.findall(r"([a-zA-Z])(\d*)", letters):
        if letter == "x":
            choices.append(-1 - int(count))
        else:
            actor = ord(letter) - ord("a") if letter.islower() else ord(letter) - ord("A") + BUFFERS
            choices += [actor] * int(count or 1)
    return case, choices
