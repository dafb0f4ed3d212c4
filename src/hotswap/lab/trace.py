"""What a schedule leaves behind: its steps, for diagrams, and its outcome."""

import sys
from types import FrameType, GeneratorType
from typing import NamedTuple

from .findings import Finding


class Step(NamedTuple):
    """One line of a trace. ``stack``: functions of the engine, outermost first. ``kind`` is the seam call's name; "begin" where
    a CPU starts, "waits" (no step: nothing happened) where it finds that it cannot go on, "drain" of a store buffer."""

    cpu: int
    kind: str
    target: str
    details: tuple
    stack: tuple[str, ...]
    note: str


class Outcome(NamedTuple):
    """``finding`` is what went wrong, None when nothing did; ``cut``: given up half-way, since it could show nothing new."""

    finding: Finding | None
    steps: list[Step]
    choices: list[int]
    cut: bool = False


def stack_of(generator) -> tuple[str, ...]:
    """Where a stopped generator of the engine is, from the chain of those it waits for."""
    names = []
    while isinstance(generator, GeneratorType):
        if "/engine/" in generator.gi_code.co_filename:
            names.append(generator.gi_code.co_name)
        generator = generator.gi_yieldfrom
    return tuple(names)


def stack_of_frames() -> tuple[str, ...]:
    """Where the generator that runs now is: the functions of the engine among the callers."""
    names = []
    frame: FrameType | None = sys._getframe(1)
    while frame:
        if "/engine/" in frame.f_code.co_filename:
            names.append(frame.f_code.co_name)
        frame = frame.f_back
    return tuple(reversed(names))


def stack_of_traceback(error: BaseException) -> tuple[str, ...]:
    """The functions of the engine that an exception came through, plain ones too, with the line of the last."""
    names, line, at = [], 0, error.__traceback__
    while at is not None:
        if "/engine/" in at.tb_frame.f_code.co_filename:
            names.append(at.tb_frame.f_code.co_name)
            line, file = at.tb_lineno, at.tb_frame.f_code.co_filename.rpartition("/")[2]
        at = at.tb_next
    if names:
        names[-1] += f" ({file}:{line})"
    return tuple(names)
