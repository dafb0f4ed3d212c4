"""Rules for the engine's source that no compiler checks: read as a syntax tree, never run.

- A module imports ``cython``, and from ``cython.cimports`` only ``hotswap.arch``, the engine and ``libc.errno``, ``libc.stdint``.
- What it imports has no name that its own .pxd declares: the compiler takes the one, a reader the other.
- A shared word (``arch.word``) is touched only through the seam: it stands in ``cython.address(…)`` and nowhere else, and that
  address goes to a call of ``arch.…``, to a parameter declared ``arch.word *``, or into a local that goes only there.

Which expression is a word is worked out from the .pxd files: types of parameters, fields, variables and results, followed
through locals. Where that fails and the field's name is one that some struct uses for a word, that is a finding too.
"""

import ast
from dataclasses import dataclass

from . import declarations
from .declarations import Declarations, Type
from .seam import PXD

WORD = ("word", "", "")
PLAIN = ("plain", "", "")
Known = tuple[str, str, str]  # ("struct", module, name), WORD or PLAIN; pointers and arrays count as what is in them


def check_module(name: str) -> list[str]:
    """``hotswap.engine.…``: sentences about what breaks a rule."""
    return check(name, declarations.module_path(name, ".py").read_text())


def check(name: str, source: str) -> list[str]:
    """The same for any source that has the .pxd of module ``name``."""
    tree = ast.parse(source)
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            child.parent = parent
    wrong = check_imports(tree) + check_names(name, tree) + Words(name, tree).check()
    return [f"{name}, line {line}: {sentence}" for line, sentence in sorted(set(wrong))]


def check_imports(tree: ast.Module) -> list[tuple[int, str]]:
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wrong += [(node.lineno, f"imports {item.name}") for item in node.names if item.name != "cython" or item.asname]
        elif isinstance(node, ast.ImportFrom):
            package = node.module or ""
            whole = [f"{package}.{item.name}" for item in node.names]
            allowed = package in ("cython.cimports.libc.errno", "cython.cimports.libc.stdint") or all(
                name == f"cython.cimports.{PXD}" or name.startswith("cython.cimports.hotswap.engine.") for name in whole
            )
            if node.level or not allowed:
                wrong += [(node.lineno, f"imports {name}") for name in whole]
    return wrong


def check_names(name: str, tree: ast.Module) -> list[tuple[int, str]]:
    own = declarations.of_module(name)
    declared = {*own.constants, *own.structs, *own.variables, *own.functions}
    return [
        (node.lineno, f"imports {item.name}, a name of its own .pxd")
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for item in node.names
        if (item.asname or item.name) in declared
    ]


def word_fields() -> set[str]:
    """Names of fields that are words in any struct of the engine."""
    names = set()
    for path in sorted(declarations.ENGINE.rglob("*.pxd")):
        module = ".".join(path.relative_to(declarations.ROOT).with_suffix("").parts)
        for fields in declarations.of_module(module.removesuffix(".__init__")).structs.values():
            names |= {field for field, declared in fields.items() if declared.base == "arch.word"}
    return names


@dataclass
class Reader:
    """What the names in one module are."""

    module: str
    imports: dict[str, tuple[str, str]]

    def resolve(self, declared: Type, module: str) -> Known:
        return self.named(declared.base, declarations.of_module(module), module)

    def named(self, base: str, found: Declarations, module: str) -> Known:
        if base in found.structs:
            return ("struct", module, base)
        first, _, rest = base.partition(".")
        other, there = found.cimports.get(first, ("", None))
        if other == PXD:
            return WORD if (there or rest) == "word" else PLAIN
        return self.named(there or rest, declarations.of_module(other), other) if other.startswith("hotswap.") else PLAIN

    def declared(self, name: str) -> tuple[Declarations, str, str]:
        """Where a global name is declared: there, in which module, by which name."""
        module, there = self.imports.get(name, (self.module, name))
        return declarations.of_module(module), module, there

    def function(self, called: ast.expr) -> tuple[declarations.Function | None, str]:
        if isinstance(called, ast.Name):
            found, module, name = self.declared(called.id)
            return found.functions.get(name), module
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            module = ".".join(self.imports.get(called.value.id, ("", "")))
            return declarations.of_module(module).functions.get(called.attr) if module != "." else None, module
        return None, ""


class Words:
    """One module, looked at function by function."""

    def __init__(self, name: str, tree: ast.Module):
        self.tree = tree
        imports: dict[str, tuple[str, str]] = {}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                package = (node.module or "").removeprefix("cython.cimports.")
                imports |= {item.asname or item.name: (package, item.name) for item in node.names}
        self.reader = Reader(name, imports)
        self.suspicious = word_fields()
        self.wrong: list[tuple[int, str]] = []

    def check(self) -> list[tuple[int, str]]:
        functions = [node for node in self.tree.body if isinstance(node, ast.FunctionDef)]
        others = ast.Module([node for node in self.tree.body if not isinstance(node, ast.FunctionDef)], [])
        for scope in [*functions, others]:
            self.check_scope(scope, self.locals_of(scope))
        return self.wrong

    def locals_of(self, scope) -> dict[str, Known]:
        known: dict[str, Known] = {}
        if isinstance(scope, ast.FunctionDef) and (function := self.reader.function(ast.Name(scope.name))[0]):
            known = {name: self.reader.resolve(declared, self.reader.module) for name, declared in function.arguments}
        for node in ast.walk(scope):  # in the order of the source, near enough: a first assignment stands above its uses
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                if value := self.what(node.value, known):
                    known.setdefault(node.targets[0].id, value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                known.setdefault(node.target.id, self.type_named(node.annotation))
        return known

    def what(self, node: ast.expr, known: dict[str, Known]) -> Known | None:
        """What an expression is, or points to; None when that cannot be told."""
        match node:
            case ast.Name(id=name):
                if name in known:
                    return known[name]
                found, module, there = self.reader.declared(name)
                return self.reader.resolve(found.variables[there], module) if there in found.variables else None
            case ast.Attribute(value=base, attr=field):
                if isinstance(base, ast.Name) and base.id in self.reader.imports and base.id not in known:
                    module = ".".join(self.reader.imports[base.id])
                    declared = declarations.of_module(module).variables.get(field)
                    return self.reader.resolve(declared, module) if declared else PLAIN
                owner = self.what(base, known)
                if owner is None or owner[0] != "struct":
                    return owner and PLAIN
                declared = declarations.of_module(owner[1]).structs[owner[2]].get(field)
                return self.reader.resolve(declared, owner[1]) if declared else PLAIN
            case ast.Subscript(value=base):
                return self.what(base, known)
            case ast.IfExp(body=body, orelse=other):
                return self.what(body, known) or self.what(other, known)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="cython"), attr=name), args=[first, *_]):
                return self.what(first, known) if name == "address" else self.type_named(first)
            case ast.Call(func=called):
                function, module = self.reader.function(called)
                return self.reader.resolve(function.returns, module) if function else None
            case ast.Constant() | ast.BinOp() | ast.Compare() | ast.BoolOp() | ast.UnaryOp():
                return PLAIN
        return None

    def type_named(self, node: ast.expr) -> Known:
        """Of a type as the source writes it: ``Run``, ``cython.pointer(Area)``, ``uint64_t[16]``, ``arch.word``."""
        match node:
            case ast.Call(args=[inner]) | ast.Subscript(value=inner):
                return self.type_named(inner)
            case ast.Attribute(value=ast.Name(id="arch"), attr="word"):
                return WORD
            case ast.Name(id=name):
                found, module, there = self.reader.declared(name)
                if module == PXD and there == "word":
                    return WORD
                return self.reader.named(there, found, module)
        return PLAIN

    def check_scope(self, scope, known: dict[str, Known]) -> None:
        for node in ast.walk(scope):
            if isinstance(node, ast.Attribute) and node.attr in self.suspicious and self.what(node, known) is None:
                self.wrong.append((node.lineno, f"cannot tell whether {ast.unparse(node)} is a shared word"))
            elif isinstance(node, ast.Attribute | ast.Subscript) and self.what(node, known) == WORD:
                if not self.may_stand(node):
                    self.wrong.append((node.lineno, f"{ast.unparse(node)} is a shared word and touched without the seam"))
            elif (isinstance(node, ast.Name) or (isinstance(node, ast.Call) and _is_address(node))) and (
                self.what(node, known) == WORD and not self.may_go(node)
            ):
                self.wrong.append((node.lineno, f"the address {ast.unparse(node)} of a shared word does not go to the seam"))

    def may_stand(self, node) -> bool:
        parent = node.parent
        return _is_address(parent) or (isinstance(parent, ast.Subscript) and parent.value is node)

    def may_go(self, node) -> bool:
        parent = node.parent
        if isinstance(parent, ast.Subscript):
            return parent.value is node  # the element is looked at by itself
        if isinstance(parent, ast.Assign):
            return node in parent.targets or (len(parent.targets) == 1 and isinstance(parent.targets[0], ast.Name))
        if isinstance(parent, ast.UnaryOp):
            return isinstance(parent.op, ast.Not)  # is it NULL?
        if not isinstance(parent, ast.Call) or node not in parent.args:
            return False
        if isinstance(parent.func, ast.Attribute) and isinstance(parent.func.value, ast.Name) and parent.func.value.id == "arch":
            return True
        function, module = self.reader.function(parent.func)
        place = parent.args.index(node)
        return function is not None and self.reader.resolve(function.arguments[place][1], module) == WORD


def _is_address(node) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "cython.address"
