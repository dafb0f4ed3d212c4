"""A litmus test: for each CPU a list of operations, and what of its end is looked at.

Short notation, ``|`` between CPUs and ``;`` between operations::

    x=1  x=rel 1  a=x  a=acq x           stores and loads; locations are x, y, z, w and .x, .y (fields of a struct), the rest is registers
    a=add x 1  a=add.rel x 1             read-modify-writes, relaxed or acquire and release; a is the old value
    a=swap x 1  a=cas x 0 1              (cas is always acquire and release, as the seam's is; swap may be .rel)
    mb rmb light heavy                   full barrier, acquire fence, and the asymmetric pair
    lock l  unlock l  read[ read] gp     a mutex; a read-side critical section, a grace period

A value is an expression over the CPU's registers.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

LOCATION = re.compile(r"\.?[x-z]|w$")


@dataclass(frozen=True)
class Op:
    """``kind`` is the seam's name for it, or read_lock, read_unlock, synchronize, if, let."""

    kind: str
    place: str = ""
    register: str = ""
    value: str = ""  # an expression; of an ``if``, the condition
    expected: str = ""  # of a cas
    then: "tuple[Op, ...]" = ()
    otherwise: "tuple[Op, ...]" = ()


@dataclass
class Program:
    name: str
    threads: Sequence[Sequence[Op]]
    start: dict[str, int] = field(default_factory=dict)  # others begin as 0

    def places(self) -> list[str]:
        """The locations, but not the locks."""
        found = {op.place for thread in self.threads for op in every(thread) if op.place and not op.kind.startswith("mutex")}
        return sorted(found)


def every(ops: Sequence[Op]) -> Generator[Op, None, None]:
    for op in ops:
        yield op
        yield from every(op.then)
        yield from every(op.otherwise)


def evaluate(expression: str, registers: dict[str, int]) -> int:
    return int(eval(expression, {"__builtins__": {}}, registers))


def running(ops: Sequence[Op], registers: dict[str, int]) -> Generator[tuple[Op, int, int], int, None]:
    """A CPU's way through its operations: yields (operation, value, expected), is sent what was read."""
    for op in ops:
        if op.kind == "if":
            yield from running(op.then if evaluate(op.value, registers) else op.otherwise, registers)
        elif op.kind == "let":
            registers[op.register] = evaluate(op.value, registers)
        else:
            value = evaluate(op.value, registers) if op.value else 0
            answer = yield op, value, evaluate(op.expected, registers) if op.expected else 0
            if op.register:
                registers[op.register] = answer


_BARE = {
    "mb": "fence",
    "rmb": "acquire",
    "light": "light",
    "heavy": "heavy",
    "read[": "read_lock",
    "]": "read_unlock",
    "gp": "synchronize",
}


def program(name: str, text: str, **start: int) -> Program:
    """A program in the short notation. ``]`` ends ``read[``."""
    return Program(name, [[_op(part.strip()) for part in cpu.split(";")] for cpu in text.split("|")], start)


def _op(text: str) -> Op:
    if text in _BARE:
        return Op(_BARE[text])
    if text.startswith(("lock ", "unlock ")):
        word, place = text.split()
        return Op(f"mutex_{word}", place)
    left, _, right = text.partition("=")
    words = right.split()
    plain = "plain_" if "." in (left[0], words[-1][0]) else ""
    if LOCATION.fullmatch(left):
        return Op("store_release" if words[0] == "rel" else f"{plain}store", left, value=words[-1])
    kind, _, order = words[0].partition(".")
    if kind == "cas":
        return Op("cas", words[1], left, words[3], words[2])
    if kind in ("add", "swap"):
        return Op(kind + ("_acq_rel" if order else ""), words[1], left, words[2])
    return Op("load_acquire" if kind == "acq" else f"{plain}load", words[-1], left)


def outcome_of(names: str, registers: Sequence[dict[str, int]], memory: dict[str, int]) -> str:
    """The values of ``names`` ("a b x"), each a location or a register of whichever CPU has it, as one string of digits."""
    known: dict[str, Any] = {name: value for own in registers for name, value in own.items()} | memory
    return "".join(str(known[name]) for name in names.split())
