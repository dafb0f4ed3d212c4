"""Settings: from options of a command, else from the environment, else from a TOML file, else as ``Settings`` has them.

``HOTSWAP_LIMIT`` is the setting ``limit``, and so on; several areas in ``HOTSWAP_SWAP`` are separated as words of a shell. The file is
the one that ``--config`` or ``HOTSWAP_CONFIG`` names, else the nearest ``hotswap.toml`` or ``pyproject.toml`` with a table
``[tool.hotswap]``, from the working directory upwards. One found on the way that belongs to another user (root is none) is passed
over: it could name that user's wishes in a directory that many may write to. Paths in a file are relative to it.

Whatever is unknown or has a value that is none is refused with a ``ConfigError`` that says where it stands.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from . import machine
from .errors import ConfigError, HotswapError
from .sizes import format_size, parse_size

PRIORITIES = range(-1, 32768)  # as swapon(2) has them
LEAST = 16 << 10  # bytes: allocations below that cost more in ranges of their own than they give
NONE = "none"  # as children_limit: children that are executed go without
TABLE = "[tool.hotswap]"
_FILES = ("hotswap.toml", "pyproject.toml")
_PREFIX = "HOTSWAP_"
_FOREIGN = ("CONFIG", "DEBUG", "FAULTS", "GUARD", "JOIN", "MMU", "TEST_DIR")  # of the environment, and read elsewhere
_OPTION = re.compile(r"(.*),([a-z]+)=([^,/]*)", re.DOTALL)


class AreaSpec(NamedTuple):
    """An area that is to go on: ``size`` in bytes, None for what it has; ``compressed``: bytes of compressed memory in front of it."""

    path: str
    size: int | None = None
    priority: int = 0
    compressed: int | None = None


class Settings(NamedTuple):
    """What holds: sizes in bytes. ``origins`` tells of each setting that was given where, in words."""

    limit: int | None = None  # of resident memory
    swap: tuple[AreaSpec, ...] = ()
    min_size: int = 256 << 10  # bytes: allocations from here on are swappable
    children_limit: str | None = None  # of each child process: a size, a part of ``limit`` in percent, or NONE
    origins: Mapping[str, str] = MappingProxyType({})


def parse_area(text: str, what: str = "area") -> AreaSpec:
    """``FILE[:SIZE][,pri=N][,compressed=SIZE]``. What follows the last colon is the size when it begins with a digit, else a part of the name."""
    rest, priority, compressed = text, 0, None
    while match := _OPTION.fullmatch(rest):
        rest, option, value = match.groups()
        if option == "compressed":
            compressed = parse_size(value, f"{what} {text!r}: compressed", whole=machine.memory)
            continue
        if option != "pri":
            raise ConfigError(
                f"{what} {text!r} has an unknown option {option!r}; there are pri and compressed, as in a.swap:8G,pri=10,compressed=512M."
            )
        if not re.fullmatch(r"-?[0-9]+", value) or int(value) not in PRIORITIES:
            raise ConfigError(f"{what} {text!r}: priority {value!r} is not a whole number from -1 to 32767; choose one that is.")
        priority = int(value)
    path, colon, size = rest.rpartition(":")
    if not colon or "/" in size or (size and not size[0].isdigit()):
        path, size = rest, ""
    elif path == "ram":
        path = "ram:"  # compressed memory; a file of that name is ./ram
    elif path and not size:
        raise ConfigError(f"{what} {text!r} ends where its size should stand; write it as in a.swap:8G, or leave out the colon.")
    if not path or path.startswith(":"):
        raise ConfigError(f"{what} {text!r} names no file; write it as FILE[:SIZE][,pri=N], such as a.swap:8G,pri=10.")
    return AreaSpec(
        path, parse_size(size, f"{what} {text!r}: size", whole=machine.memory) if size else None, priority, compressed
    )


def resolve(
    options: Mapping[str, Any] | None = None,
    *,
    config: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """The settings that hold. ``options``: what a command was given, by setting; None and () are "not given". ``config``: the file
    that it named. ``environ`` and ``directory`` stand for the environment and the working directory."""
    environ = os.environ if environ is None else environ
    given, origins = {}, {}
    for source in (_of_file(config, environ, directory or Path.cwd()), _of_environment(environ), _of_options(options or {})):
        for name, (value, origin, base) in source.items():
            given[name], origins[name] = _parsed(name, value, origin, base), origin
    return Settings(**given, origins=origins)


# --- one setting -----------------------------------------------------------------------------------------------------

_Given = dict[str, tuple[Any, str, Path | None]]  # by name: what was written, where, and what its paths are relative to


def _limit(value: Any, base: Path | None) -> int:
    return parse_size(value, "limit", whole=machine.memory)


def _areas(value: Any, base: Path | None) -> tuple[AreaSpec, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f'swap {value!r} is neither text nor a list of texts; write it as in ["a.swap:8G,pri=10"].')
    specs = [parse_area(text) for text in texts]
    if base is None:
        return tuple(specs)
    return tuple(spec if _no_file(spec.path) else spec._replace(path=str(base / spec.path)) for spec in specs)


def _no_file(path: str) -> bool:
    return path.startswith("ram:") or "://" in path


def _min_size(value: Any, base: Path | None) -> int:
    size = parse_size(value, "min_size")
    if size < LEAST:
        raise ConfigError(f"min_size {value!r} is below {format_size(LEAST)}, where ranges of their own do not pay; give more.")
    return size


def _children_limit(value: Any, base: Path | None) -> str:
    if value != NONE:
        children_bytes(value, 1 << 40)
    return str(value)


def children_bytes(value: int | str, limit: int) -> int:
    """The limit of a child process, which may be a part of that of the program. Raises ``SizeError``."""
    return parse_size(value, "children_limit", whole=lambda: limit)


_PARSERS: dict[str, Callable[[Any, Path | None], Any]] = {
    "limit": _limit,
    "swap": _areas,
    "min_size": _min_size,
    "children_limit": _children_limit,
}
assert set(_PARSERS) == {*Settings._fields} - {"origins"}


def _parsed(name: str, value: Any, origin: str, base: Path | None) -> Any:
    try:
        return _PARSERS[name](value, base)
    except HotswapError as error:
        raise ConfigError(f"{origin}: {error}") from None


# --- where settings stand --------------------------------------------------------------------------------------------


def _of_options(options: Mapping[str, Any]) -> _Given:
    _refuse_unknown(options, "options of this command")
    return {
        name: (value, f"--{name.replace('_', '-')}", None) for name, value in options.items() if value is not None and value != ()
    }


def _of_environment(environ: Mapping[str, str]) -> _Given:
    """Names that are not ours may be somebody's; those that look like a slip of the pen are refused."""
    known, foreign = [_PREFIX + name.upper() for name in _PARSERS], [_PREFIX + name for name in _FOREIGN]
    found: _Given = {}
    for variable in sorted(environ):
        if variable in known and environ[variable]:
            name = variable.removeprefix(_PREFIX).lower()
            value: Any = environ[variable]
            if name == "swap":
                value = _words(variable, value)
            found[name] = (value, variable, None)
        elif variable.startswith(_PREFIX) and variable not in (*known, *foreign):
            import difflib  # seldom needed, and who starts a program has no time to lose

            close = difflib.get_close_matches(variable, known, 1, 0.85)
            if close:
                raise ConfigError(f"{variable} in the environment is unknown; did you mean {close[0]}?")
    return found


def _words(variable: str, value: str) -> list[str]:
    import shlex

    try:
        return shlex.split(value)
    except ValueError as error:
        raise ConfigError(f"{variable}: {value!r} has unbalanced quotes ({error}); separate areas by spaces.") from None


def _of_file(config: str | os.PathLike[str] | None, environ: Mapping[str, str], directory: Path) -> _Given:
    named = [(config, "--config"), (environ.get(_PREFIX + "CONFIG"), f"{_PREFIX}CONFIG")]
    for name, by in named:
        if name:
            path = directory / name
            table = _table(path, f"{by} {os.fspath(name)}")
            if table is None:
                raise ConfigError(f"{by} {os.fspath(name)} has no table {TABLE}; add it, or name another file.")
            break
    else:
        path, table = next(_found(directory), (directory, {}))
    if table:
        _refuse_unknown(table, f"{TABLE} of {path}")
    return {name: (value, f"{path}, {name}", path.parent) for name, value in table.items()}


def _found(directory: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Files that have the table, the nearest first."""
    for place in (directory, *directory.parents):
        for name in _FILES:
            path = place / name
            try:
                owner = path.stat().st_uid
            except OSError:
                continue
            if owner in (0, os.geteuid()) and (table := _table(path, str(path))) is not None:
                yield path, table


def _table(path: Path, what: str) -> dict[str, Any] | None:
    """The table of ours in a file; None where it has none."""
    import tomllib  # only where there is a file

    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{what} cannot be read: {error.strerror}; name a file that can be.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{what} is not valid TOML: {error}; correct it.") from None
    tool = found.get("tool", {})
    table = tool.get("hotswap") if isinstance(tool, dict) else None
    if table is None and path.name == _FILES[0]:
        raise ConfigError(f"{what} has no table {TABLE}; put the settings under that heading.")
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{what}: {TABLE} is not a table; write its settings below that heading.")
    return table


def _refuse_unknown(given: Mapping[str, Any], where: str) -> None:
    for name in given:
        if name not in _PARSERS:
            raise ConfigError(f"{name!r} in {where} is unknown; the settings are {', '.join(_PARSERS)}.")
