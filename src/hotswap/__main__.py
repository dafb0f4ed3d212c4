"""``hotswap``, and ``python -m hotswap``: the commands of hotswap.cli.

A program that is run waits for all that happens here first, and loading what reads command lines (click) would take longer than the
rest together. So ``hotswap run`` with options as they should be goes straight to hotswap.run; all else, help and mistakes too, goes to
click.
"""

import sys
from collections.abc import Sequence

_OPTIONS = ("--limit", "--swap", "--min-size", "--config", "--children-limit")  # of cli/run.py, and each has a value


def main() -> None:
    if sys.argv[1:2] == ["run"] and (found := run_words(sys.argv[2:])):
        from .run.launch import start

        given, command = found
        swap = tuple(value for name, value in given if name == "--swap")
        last = dict(given)  # of one that may not be repeated the last counts, as with click
        config, children = last.get("--config"), last.get("--children-limit")
        start(last.get("--limit"), swap, last.get("--min-size"), config, children, command)
    from .cli import main

    main(prog_name="hotswap")


def run_words(words: Sequence[str]) -> tuple[list[tuple[str, str]], Sequence[str]] | None:
    """What stands behind ``hotswap run``: options with their values, and the command. None where that is not plain to see."""
    given, at = [], 0
    while at < len(words) and words[at].startswith("-") and words[at] != "--":
        name, equals, value = words[at].partition("=")
        if not equals:
            at += 1
            value = words[at] if at < len(words) else "-"
        if name not in _OPTIONS or (value.startswith("-") and not equals):
            return None
        given.append((name, value))
        at += 1
    command = words[at + 1 :] if words[at : at + 1] == ["--"] else words[at:]
    return (given, command) if command else None


if __name__ == "__main__":
    main()
