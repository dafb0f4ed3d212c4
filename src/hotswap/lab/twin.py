"""Loads the engine from source, uncompiled, on a seam of its own: ``load()`` gives a twin, two twins share nothing.

The engine's .py files are run, never the extensions beside them; ``sys.modules`` is not touched. What a module's .pxd declares
stands in it before its body runs, as in C: constants, structs, variables (zeros, NULL). Modules may cimport each other in
circles: a cimport runs the other module first, unless that is under way, and names are looked up when they are used.
"""

import ast
import builtins
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType

from . import declarations
from .cstand import Cython, libc
from .declarations import Type
from .findings import NotInC
from .kinds import SCALARS, Array, Kind, Pointer, StructKind
from .memory import Table
from .seam import PXD, Seam
from .source import HELPERS, Imports, Rewriter


def engine_modules() -> list[str]:
    """The names of the engine's modules, below ``hotswap.engine``."""
    files = sorted(p for p in declarations.ENGINE.rglob("*.py") if p.name != "__init__.py")
    return [".".join(p.relative_to(declarations.ENGINE).with_suffix("").parts) for p in files]


def load(names: list[str] | None = None, **constants: int) -> "Twin":
    """A fresh twin of the engine's modules ``names`` (all) and of what they cimport: ``load(["swap_map"]).swap_map``.

    ``constants`` replace those of the .pxd files or of the seam, so that what is counted up to can be small.
    """
    twin = Twin(constants)
    for name in engine_modules() if names is None else names:
        twin.run(f"hotswap.engine.{name}")
    return twin


class Twin:
    """The engine's modules as attributes (packages too: ``twin.guard.percpu_ref``), and ``seam``."""

    def __init__(self, constants: dict[str, int]):
        self.constants = constants
        self.seam = Seam(**constants)
        self.modules: dict[str, ModuleType] = {}
        self.kinds: dict[tuple[str, str], StructKind] = {}
        self.started: set[str] = set()

    def __getattr__(self, name):
        if module := self.modules.get(f"hotswap.engine.{name}"):
            return module
        inside = {full.rpartition(".")[2]: m for full, m in self.modules.items() if full.startswith(f"hotswap.engine.{name}.")}
        if not inside:
            raise AttributeError(f"no module {name!r} was loaded")
        package = ModuleType(name)
        vars(package).update(inside)
        return package

    # Declarations

    def declare(self, name: str) -> ModuleType:
        """The module with what its .pxd says in it; its body has not run."""
        if name in self.modules:
            return self.modules[name]
        source = declarations.module_path(name, ".py")
        if not source.exists():
            raise NotInC(f"the engine has no module {name}")
        module = self.modules[name] = ModuleType(name)
        module.__file__ = str(source)
        names = vars(module)
        names["__builtins__"] = {**vars(builtins), "__import__": _refused}
        names.update(HELPERS, cython=Cython)
        found = declarations.of_module(name)
        for here, (other, there) in found.cimports.items():
            if there is None or _is_static(other, there):
                names[here] = self.cimported(other, there)
        previous = -1
        for constant, expression in found.constants.items():
            previous = self.constants.get(constant, previous + 1 if expression is None else self.number(expression, module))
            names[constant] = previous
        for struct in found.structs:
            names[struct] = self.struct(name, struct)
        for variable, declared in found.variables.items():
            names[variable] = self.kind(declared, name).make(variable)
        return module

    def number(self, expression: str, module: ModuleType) -> int:
        return int(eval(expression, vars(module)))

    def struct(self, module: str, name: str) -> StructKind:
        key = (module, name)
        if key not in self.kinds:
            fields = declarations.of_module(module).structs[name]
            self.kinds[key] = StructKind(name, {field: self.kind(declared, module) for field, declared in fields.items()})
        return self.kinds[key]

    def kind(self, declared: Type, module: str) -> Kind:
        """What a type in a module's .pxd is here. Pointers are not followed: structs may point to each other."""
        found = declarations.of_module(module)
        if declared.stars or declared.base in found.callbacks:
            kind: Kind = Pointer(declared.base)
        elif declared.base in SCALARS:
            kind = SCALARS[declared.base]
        elif declared.base in found.structs:
            kind = self.struct(module, declared.base)
        else:
            first, _, rest = declared.base.partition(".")
            other, there = found.cimports.get(first, (module, None))
            if other == PXD:
                kind = getattr(self.seam, rest or there or "")
            elif (there or rest) in declarations.of_module(other).callbacks:
                kind = Pointer(declared.base)
            elif other.startswith("libc"):
                kind = libc(other, there)
            elif (there or rest) in declarations.of_module(other).structs:
                kind = self.struct(other, there or rest)
            else:
                raise NotInC(f"{module}: nothing says what type {declared.base!r} is")
        for size in reversed(declared.sizes):
            kind = Array(kind, self.number(size, self.modules[module]))
        return kind

    def cimported(self, module: str, name: str | None):
        """The value of a cimported name; without a name, the module."""
        full = f"{module}.{name}" if name else module
        if name and module.startswith("libc."):
            return libc(module, name)
        if full == PXD:
            return self.seam
        if module == PXD:
            return getattr(self.seam, name or "")
        if declarations.module_path(full, ".py").exists() and full.startswith("hotswap.engine."):
            return self.declare(full)
        try:
            return vars(self.declare(module))[name or ""]
        except KeyError:
            raise NotInC(f"{module} declares no {name}") from None

    # Running

    def run(self, name: str) -> ModuleType:
        """The module with its body run, after those it cimports."""
        module = self.declare(name)
        if name in self.started:
            return module
        self.started.add(name)
        text, imports = _read(declarations.module_path(name, ".py"))
        names = vars(module)
        elsewhere = {}
        for here, (package, there) in imports.names.items():
            target = f"{package}.{there}"
            is_module = target.startswith("hotswap.engine.") and declarations.module_path(target, ".py").exists()
            other = target if is_module else package
            if is_module or target == PXD or _is_static(package, there):
                names[here] = self.cimported(package, there)
            else:
                alias = f"__{package.replace('.', '_')}"
                names[alias] = self.seam if package == PXD else self.declare(package)
                elsewhere[here] = (alias, there)
            if other.startswith("hotswap.engine."):
                self.run(other)
        exec(self.compiled(name, module, text, elsewhere), names)
        for variable in declarations.of_module(name).variables:
            if type(names[variable]) is Table and names[variable]._up is None:
                object.__setattr__(names[variable], "_up", variable)
        return module

    def compiled(self, name: str, module: ModuleType, text: str, elsewhere: dict[str, tuple[str, str]]):
        """The rewritten source. It depends on the module's two files, not on this twin: kept for the next one."""
        key = (name, text, declarations.of_module(name).text)
        if key not in _code:
            file = str(module.__file__)

            def evaluate(annotation):
                return eval(compile(ast.Expression(annotation), file, "eval"), vars(module))

            rewriter = Rewriter(declarations.of_module(name), lambda declared: self.kind(declared, name), evaluate, elsewhere)
            tree = rewriter.visit(ast.parse(text))
            _code[key] = compile(ast.fix_missing_locations(tree), file, "exec")
        return _code[key]


_code: dict[tuple, CodeType] = {}


def _read(path: Path) -> tuple[str, Imports]:
    text = path.read_text()
    return text, _imports(text)


@cache
def _imports(text: str) -> Imports:
    return Imports().read(ast.parse(text))


def _is_static(module: str, name: str) -> bool:
    """A constant or a type, known before anything runs; not a function or a variable."""
    if module.startswith("libc."):
        return True
    found = declarations.of_module(module)
    return name not in found.functions and name not in found.variables


def _refused(name, *_):
    raise ImportError(f"the engine imports nothing of the outside world, and not {name} while it runs")
