"""Loads the engine from source, uncompiled, on a seam of its own: ``load()`` gives a twin, two twins share nothing.

The engine's .py files are run, never the extensions beside them; ``sys.modules`` is not touched. What a module's .pxd declares
stands in it before its body runs, as in C: constants, structs, variables (zeros, NULL). Modules may cimport each other in
circles: a cimport runs the other module first, unless that is under way, and names are looked up when they are used.

``load(stepping=True)`` gives one whose functions are generators wherever they reach the seam (``stepping``), on memory that is
watched (``watch``) and can be rolled back (``journal``): what the race lab explores. ``call()`` runs such a function alone.
"""

import ast
import builtins
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, GeneratorType, ModuleType

from . import declarations
from .cstand import Cython, libc
from .declarations import Type
from .findings import NotInC, WouldWaitForEver
from .kinds import SCALARS, Array, Kind, Pointer, StructKind
from .memory import Table
from .model import by_name
from .seam import PXD, Seam
from .source import HELPERS, Imports, Rewriter
from .stepping import Callee, Function, Steps, bump, stepping_functions, table_free
from .steps import IN_TIME, READY, SteppingSeam
from .watch import Watch, watched_struct

GUARDED = frozenset({"Area", "Ref"})  # structs that are published and retired: a weak model may show their fields stale
Patch = Callable[[str, ast.Module], ast.Module]  # (module's name, its tree) to what is loaded instead


def engine_modules() -> list[str]:
    """The names of the engine's modules, below ``hotswap.engine``."""
    files = sorted(p for p in declarations.ENGINE.rglob("*.py") if p.name != "__init__.py")
    return [".".join(p.relative_to(declarations.ENGINE).with_suffix("").parts) for p in files]


def load(
    names: list[str] | None = None,
    *,
    stepping: bool = False,
    model: str = "sc",
    patches: tuple[Patch, ...] = (),
    **constants: int,
) -> "Twin":
    """A fresh twin of the engine's modules ``names`` (all) and of what they cimport: ``load(["swap_map"]).swap_map``.

    ``constants`` replace those of the .pxd files or of the seam, so that what is counted up to can be small. ``patches`` change
    what is loaded, never a file. ``model`` is the memory model of a stepping twin.
    """
    twin = SteppingTwin(constants, model, patches) if stepping else Twin(constants, patches)
    for name in engine_modules() if names is None else names:
        if not (stepping and names is None and name == "api"):  # Python's door: nothing that steps
            twin.run(f"hotswap.engine.{name}")
    return twin


class Twin:
    """The engine's modules as attributes (packages too: ``twin.guard.percpu_ref``), and ``seam``."""

    table: type = Table

    def __init__(self, constants: dict[str, int], patches: tuple[Patch, ...] = ()):
        self.constants = constants
        self.patches = patches
        self.seam = self.make_seam()
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

    def make_seam(self) -> Seam:
        return Seam(**self.constants)

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
        names.update({callback: Pointer(callback) for callback in found.callbacks})
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
            self.kinds[key] = self.struct_kind(name, {field: self.kind(declared, module) for field, declared in fields.items()})
        return self.kinds[key]

    def struct_kind(self, name: str, fields: dict[str, Kind]) -> StructKind:
        return StructKind(name, fields)

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
            kind = Array(kind, self.number(size, self.modules[module]), self.table)
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
            if isinstance(names[variable], Table) and names[variable]._up is None:
                object.__setattr__(names[variable], "_up", variable)
        return module

    def compiled(self, name: str, module: ModuleType, text: str, elsewhere: dict[str, tuple[str, str]]):
        """The rewritten source. It depends on the files and patches, not on this twin: kept for the next one."""
        key = (name, text, declarations.of_module(name).text, self.patches, self.how())
        if key not in _code:
            file = str(module.__file__)

            def evaluate(annotation):
                return eval(compile(ast.Expression(annotation), file, "eval"), vars(module))

            tree = self.rewriter(name, text, evaluate, elsewhere).visit(self.tree(name, text))
            _code[key] = compile(ast.fix_missing_locations(tree), file, "exec")
        return _code[key]

    def tree(self, name: str, text: str) -> ast.Module:
        tree = ast.parse(text)
        for patch in self.patches:
            tree = patch(name, tree)
        return tree

    def how(self) -> object:
        """What else the rewritten source depends on."""
        return None

    def rewriter(self, name: str, text: str, evaluate, elsewhere) -> Rewriter:
        return Rewriter(declarations.of_module(name), lambda declared: self.kind(declared, name), evaluate, elsewhere)


class SteppingTwin(Twin):
    """A twin whose functions step. ``seam.model`` is its memory, ``watch`` what its steps touch and change."""

    seam: SteppingSeam

    def __init__(self, constants: dict[str, int], model: str, patches: tuple[Patch, ...]):
        self.watch = Watch()
        self.table = self.watch.Table
        self.watch.model = by_name(model)(self.watch)
        self.watch.births.in_order = self.watch.model.in_order
        self.stepping = self.functions(patches)
        super().__init__(constants, patches)

    def functions(self, patches: tuple[Patch, ...]) -> frozenset[Function]:
        texts = {
            n: declarations.module_path(n, ".py").read_text() for name in engine_modules() if (n := f"hotswap.engine.{name}")
        }
        key = (tuple(texts.items()), patches)
        if key not in _stepping:
            trees = {name: ast.parse(text) for name, text in texts.items() if declarations.of_module(name).text}
            for patch in patches:
                trees = {name: patch(name, tree) for name, tree in trees.items()}
            _stepping[key] = stepping_functions(trees)
        return _stepping[key]

    def make_seam(self) -> SteppingSeam:
        return SteppingSeam(self.watch, **self.constants)

    def struct_kind(self, name, fields):
        return StructKind(name, fields, watched_struct(name, fields, self.watch, name in GUARDED))

    def how(self):
        return self.stepping

    def declare(self, name):
        known = name in self.modules
        module = super().declare(name)
        if not known:
            vars(module).update(__alone=self.alone, __bump=bump, __table_free=table_free)
        return module

    def rewriter(self, name, text, evaluate, elsewhere):
        callee = Callee(name, _imports(text))
        found = declarations.of_module(name)
        return Steps(found, lambda declared: self.kind(declared, name), evaluate, elsewhere, callee, self.stepping)

    def alone(self, running, cpu: int = 0):
        """Runs a function of the engine, or its generator, to its end with nobody else there: its value. For setting up."""
        self.seam.current = self.watch.cpu = cpu
        if not isinstance(running, GeneratorType):
            return running
        try:
            operation = next(running)
            while True:
                ready, in_time = READY.get(operation[0]), IN_TIME.get(operation[0])
                if ready and not ready(self.seam, operation) and not (in_time and in_time(operation)):
                    raise WouldWaitForEver(f"{operation[0]} of {operation[1]!r} while nobody else is there to end it")
                operation = running.send(getattr(self.seam, operation[0])(*operation[1:]))
        except StopIteration as end:
            return end.value
        finally:
            self.watch.clear()

    def checkpoint(self) -> None:
        """Set-up is over: ``rollback()`` comes back to here."""
        scalars = {
            name: [v for v, declared in declarations.of_module(name).variables.items() if self.kind(declared, name).plain]
            for name in self.started
        }
        self.watch.clear()
        self.seam.setting_up = False
        self.seam.current = self.watch.cpu = 0
        self.watch.model.settle()
        self.watch.clear()
        self.watch.journal.checkpoint(self.seam, self.modules, scalars)
        self.watch.model.reset()

    def rollback(self) -> None:
        self.watch.clear()
        self.watch.journal.rollback()
        self.watch.model.reset()


_code: dict[tuple, CodeType] = {}
_stepping: dict[tuple, frozenset[Function]] = {}


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
