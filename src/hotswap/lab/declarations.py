"""The engine's .pxd files, read: so that structs and constants are stated once.

The subset that the engine uses: ``cimport``; ``enum`` constants with expressions; ``struct``; ``ctypedef`` of structs,
opaque structs and function pointers; variables, pointers and arrays; signatures of ``cdef`` and ``cpdef`` functions; all of
it inside ``cdef extern from`` too. A line that is not understood is an error: the twin would lack what it says.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ENGINE = Path(__file__).resolve().parent.parent / "engine"
ROOT = ENGINE.parent.parent  # where ``hotswap.engine.area`` begins


@dataclass(frozen=True)
class Type:
    """``const uint64_t *x[4]`` is Type("uint64_t", 1, ("4",)): stars bind before brackets. Sizes are expressions."""

    base: str
    stars: int = 0
    sizes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Function:
    name: str
    returns: Type
    arguments: tuple[tuple[str, Type], ...]
    public: bool  # cpdef: Python can call it when it is compiled
    line: int


@dataclass
class Declarations:
    """What one .pxd says. Names of cimports map to (module, name), a module's own to (module, None)."""

    path: Path
    text: str = ""
    cimports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    constants: dict[str, str | None] = field(default_factory=dict)  # None: one more than the one before it
    structs: dict[str, dict[str, Type]] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    variables: dict[str, Type] = field(default_factory=dict)
    callbacks: set[str] = field(default_factory=set)  # ctypedefs of function pointers
    c_names: dict[str, str] = field(default_factory=dict)  # name: the quoted name in C
    opaque: set[str] = field(default_factory=set)  # structs of the seam without fields


class NotUnderstood(Exception):
    """A line of a .pxd that the twin cannot read."""


_DECLARATOR = r'(?P<stars>[*\s]*)(?P<name>\w+)\s*(?P<c>"[^"]*")?\s*(?P<sizes>(?:\[[^]]*\]\s*)*)'
_NUMBER = r"(?:(?:unsigned|long|short)\s+)*(?:char|short|int|long)|unsigned"
_TYPE = rf"(?:const\s+)?(?:struct\s+)?(?P<base>(?:{_NUMBER}|[\w.]+)(?=[\s*]))"
_VARIABLE = re.compile(rf"{_TYPE}\s*{_DECLARATOR}$")
_FUNCTION = re.compile(rf'{_TYPE}(?P<stars>[*\s]+)(?P<name>\w+)\s*(?P<c>"[^"]*")?\s*\((?P<arguments>.*)\)(?P<tail>[\w\s?*+-]*)$')
_CALLBACK = re.compile(r'ctypedef\s+.*\(\s*\*\s*(\w+)\s*(?:"[^"]*")?\s*\)\s*\(.*\).*$')
_BLOCK = re.compile(r'(?:cdef\s+|ctypedef\s+)?(?:packed\s+)?(?P<what>enum|struct)\b\s*(?P<name>\w+)?\s*(?P<c>"[^"]*")?\s*:$')
_EXTERN = re.compile(r"cdef\s+extern\s+from\s+.*:$|cdef\s*:$")


def module_path(module: str, suffix: str) -> Path:
    """``hotswap.engine.area`` and ".py": where its source stands."""
    base = ROOT.joinpath(*module.split("."))
    return base / f"__init__{suffix}" if base.is_dir() else base.with_suffix(suffix)


def of_module(module: str) -> Declarations:
    """The declarations of a module of the engine or of the seam; read again when the file has changed."""
    path = module_path(module, ".pxd")
    return _read(path, path.stat().st_mtime_ns) if path.exists() else Declarations(path)


@cache
def _read(path: Path, changed: int) -> Declarations:
    return parse(path.read_text(), path)


def parse(text: str, path: Path = Path("<text>")) -> Declarations:
    found = Declarations(path, text)
    blocks: list[tuple[int, str, str]] = []  # (indent, what, name) around the line
    for number, line in _logical_lines(text):
        indent = len(line) - len(line.lstrip())
        while blocks and blocks[-1][0] >= indent:
            blocks.pop()
        inside = blocks[-1][1:] if blocks else ("", "")
        try:
            opened = _statement(found, line.strip(), inside, number)
        except NotUnderstood as error:
            raise NotUnderstood(f"{path}:{number}: {error}") from None
        if opened:
            blocks.append((indent, *opened))
    return found


def _logical_lines(text: str):
    """Lines without comments, those that go on inside parentheses joined; with the number of their first."""
    gathered, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        line = re.sub(r'("[^"]*")|#.*', lambda m: m[1] or "", line).rstrip()
        if not gathered:
            start = number
        gathered = f"{gathered} {line.strip()}" if gathered else line
        if gathered.count("(") > gathered.count(")"):
            continue
        if gathered.strip():
            yield start, gathered
        gathered = ""


def _statement(found: Declarations, line: str, inside: tuple[str, str], number: int) -> tuple[str, str] | None:
    """Files what one line says; what block it opens, if it does."""
    what, name = inside
    if line == "pass":
        return None
    if _EXTERN.match(line):
        return ("extern", "")
    if block := _BLOCK.match(line):
        if block["what"] == "struct":
            found.structs[block["name"]] = {}
            if what == "extern":
                found.opaque.add(block["name"])  # until a field comes
        _remember_c_name(found, block)
        return (block["what"], block["name"] or "")
    if what == "enum":
        for item in filter(None, (part.strip() for part in line.split(","))):
            _constant(found, item)
        return None
    if what == "struct":
        found.opaque.discard(name)
        found.structs[name].update(_variables(line, found))
        return None
    if "cimport" in line.split():
        _cimport(found, line)
    elif callback := _CALLBACK.match(line):
        found.callbacks.add(callback[1])
    else:
        _declaration(found, line, number)
    return None


def _constant(found: Declarations, item: str) -> None:
    match = re.fullmatch(r'(\w+)\s*("[^"]*")?\s*(?:=\s*(.+))?', item)
    if not match:
        raise NotUnderstood(f"constant {item!r}")
    found.constants[match[1]] = match[3]
    if match[2]:
        found.c_names[match[1]] = match[2].strip('"')


def _cimport(found: Declarations, line: str) -> None:
    match = re.fullmatch(r"from\s+([\w.]+)\s+cimport\s+\(?(.*?)\)?", line)
    if not match:
        raise NotUnderstood(f"{line!r}: write `from … cimport …`")
    for item in filter(None, (part.strip() for part in match[2].split(","))):
        name, _, alias = item.partition(" as ")
        full = f"{match[1]}.{name}"
        of_its_own = full.startswith("hotswap") and module_path(full, ".pxd").exists()
        found.cimports[alias or name] = (full, None) if of_its_own else (match[1], name)


def _declaration(found: Declarations, line: str, number: int) -> None:
    public = line.startswith("cpdef ")
    plain = re.sub(r"^(cdef|cpdef)\s+(inline\s+)?", "", line)
    if match := _FUNCTION.match(plain):
        arguments = tuple(item for part in _split(match["arguments"]) for item in _variables(part, found).items())
        returns = Type(match["base"], match["stars"].count("*"))
        found.functions[match["name"]] = Function(match["name"], returns, arguments, public, number)
        _remember_c_name(found, match)
    else:
        found.variables.update(_variables(plain, found))


def _variables(text: str, found: Declarations) -> dict[str, Type]:
    """``int a, *b`` or ``T x[4]``; the function pointer ``void (*f)(int)`` is a pointer like any other."""
    if match := re.fullmatch(r".*\(\s*\*\s*(\w+)\s*\)\s*\(.*\).*", text):
        return {match[1]: Type("void", 1)}
    first, *others = (re.sub(r"\s*=.*", "", part.strip()) for part in _split(text))
    match = _VARIABLE.match(first)
    if not match:
        raise NotUnderstood(f"{text!r}")
    result = {}
    for declarator in [match, *(re.fullmatch(_DECLARATOR, part) for part in others)]:
        if not declarator:
            raise NotUnderstood(f"{text!r}")
        sizes = tuple(re.findall(r"\[([^]]*)\]", declarator["sizes"]))
        result[declarator["name"]] = Type(match["base"], declarator["stars"].count("*"), sizes)
    return result


def _split(text: str) -> list[str]:
    """At commas outside parentheses."""
    parts = re.split(r",(?![^()]*\))", text)
    return [part for part in parts if part.strip()]


def _remember_c_name(found: Declarations, match: re.Match) -> None:
    if match["c"]:
        found.c_names[match["name"]] = match["c"].strip('"')
