"""A diagram as one HTML file that needs nothing else: the drawing as a table, all steps below it, and a way to go through them.

Without JavaScript it is the whole diagram. With it, arrow keys or buttons go from row to row and show every CPU's stack there.
"""

import json
from html import escape

from . import DRAIN, Diagram, Row, Stack, operation

STYLE = """
:root { color-scheme: light dark; --ink: #24292f; --dim: #57606a; --page: #fff; --line: #d0d7de; --head: #0550ae; --bad: #b3261e;
  --badpage: #ffebe9; --at: #fff8c5 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9da7b1; --page: #0d1117; --line: #30363d; --head: #79c0ff;
  --bad: #ff938a; --badpage: #3c1618; --at: #2e2a1f } }
body { background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; max-width: 110rem }
h1 { font-size: 1.1rem } table { border-collapse: collapse; font: 13px/1.45 ui-monospace, Menlo, Consolas, monospace }
th { text-align: left; color: var(--head); border-bottom: 1px solid var(--line); padding: .2rem 1.5rem .2rem .5rem }
td { padding: 0 1.5rem 0 .5rem; vertical-align: top; border-left: 1px dotted var(--line) }
td.n, th.n { color: var(--dim); text-align: right; border-left: 0; font-weight: normal }
tr:hover td { background: var(--at) } tr.failed td { background: var(--badpage) } tr.at td { background: var(--at) }
tr.at td.n::before { content: "\\25b6\\00a0" }
.gap, .note, .facts { color: var(--dim) } .mark, .failure { color: var(--bad); font-weight: 600 } .code { font-style: italic }
button { font: inherit } #stacks { min-height: 5rem; white-space: pre-wrap; font: 13px/1.45 ui-monospace, Menlo, monospace }
"""

SCRIPT = """
const rows = [...document.querySelectorAll("#drawing tbody tr")], stacks = JSON.parse(document.getElementById("data").textContent);
const panel = document.getElementById("walk"), shown = document.getElementById("stacks");
let at = -1;
function go(to) {
  at = Math.max(0, Math.min(rows.length - 1, to));
  rows.forEach((row, n) => { row.classList.toggle("at", n === at); row.toggleAttribute("aria-current", n === at); });
  rows[at].scrollIntoView({block: "nearest"});
  shown.textContent = stacks[at].join("\\n");
}
panel.hidden = false;
document.getElementById("back").onclick = () => go(at - 1);
document.getElementById("on").onclick = () => go(at + 1);
rows.forEach((row, n) => row.onclick = () => go(n));
document.onkeydown = event => {
  if (event.key === "ArrowDown" || event.key === "j") { go(at + 1); event.preventDefault(); }
  if (event.key === "ArrowUp" || event.key === "k") { go(at - 1); event.preventDefault(); }
};
"""


def render(diagram: Diagram) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in diagram.columns.values())
    rows = "\n".join(_row(row, diagram) for row in diagram.rows)
    below = [f'<p class="failure" role="note">{escape(diagram.failure)}</p>'] if diagram.failure else []
    below += [f"<p>{escape(str(stack))}</p>" for stack in diagram.stacks]
    below += [f'<p class="facts">{escape(fact)}</p>' for fact in diagram.facts]
    steps = "\n".join(_step(number, step) for number, step in enumerate(diagram.steps, 1))
    data = json.dumps(where(diagram)).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(diagram.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(diagram.title)}</h1>
<div id="walk" hidden><button id="back" type="button">back</button> <button id="on" type="button">on</button>
a row at a time, or arrow keys<div id="stacks" aria-live="polite"></div></div>
<table id="drawing">
<thead><tr><th class="n" scope="col">step</th>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
{chr(10).join(below)}
<details>
<summary>all {len(diagram.steps)} steps</summary>
<table>
<thead><tr><th class="n" scope="col">step</th><th scope="col">CPU</th><th scope="col">operation</th><th scope="col">in</th></tr></thead>
<tbody>
{steps}
</tbody>
</table>
</details>
<script type="application/json" id="data">{data}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def where(diagram: Diagram) -> list[list[str]]:
    """For each row the stacks of all CPUs as they are when it happens."""
    last: dict[int, str] = {}
    found, place = [], 0
    for row in diagram.rows:
        while place < min(row.last, len(diagram.steps)):
            step = diagram.steps[place]
            place += 1
            if step.kind != DRAIN:
                last[step.cpu] = _at(step)
        found.append([last.get(cpu, f"CPU {cpu} has not begun") for cpu in diagram.columns])
    return found


def _at(step) -> str:
    return str(Stack(step.cpu, "in", (*step.stack, step.kind)))


def _row(row: Row, diagram: Diagram) -> str:
    cells = []
    for cpu in diagram.columns:
        if cpu != row.cpu:
            cells.append("<td></td>")
            continue
        more = f' <span class="note">({escape(row.note)})</span>' if row.note else ""
        more += f' <span class="mark">&lt;-- {escape(row.mark)}</span>' if row.mark else ""
        indent = f' style="padding-left: {0.5 + row.depth:g}rem"'
        cells.append(f'<td{indent}><span class="{row.kind}">{escape(row.text)}</span>{more}</td>')
    number = {"step": str(row.first), "gap": f"{row.first}-{row.last}" if row.last > row.first else str(row.first)}
    failed = ' class="failed"' if row.mark else ""
    title = ""
    if row.kind == "step":
        title = f' title="{escape(_at(diagram.steps[row.first - 1]))}"'
    return f'<tr{failed}{title}><td class="n">{number.get(row.kind, "")}</td>{"".join(cells)}</tr>'


def _step(number: int, step) -> str:
    note = f' <span class="note">({escape(step.note)})</span>' if step.note else ""
    inside = escape(" > ".join(step.stack))
    return f'<tr><td class="n">{number}</td><td>{step.cpu}</td><td>{escape(operation(step))}{note}</td><td>{inside}</td></tr>'
