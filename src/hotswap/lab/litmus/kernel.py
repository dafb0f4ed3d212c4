"""Reads litmus tests in the kernel's format (tools/memory-model, C tests for herd7), as much of it as docs/litmus uses.

A process's statements become operations of the seam: READ_ONCE and WRITE_ONCE are relaxed, smp_rmb() is the acquire fence, barrier()
the light half of the asymmetric pair, a spinlock a mutex. What the reader does not know is an error that names it.

``expected`` is the word after "Result:" in the test's comment: what herd7 says with linux-kernel.cfg. ``lab`` is the word after
"Lab:", where the lab's weak model cannot agree.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .program import Op, Program
from .run import ReadState


class NotRead(ValueError):
    """A litmus test that says what the lab does not know."""


@dataclass
class Test:
    program: Program
    condition: str  # the exists clause, as Python
    expected: str
    lab: str
    question: str

    def verdict(self, ends: Iterable[ReadState]) -> str:
        """Never, Sometimes or Always, as herd7 has it."""
        seen = {self.holds(*end) for end in ends}
        return "Always" if seen == {True} else "Sometimes" if True in seen else "Never"

    def holds(self, registers: list[dict[str, int]], memory: dict[str, int]) -> bool:
        names = {"r": lambda cpu, name: registers[cpu].get(name, 0), "m": lambda name: memory[name]}
        return bool(eval(self.condition, {"__builtins__": {}}, names))


def read(path: Path) -> Test:
    return parse(path.read_text(), path.name)


def parse(text: str, file: str = "a test") -> Test:
    match = re.match(r"C (?P<name>\S+)\s*\(\*(?P<comment>.*?)\*\)\s*{(?P<start>[^}]*)}(?P<rest>.*)\Z", text, re.DOTALL)
    if not match:
        raise NotRead(f"{file}: not of the form 'C name (* comment *) {{ start }} processes exists (…)'")
    comment = re.sub(r"^ \*", "", match["comment"], flags=re.MULTILINE)
    said = dict(re.findall(r"^\s*(Result|Lab): (\w+)", comment, re.MULTILINE))
    if said.get("Result") not in ("Never", "Sometimes", "Always"):
        raise NotRead(f"{file}: its comment has no 'Result: Never', 'Sometimes' or 'Always'")
    processes, _, condition = match["rest"].rpartition("exists")
    start = {name: int(value) for name, value in re.findall(r"(\w+)\s*=\s*(-?\d+)\s*;", match["start"])}
    threads = [Reader(number, body, file).process() for number, body in _processes(processes, file)]
    question = " ".join(line.strip() for line in comment.splitlines() if line.strip() and not re.match(r"\s*(Result|Lab):", line))
    return Test(
        Program(match["name"], threads, start), _condition(condition, file), said["Result"], said.get("Lab", ""), question
    )


def _processes(text: str, file: str) -> list[tuple[int, str]]:
    found = re.findall(r"P(\d+)\(([^)]*)\)\s*\n\{\n(.*?)\n\}", text, re.DOTALL)
    left = re.sub(r"P(\d+)\(([^)]*)\)\s*\n\{\n(.*?)\n\}", "", text, flags=re.DOTALL).strip()
    if left or not found or [int(n) for n, _, _ in found] != list(range(len(found))):
        raise NotRead(f"{file}: processes must be P0, P1, … in order, and nothing else: {left[:40]!r}")
    return [(int(number), body) for number, _arguments, body in found]


def _condition(text: str, file: str) -> str:
    text = text.strip()
    if not re.fullmatch(r"\((?:[\w\s:=()]|/\\|\\/|~)+\)", text):
        raise NotRead(f"{file}: exists {text!r} is not understood")
    text = re.sub(
        r"(?:(\d+):)?(\w+)\s*=\s*(\d+)", lambda m: f"r({m[1]}, {m[2]!r}) == {m[3]}" if m[1] else f"m({m[2]!r}) == {m[3]}", text
    )
    return text.replace("/\\", " and ").replace("\\/", " or ").replace("~", " not ")


_TOKEN = re.compile(r"\s*(\w+|==|!=|>=|<=|[{}();*,=!&+<>-])")
_NO_VALUE = {
    "smp_mb": "fence", "smp_rmb": "acquire", "barrier": "light", "synchronize_rcu": "synchronize",
    "rcu_read_lock": "read_lock", "rcu_read_unlock": "read_unlock",
}  # fmt: skip
_LOCKS = {"spin_lock": "mutex_lock", "spin_unlock": "mutex_unlock"}
_LOADS = {"READ_ONCE": "load", "smp_load_acquire": "load_acquire", "rcu_dereference": "load"}
_STORES = {"WRITE_ONCE": "store", "smp_store_release": "store_release", "rcu_assign_pointer": "store_release"}


class Reader:
    """One process's body."""

    def __init__(self, number: int, body: str, file: str):
        self.where = f"{file}, P{number}"
        self.tokens = _TOKEN.findall(body)
        if "".join(self.tokens) != re.sub(r"\s", "", body):
            raise NotRead(f"{self.where}: has signs that are not understood")

    def process(self) -> list[Op]:
        found: list[Op] = []
        while self.tokens:
            found += self.statement()
        return found

    def take(self, wanted: str = "") -> str:
        if not self.tokens or (wanted and self.tokens[0] != wanted):
            raise NotRead(f"{self.where}: expected {wanted or 'more'} before {' '.join(self.tokens[:6])!r}")
        return self.tokens.pop(0)

    def statement(self) -> list[Op]:
        first = self.take()
        if first == "{":
            found: list[Op] = []
            while self.tokens[:1] != ["}"]:
                found += self.statement()
            self.take("}")
            return found
        if first == "if":
            self.take("(")
            condition = self.expression(")")
            then = tuple(self.statement())
            otherwise: tuple[Op, ...] = ()
            if self.tokens[:1] == ["else"]:
                self.take()
                otherwise = tuple(self.statement())
            return [Op("if", value=condition, then=then, otherwise=otherwise)]
        if first == "int":
            first = self.take()
            if self.tokens[:1] == [";"]:
                self.take()
                return []
        if first in _NO_VALUE:
            for sign in "();":
                self.take(sign)
            return [Op(_NO_VALUE[first])]
        if first in _LOCKS:
            self.take("(")
            place = self.take()
            for sign in ");":
                self.take(sign)
            return [Op(_LOCKS[first], place)]
        if first in _STORES:
            place = self.place(first)
            self.take(",")
            value = self.expression(")")
            self.take(";")
            return [Op(_STORES[first], place, value=value)]
        self.take("=")
        if self.tokens[0] in _LOADS:
            macro = self.take()
            place = self.place(macro)
            for sign in ");":
                self.take(sign)
            return [Op(_LOADS[macro], place, first)]
        return [Op("let", register=first, value=self.expression(";"))]

    def place(self, macro: str) -> str:
        """READ_ONCE(*x), but smp_load_acquire(x)."""
        self.take("(")
        if macro in ("READ_ONCE", "WRITE_ONCE", "rcu_dereference"):
            self.take("*")
        return self.take()

    def expression(self, end: str) -> str:
        """Over registers and numbers, as Python has it."""
        words = []
        while self.tokens and self.tokens[0] != end:
            words.append({"!": "not"}.get(self.tokens[0], self.tokens[0]))
            self.take()
        self.take(end)
        if not words or not all(re.fullmatch(r"r\d+|-?\d+|==|!=|>=|<=|not|[-+<>]", word) for word in words):
            raise NotRead(f"{self.where}: the expression {' '.join(words)!r} is not understood")
        return " ".join(words)
