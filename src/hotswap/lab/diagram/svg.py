"""A diagram as one SVG file: for a page or a review, in the colours of the reader's light or dark. Laid out as the text is."""

import re
from xml.sax import saxutils

from . import Diagram
from .text import place, wrapped

GLYPH = 7.8  # a character of the fixed font is so wide, in units of the picture
LINE = 19  # and a line so high
MARGIN = 16
STYLE = """
    text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; fill: #24292f }
    .title { font-weight: 600 } .head { font-weight: 600; fill: #0550ae } .call { fill: #24292f } .step, .code { fill: #24292f }
    .gap, .note, .fact { fill: #57606a } .mark, .failure { fill: #b3261e; font-weight: 600 }
    .page { fill: #ffffff } .rule { stroke: #8c959f; stroke-width: 1 } .column { stroke: #d0d7de; stroke-width: 1; stroke-dasharray: 2 4 }
    .failed { fill: #ffebe9 }
    @media (prefers-color-scheme: dark) {
      text, .call, .step, .code { fill: #e6edf3 } .head { fill: #79c0ff } .gap, .note, .fact { fill: #9da7b1 }
      .mark, .failure { fill: #ff938a } .page { fill: #0d1117 } .rule { stroke: #6e7681 } .column { stroke: #30363d }
      .failed { fill: #3c1618 }
    }
"""


def render(diagram: Diagram, width: int = 110) -> str:
    """``width`` in characters, as for the text."""
    lines = place(diagram, width)
    titles = wrapped(diagram.title, width)
    head = LINE * (1 + len(titles))
    said = [("failure", diagram.failure)] if diagram.failure else []
    said += [("fact", str(stack)) for stack in diagram.stacks] + [("fact", fact) for fact in diagram.facts]
    below = [(kind, line) for kind, sentence in said for line in wrapped(sentence, width)]
    longest = max(len(text) for text in [*titles, *(text for _, text in below)])
    ends = [part.at + len(part.text) for parts in lines for part in parts]
    across = round(2 * MARGIN + GLYPH * max(longest, 0, *ends))
    high = 2 * MARGIN + head + LINE * (len(lines) + len(below) + 1)
    drawn = [f'  <rect class="page" width="{across}" height="{high}" rx="6"/>']
    drawn += [_text("title", 0, MARGIN + LINE * (n + 1) - 5, line) for n, line in enumerate(titles)]
    starts = [part.at for part in lines[0]]
    bottom = MARGIN + head + LINE * len(lines)
    for start in starts:
        x = MARGIN + GLYPH * start - 6
        drawn.append(f'  <path class="column" d="M{x:.1f} {MARGIN + head}V{bottom}"/>')
    for number, parts in enumerate(lines):
        y = MARGIN + head + LINE * number
        if any(part.row and part.row.mark for part in parts):
            drawn.append(f'  <rect class="failed" x="4" y="{y}" width="{across - 8}" height="{LINE}"/>')
        for part in parts:
            if part.kind == "rule":
                x = MARGIN + GLYPH * part.at
                drawn.append(f'  <path class="rule" d="M{x:.1f} {y + 4}h{GLYPH * len(part.text):.1f}"/>')
            else:
                drawn.append(_text(part.kind, part.at, y + LINE - 5, part.text, _hint(part.row)))
    for number, (kind, text) in enumerate(below):
        drawn.append(_text(kind, 0, bottom + LINE * (number + 2) - 5, text))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across} {high}" width="{across}" height="{high}" role="img" '
            'aria-labelledby="t d">',
            f'  <title id="t">{escape(diagram.title)}</title>',
            f'  <desc id="d">{escape(description(diagram))}</desc>',
            f"  <style>{STYLE}  </style>",
            *drawn,
            "</svg>",
            "",
        ]
    )


def escape(text: str) -> str:
    """What XML has no sign for, and what has a meaning there."""
    return saxutils.escape(re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text))


def description(diagram: Diagram) -> str:
    """The diagram for those who cannot see it: who does what, one after the other."""
    said, cpu = [], None
    for row in diagram.rows:
        if row.kind in ("step", "code"):
            said.append(f"{'' if row.cpu == cpu else diagram.columns[row.cpu] + ': '}{row.text}")
            cpu = row.cpu
    end = f". {diagram.failure}." if diagram.failure else "."
    return "; ".join(said) + end


def _hint(row) -> str:
    if row is None:
        return ""
    if row.kind == "gap":
        return f"steps {row.first} to {row.last}" if row.last > row.first else f"step {row.first}"
    return f"step {row.first}" if row.kind == "step" else ""


def _text(kind: str, at: int, y: float, text: str, hint: str = "") -> str:
    title = f"<title>{escape(hint)}</title>" if hint else ""
    return f'  <text class="{kind}" x="{MARGIN + GLYPH * at:.1f}" y="{y}">{title}{escape(text)}</text>'
