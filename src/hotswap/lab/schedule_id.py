"""Ids of schedules: short strings that say which case, of which source, and who stepped when; ``decode`` refuses what is none.

``r01.none.-.sc.1f9c2a7b.a41b97a2``: scenario, guard, switch, memory model, a digest of the source, and the choices: a letter a CPU and how
many steps it made (A is what happens by itself for CPU a: its store buffer), ``x3`` where the memory model took its value 3.
"""

import hashlib
import re
from functools import cache

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


class BadId(HotswapError):
    """A string that is no id, or is one of another version of the source."""


@cache
def digest(scenario: str) -> str:
    """Of everything a schedule of the scenario depends on."""
    package = declarations.ENGINE.parent
    files = [p for pattern in ("engine/**/*.py", "engine/**/*.pxd", "arch/*") for p in package.glob(pattern) if p.is_file()]
    files += [p for name in _LAB for p in package.glob(f"lab/{name}.py")]
    files += [package / "lab/scenario" / f"{name}.py" for name in (scenario, "switches")]
    state = hashlib.sha256()
    for path in sorted(p for p in files if p.exists()):
        state.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()[:8]


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
