"""The command line: what every verb has in common."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import hotswap
from hotswap import cli
from hotswap.errors import AreaError

PYTHON = [sys.executable, "-m", "hotswap"]


@pytest.mark.parametrize(
    "verb", ["bench", "check", "demo", "lab", "limit", "metrics", "mkswap", "off", "on", "ps", "run", "show", "top"]
)
def test_every_verb_is_listed_and_has_help(verb: str) -> None:
    assert f"\n  {verb} " in CliRunner().invoke(cli.main, ["--help"]).output
    helped = CliRunner().invoke(cli.main, [verb, "--help"])
    assert helped.exit_code == 0 and "Usage:" in helped.output


def test_a_verb_is_loaded_when_it_is_asked_for() -> None:
    code = "import sys, hotswap.cli; print([m for m in sys.modules if m.startswith(('hotswap.demo', 'hotswap.bench', 'rich'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_unknown_verb_is_wrong_usage() -> None:
    refused = CliRunner().invoke(cli.main, ["swapin"])
    assert refused.exit_code == 2 and "swapin" in refused.output


def test_python_m_hotswap_says_which_version_it_is() -> None:
    done = subprocess.run([*PYTHON, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"hotswap {hotswap.__version__}\n"


def test_the_installed_command_is_the_same() -> None:
    script = Path(sys.executable).parent / "hotswap"
    if not script.exists():
        pytest.skip("hotswap is not installed beside this Python")
    assert subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout.startswith("hotswap ")


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Puts a verb that raises ``error`` in the place of mkswap."""

    @click.command()
    def mkswap() -> None:
        raise error

    monkeypatch.setattr("hotswap.cli.mkswap.mkswap", mkswap)


def test_a_hotswap_error_is_one_sentence_on_stderr_and_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, AreaError("a.swap is refused: it is a directory.", 21))
    done = CliRunner().invoke(cli.main, ["mkswap"])
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "Error: a.swap is refused: it is a directory.\n")


def test_another_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError())
    assert isinstance(CliRunner().invoke(cli.main, ["mkswap"]).exception, ZeroDivisionError)


def test_ctrl_c_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    done = CliRunner().invoke(cli.main, ["mkswap"])
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_real_ctrl_c_ends_a_verb_without_a_traceback(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = (
        "import click, pathlib, time, hotswap.cli, hotswap.cli.mkswap as m\n"
        f"m.mkswap = click.command()(lambda: (pathlib.Path({str(ready)!r}).touch(), time.sleep(60)))\n"
        "hotswap.cli.main(['mkswap'], prog_name='hotswap')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said.strip()) == (130, "interrupted")
