"""Rules that neither ruff nor mypy knows: the engine's own (hotswap.lab.rules, drift), and the project's (docs/architecture.md).

Run by ``make lint``. Prints what is wrong, a line each; exit status 1 when there is anything.
"""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

from hotswap.lab import drift, rules

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 400  # lines of a module; a longer one says why at its top
HOSTS = re.compile(r"\b(?!w3\.org/2000/svg)[a-z0-9-]+\.(?:org|com|io|net)/", re.IGNORECASE)  # an SVG has to name its format so
MACHINE = re.compile(r"(?<![\w.])/(?:work|farm|home|root)/")


def main() -> int:
    """The exit status."""
    wrong = [*engine(), *drift.check_seam(), *modules(), *texts()]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


def engine() -> list[str]:
    """What the compiler of the engine does not see."""
    found = []
    for path in sorted((ROOT / "src/hotswap/engine").rglob("*.py")):
        if path.name != "__init__.py":
            name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
            found += rules.check_module(name) + drift.check_module(name)
    return found


def modules() -> list[str]:
    """A module says what it is for, and why if it is long."""
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        source = path.read_text()
        purpose = ast.get_docstring(ast.parse(source))
        if source and not purpose:
            found.append(f"{path.relative_to(ROOT)} does not say what it is for; give it a docstring.")
        elif len(source.splitlines()) > LONGEST and "onger than" not in (purpose or ""):
            found.append(
                f"{path.relative_to(ROOT)} is long ({len(source.splitlines())} lines) and does not say why ('Longer than ...')."
            )
    return found


def texts() -> list[str]:
    """No file that git knows names a host of the network or a path of the machine it was written on."""
    if not shutil.which("git"):
        return []
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = []
    for name in filter(None, names.split("\0")):
        path = ROOT / name
        if not path.is_file() or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if HOSTS.search(line):
                found.append(f"{name}, line {number}: names a host of the network.")
            if MACHINE.search(line):
                found.append(f"{name}, line {number}: names a path of one machine.")
    return found


if __name__ == "__main__":
    sys.exit(main())
