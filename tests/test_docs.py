"""What the documentation says is so: its example runs, its links lead somewhere, the functions it names exist."""

import inspect
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

import hotswap

ROOT = Path(__file__).resolve().parent.parent
TEXTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
CODE = [*(ROOT / "src/hotswap/engine").rglob("*.py"), *(ROOT / "src/hotswap/arch").glob("*.h")]
COMMANDS = {"bench", "check", "demo", "lab", "limit", "metrics", "mkswap", "off", "on", "ps", "run", "show", "top"}

texts = pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(text: Path, language: str) -> list[str]:
    """The contents of its code blocks of one language; "" for those that name none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text.read_text(), re.MULTILINE | re.DOTALL)
    return [block for named, block in found if named == language]


def heading_anchor(heading: str) -> str:
    """As code hosts make them: small letters, hyphens for spaces, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_there_is_documentation_to_check() -> None:
    assert len(TEXTS) >= 10 and any("(fault.md" in text.read_text() for text in TEXTS)


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "README.md", "python")
    assert len(example.splitlines()) <= 10
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "src"))
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    moved, total = re.fullmatch(r"([0-9]+) pages moved; the sum is ([0-9,]+)\n", done.stdout).groups()  # type: ignore[union-attr]
    assert int(moved) > 1000 and total == f"{4_000_000 * 28:,}"


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {name for text in TEXTS for name in re.findall(r"(?:^|`)make ([\w-]+)", text.read_text(), re.MULTILINE)}
    assert {"demo", "test"} <= named
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


@texts
def test_every_relative_link_leads_somewhere(text: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text.read_text()):
        assert "://" not in target, f"{target}: documentation stands by itself"
        name, _, anchor = target.partition("#")
        led_to = text.parent / name if name else text
        assert led_to.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", led_to.read_text(), re.MULTILINE)
            assert anchor in map(heading_anchor, headings), target


@pytest.mark.parametrize("name", ["fault.md", "swapoff.md"])
def test_every_function_and_lock_that_is_named_exists(name: str) -> None:
    code = "\n".join(path.read_text() for path in CODE)
    elsewhere = {"get_swap_device", "free_swap_and_cache"}  # the kernel's
    named = set(re.findall(r"\b([a-z]\w+)\(\)", (ROOT / "docs" / name).read_text())) - elsewhere
    assert len(named) > 12
    missing = {function for function in named if not re.search(rf"^def {function}\(|\barch_{function}\(", code, re.MULTILINE)}
    assert missing == set()


@pytest.mark.parametrize(("name", "module"), [("fault.md", "fault.py"), ("swapoff.md", "swapoff.py")])
def test_no_function_of_the_way_is_left_out(name: str, module: str) -> None:
    source = (ROOT / "src/hotswap/engine" / module).read_text()
    text = (ROOT / "docs" / name).read_text()
    details = {"sift", "fail", "lock_found", "swapoff_progress"}
    assert {function for function in re.findall(r"^def (\w+)", source, re.MULTILINE) if f"{function}()" not in text} <= details


def test_every_verb_that_the_readme_shows_exists_and_none_is_left_out() -> None:
    usage = [line.split() for block in blocks(ROOT / "README.md", "") for line in block.splitlines()]
    assert {words[1] for words in usage if words[:1] == ["hotswap"]} == COMMANDS


def test_decisions_are_numbered_without_gaps_and_say_what_why_and_what_was_rejected() -> None:
    records = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        words = record.read_text()
        assert words.startswith(f"# {int(record.name[:4])}. ")
        assert all(word in words for word in ("**Decided.**", "**Why.**", "**Rejected")), record.name


def test_the_picture_is_well_formed_and_says_what_it_shows() -> None:
    picture = xml.parse(ROOT / "docs/picture.svg").getroot()
    names = [element.tag.split("}")[-1] for element in picture]
    assert "title" in names and "desc" in names and picture.get("viewBox")


@pytest.mark.parametrize("name", hotswap.__all__)
def test_every_public_name_has_a_docstring(name: str) -> None:
    thing = getattr(hotswap, name)
    assert inspect.getdoc(thing) and thing.__doc__, name
    if inspect.isclass(thing) and not issubclass(thing, BaseException | tuple):
        for method, value in vars(thing).items():
            if not method.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{method}"


def test_the_version_is_the_one_of_the_project_and_of_the_changelog() -> None:
    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert project and project[1] == hotswap.__version__
    assert f"## {hotswap.__version__}" in (ROOT / "CHANGELOG.md").read_text()
