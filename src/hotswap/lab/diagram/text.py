"""A diagram as text: what a mail, a terminal or a page's code block shows. ``place`` also lays it out for the SVG.

A row stands in its CPU's column and may run into the next one, which is empty there since a line has one entry. Columns are as
wide as they need to be, up to equal shares. What does not fit the width goes on in the next line, indented.
"""

import textwrap
from dataclasses import dataclass

from . import Diagram, Row

NARROW, WIDE = 80, 160  # characters a line
APART = 3
LEAST = 30  # characters a row keeps for itself, however deep its calls are
ARROW = "<-- "


@dataclass(frozen=True)
class Line:
    """``text`` from character ``at`` on. ``kind`` is its row's, or "head", "rule", "note", "mark"."""

    at: int
    text: str
    kind: str
    row: Row | None = None


def render(diagram: Diagram, width: int = 100, ascii_only: bool = False) -> str:
    """At most ``width`` (80 to 160) characters a line; ends with a newline."""
    width = min(max(width, NARROW), WIDE)
    lines = [*wrapped(diagram.title, width), ""]
    for parts in place(diagram, width):
        line = ""
        for part in parts:
            line = line.ljust(part.at) + part.text
        lines.append(line)
    if diagram.failure:
        lines += ["", *wrapped(diagram.failure, width)]
    for stack in diagram.stacks:
        lines += wrapped(f"  {stack}", width)
    if diagram.facts:
        lines += ["", *(line for fact in diagram.facts for line in wrapped(fact, width))]
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    return in_ascii(text) if ascii_only else text


def wrapped(sentence: str, width: int) -> list[str]:
    """Without breaking words: a replay id is copied in one piece."""
    return textwrap.wrap(sentence, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False) or [""]


def in_ascii(text: str) -> str:
    for sign, plain in {"…": "...", "─": "-", "·": "-", "→": "->", "←": "<-"}.items():
        text = text.replace(sign, plain)
    return text.encode("ascii", "replace").decode()


def place(diagram: Diagram, width: int) -> list[list[Line]]:
    """Heads and rows: for each line its parts, from left to right."""
    starts = columns(diagram, width)
    lines = [
        [Line(starts[cpu], head, "head") for cpu, head in diagram.columns.items()],
        [Line(starts[cpu], "─" * len(head), "rule") for cpu, head in diagram.columns.items()],
    ]
    for row in diagram.rows:
        lines += _place_row(row, starts, width)
    return lines


def columns(diagram: Diagram, width: int) -> dict[int, int]:
    """Where each CPU's column begins."""
    starts, at = {}, 0
    share = width // max(1, len(diagram.columns))
    for cpu, head in diagram.columns.items():
        starts[cpu] = at
        texts = [len(head), *(2 * row.depth + len(row.text) for row in diagram.rows if row.cpu == cpu and row.kind != "code")]
        at += min(max(texts) + APART, max(share, len(head) + APART))
    return starts


def _place_row(row: Row, starts: dict[int, int], width: int) -> list[list[Line]]:
    start = starts[row.cpu]
    after = min((other for other in starts.values() if other > start), default=width)
    # However deep the calls, a row begins in its own column and has some room.
    deepest = max(0, min(after - start - APART - 2, width - start - LEAST))
    at = start + min(2 * row.depth, deepest)
    lines = [[Line(at, text, row.kind, row)] for text in _wrap(row.text, width - at)]
    for kind, text in (("note", row.note and f"({row.note})"), ("mark", row.mark and ARROW + row.mark)):
        if not text:
            continue
        end = lines[-1][-1].at + len(lines[-1][-1].text) + 2
        if end + len(text) <= width:
            lines[-1].append(Line(end, text, kind, row))
        else:
            inset = min(at + 4, width - LEAST)
            lines += [[Line(inset, part, kind, row)] for part in _wrap(text, width - inset)]
    return lines


def _wrap(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, max(room, LEAST - 4), subsequent_indent="    ", break_on_hyphens=False) or [""]
