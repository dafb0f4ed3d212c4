"""The project's own rules (tools/rules.py) hold, and each of them catches what it is there for."""

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools/rules.py"


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, looking at an empty project."""
    if not shutil.which("git"):
        pytest.skip("which files belong to the project is asked of git")
    spec = importlib.util.spec_from_file_location("project_rules", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "src").mkdir()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def add(rules: ModuleType, name: str, text: str) -> None:
    (rules.ROOT / name).write_text(text)
    subprocess.run(["git", "-C", rules.ROOT, "add", name], check=True)


def test_a_clean_project_passes(rules: ModuleType) -> None:
    add(rules, "src/good.py", '"""What it is for."""\n')
    add(rules, "src/empty.py", "")
    assert rules.modules() + rules.texts() == []


def test_a_module_without_a_purpose_is_found(rules: ModuleType) -> None:
    add(rules, "src/bad.py", "x = 1\n")
    assert rules.modules() == ["src/bad.py does not say what it is for; give it a docstring."]


def test_a_long_module_has_to_say_why(rules: ModuleType) -> None:
    lines = "x = 1\n" * (rules.LONGEST + 1)
    add(rules, "src/long.py", '"""What it is for."""\n' + lines)
    assert len(rules.modules()) == 1
    add(rules, "src/long.py", '"""What it is for. Longer than others because it is one argument."""\n' + lines)
    assert rules.modules() == []


@pytest.mark.parametrize(
    "text", ["see https://example" + ".org/page", "url = 'http://files.example" + ".com/x'", "cd /ho" + "me/me/hotswap"]
)
def test_hosts_and_paths_of_a_machine_are_found(rules: ModuleType, text: str) -> None:
    add(rules, "note.txt", f"fine\n{text}\n")
    (found,) = rules.texts()
    assert found.startswith("note.txt, line 2: ")


@pytest.mark.parametrize("text", ["http://www.w3.org/2000/svg", "framework/core", "os.path/io", "src/work/x"])
def test_what_only_looks_so_is_left_alone(rules: ModuleType, text: str) -> None:
    add(rules, "note.txt", f"{text}\n")
    assert rules.texts() == []
