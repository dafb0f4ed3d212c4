"""What C does with the engine's source and Python would not, put in by rewriting its syntax tree. Lines stay where they are.

- Arguments, results, annotated locals and module variables take the width of their type: ``x: uint64_t = a - b`` wraps.
- ``cython.address(x.field)``, ``(x[i])`` and ``(local)`` become places; a local whose address is taken lives in a box.
- ``//`` and ``%`` check that their operands are not negative, since there C and Python differ.
- A local struct or array that is only declared (``run: Run``) exists.
- A function that must give a number and falls off its end is an error.
- What is cimported from another module is looked up there at each use, as the linker's symbol is: cycles work, variables are
  live, and a test that replaces a function replaces it for everybody.

Not seen: the width of intermediate results, ``a - b > 0`` of unsigned a and b for example. Give such a value a declared name.
"""

import ast
from dataclasses import dataclass, field

from .cstand import Cython, quotient, remainder
from .declarations import Declarations, Type
from .findings import NotInC
from .kinds import SCALARS, VOID, Kind
from .memory import Box, address_box, address_field, address_item


def _fell_off(name):
    raise NotInC(f"{name}() falls off its end without a value")


def _converter(kind: Kind) -> str | None:
    return f"__as_{kind.name.replace(' ', '_')}" if kind.plain and SCALARS.get(kind.name) is kind and kind is not VOID else None


HELPERS = {
    "__box": Box, "__address_box": address_box, "__address_field": address_field, "__address_item": address_item,
    "__quotient": quotient, "__remainder": remainder, "__fell_off": _fell_off, "__cython": Cython,
}  # fmt: skip
HELPERS |= {name: kind.accept for kind in SCALARS.values() if (name := _converter(kind))}


@dataclass
class Imports:
    """What a module cimports: local name to (package, name); the name may be a module there."""

    names: dict[str, tuple[str, str]] = field(default_factory=dict)

    def read(self, tree: ast.Module) -> "Imports":
        for node in tree.body:
            if isinstance(node, ast.Import):
                for item in node.names:
                    if item.name != "cython" or item.asname:
                        raise NotInC(f"line {node.lineno}: the engine imports only cython, not {item.name}")
            elif isinstance(node, ast.ImportFrom):
                package = (node.module or "").removeprefix("cython.cimports").lstrip(".")
                if node.level or not (node.module or "").startswith("cython.cimports"):
                    raise NotInC(f"line {node.lineno}: the engine imports from cython.cimports only, not {node.module}")
                for item in node.names:
                    self.names[item.asname or item.name] = (package, item.name)
        return self


@dataclass
class Scope:
    """One function while it is rewritten."""

    name: str = ""
    returns: Kind = VOID
    local: set[str] = field(default_factory=set)
    boxed: set[str] = field(default_factory=set)
    typed: dict[str, Kind] = field(default_factory=dict)


class Rewriter(ast.NodeTransformer):
    """``found`` the module's .pxd, ``kind_of`` gives the kind of a declared type, ``evaluate`` that of an annotation;
    ``elsewhere`` maps cimported functions and variables to the name of their module's object."""

    def __init__(self, found: Declarations, kind_of, evaluate, elsewhere: dict[str, tuple[str, str]]):
        self.found = found
        self.kind_of = kind_of
        self.evaluate = evaluate
        self.elsewhere = elsewhere
        self.variables = {name: kind_of(declared) for name, declared in found.variables.items()}
        self.scope = Scope(typed=dict(self.variables))

    # Functions

    def visit_FunctionDef(self, node):
        outer, self.scope = self.scope, self.function_scope(node)
        scope = self.scope
        for argument in node.args.args:
            argument.annotation = None
        node.returns = None
        docstring = node.body[:1] if ast.get_docstring(node) is not None else []
        body = [new for old in node.body[len(docstring) :] for new in _listed(self.visit(old))]
        parameters = [argument.arg for argument in node.args.args]
        start = []
        for name in [*parameters, *sorted(scope.boxed - set(parameters))]:
            convert = _converter(scope.typed[name]) if name in scope.typed else None
            value = _call(convert, _name(name)) if convert else _name(name)
            if name in scope.boxed:
                box = _call("__box", ast.Constant(name), _name(convert) if convert else ast.Constant(None))
                start.append(_assign("__boxed" if name in parameters else name, box))
                if name in parameters:
                    start.append(ast.Assign([_first("__boxed", ast.Store())], value))
                    start.append(_assign(name, _name("__boxed")))
            elif convert:
                start.append(_assign(name, value))
        end = [ast.Return(_call("__fell_off", ast.Constant(node.name)))] if _converter(scope.returns) else []
        for new in start:
            ast.copy_location(new, node)
        for new in end:
            ast.copy_location(new, node.body[-1])
        node.body = [*docstring, *start, *body, *end] or [ast.Pass()]
        self.scope = outer
        return node

    def function_scope(self, node) -> Scope:
        declared = self.found.functions.get(node.name)
        types: dict[str, Type] = (
            dict(zip((a.arg for a in node.args.args), (t for _, t in declared.arguments))) if declared else {}
        )
        scope = Scope(node.name, self.kind_of(declared.returns) if declared else VOID)
        scope.local = {a.arg for a in node.args.args}
        for argument in node.args.args:
            if argument.arg in types:
                scope.typed[argument.arg] = self.kind_of(types[argument.arg])
            elif argument.annotation is not None:
                self.annotated(scope, argument.arg, argument.annotation)
        shared = set()
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                scope.local.add(inner.id)
            elif isinstance(inner, ast.Global):
                shared.update(inner.names)
            elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                self.annotated(scope, inner.target.id, inner.annotation)
        scope.local -= shared
        scope.typed |= {name: self.variables[name] for name in shared & self.variables.keys()}
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and _is_address(inner) and isinstance(inner.args[0], ast.Name):
                scope.boxed |= scope.local & {inner.args[0].id}
        return scope

    def annotated(self, scope: Scope, name: str, annotation: ast.expr) -> None:
        kind = self.evaluate(annotation)
        if isinstance(kind, Kind):  # and not a type of Python's, as functions for Python have
            scope.typed[name] = kind

    def visit_Return(self, node):
        self.generic_visit(node)
        convert = _converter(self.scope.returns)
        if node.value is not None and convert:
            node.value = _call(convert, node.value)
        return node

    # Names and assignments

    def visit_Name(self, node):
        if node.id in self.scope.local:
            return _first(node.id, node.ctx) if node.id in self.scope.boxed else node
        if isinstance(node.ctx, ast.Load) and node.id in self.elsewhere:
            module, name = self.elsewhere[node.id]
            return ast.Attribute(_name(module), name, node.ctx)
        return node

    def visit_Assign(self, node):
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            return self.store(node, node.targets[0], self.visit(node.value))
        self.generic_visit(node)
        return node

    def visit_AugAssign(self, node):
        if isinstance(node.target, ast.Name):
            read = ast.copy_location(_name(node.target.id), node.target)
            combined = self.visit(ast.copy_location(ast.BinOp(read, node.op, node.value), node))
            return self.store(node, node.target, combined)
        if isinstance(node.op, ast.FloorDiv | ast.Mod):
            raise NotInC(f"line {node.lineno}: write x.y = x.y // z")
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node):
        if not isinstance(node.target, ast.Name):
            raise NotInC(f"line {node.lineno}: only names are annotated")
        if node.value is not None:
            return self.store(node, node.target, self.visit(node.value))
        if self.scope.typed.get(node.target.id, VOID).plain:
            return ast.copy_location(ast.Pass(), node)
        made = ast.Call(ast.Attribute(_name("__cython"), "declare", ast.Load()), [self.visit(node.annotation)], [])
        return self.store(node, node.target, made)

    def store(self, node, target, value):
        """``target = value`` in the target's type. A boxed one's box converts."""
        kind = self.scope.typed.get(target.id)
        convert = _converter(kind) if kind is not None and target.id not in self.scope.boxed else None
        target = self.visit(ast.copy_location(ast.Name(target.id, ast.Store()), target))
        return ast.copy_location(ast.Assign([target], _call(convert, value) if convert else value), node)

    # Expressions

    def visit_Call(self, node):
        if not _is_address(node):
            self.generic_visit(node)
            return node
        what = node.args[0]
        if isinstance(what, ast.Attribute):
            new = _call("__address_field", self.visit(what.value), ast.Constant(what.attr))
        elif isinstance(what, ast.Subscript):
            new = _call("__address_item", self.visit(what.value), self.visit(what.slice))
        elif isinstance(what, ast.Name) and what.id in self.scope.boxed:
            new = _call("__address_box", _name(what.id))
        else:
            self.generic_visit(node)
            return node
        return ast.copy_location(new, node)

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if isinstance(node.op, ast.FloorDiv | ast.Mod):
            helper = "__quotient" if isinstance(node.op, ast.FloorDiv) else "__remainder"
            return ast.copy_location(_call(helper, node.left, node.right), node)
        return node

    def visit_Import(self, node):
        return node if self.scope.name else None  # those of the module are bound already; another one is refused when it runs

    visit_ImportFrom = visit_Import


def _is_address(node) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "address"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "cython"
    )


def _name(text):
    return ast.Name(text, ast.Load())


def _first(text, context):
    return ast.Subscript(_name(text), ast.Constant(0), context)


def _call(function, *arguments):
    return ast.Call(_name(function), list(arguments), [])


def _assign(name, value):
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _listed(node):
    return node if isinstance(node, list) else [] if node is None else [node]
