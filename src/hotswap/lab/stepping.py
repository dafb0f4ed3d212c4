"""The engine as generators: each call of the seam that others can notice becomes a ``yield``, so that a scheduler sees it first.

``stepping_functions`` finds which functions of the engine reach such a call (a fixpoint over the call graph, read from the source);
``Steps`` rewrites: ``arch.load(w)`` is ``(yield ("load", w))`` then, the answer comes from whoever runs the generator, and a call of a
function that steps is ``(yield from …)``. Calls through a pointer (``guards[chosen].enter(type)``, ``main(argument)``) could reach
anything, so every function whose name is used as a value steps, whether it has a step in it or not.

What no other CPU notices is done on the spot: checks, the log, tables made, locks initialised, a page of one's own that is filled,
and barriers that only order what their own CPU does.
"""

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from .declarations import Declarations, of_module
from .seam import PXD
from .source import Imports, Rewriter

_NOTICED = """
    load load_acquire store store_release add add_acq_rel swap cas fence heavy
    bit_trylock bit_lock bit_lock_unless bit_unlock event_read event_wake event_wait mutex_lock mutex_try mutex_unlock
    read_lock read_unlock write_lock write_unlock thread_start thread_join nap_us yield_cpu
    mmu_next mmu_wait mmu_watch mmu_zero mmu_copy mmu_move mmu_protect mmu_drop mmu_populate mmu_poison mmu_forbid mmu_allow
    mmu_continue shm_hold shm_held shm_punch table_punch table_room_free
    copy touch disk_transfer release stopper_set close_fd
"""
STEPS = frozenset(_NOTICED.split())
IN_TWO = {"bump", "table_free"}  # not one step: the generators of these names below
Function = tuple[str, str]  # module, name


def bump(word, change):
    """``arch.bump``: a load and a store, between which others may come."""
    value = yield ("load", word)
    yield ("store", word, value + change)


def table_free(table, poisoned):
    """Others may come between the free and what its caller does then: put NULL where the pointer was."""
    if table:
        yield ("table_free", table, poisoned)
        yield ("freed",)


@dataclass
class Calls:
    """What one function's source calls."""

    steps: bool = False  # the seam's steps, or through a pointer
    functions: set[Function] = field(default_factory=set)


class Callee:
    """Whom a call means, in one module."""

    def __init__(self, module: str, imports: Imports):
        self.module = module
        self.imports = imports.names
        self.own = of_module(module).functions

    def of(self, called: ast.expr, local: Iterable[str] = ()) -> tuple[str, Function]:
        """("seam", …), ("function", …), ("pointer", …) or ("other", …)."""
        none = ("", "")
        if isinstance(called, ast.Name):
            if called.id in local:
                return "pointer", none
            return ("function", found) if (found := self.function(called)) else ("other", none)
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id not in local:
            base = called.value.id
            if base == "cython":
                return "other", none
            if base in self.imports:
                package, there = self.imports[base]
                if f"{package}.{there}" == PXD:
                    return "seam", (PXD, called.attr)
                if called.attr in of_module(f"{package}.{there}").functions:
                    return "function", (f"{package}.{there}", called.attr)
        return ("pointer", none) if isinstance(called, ast.Attribute | ast.Subscript) else ("other", none)

    def function(self, name: ast.Name) -> Function | None:
        """The engine's function that a name means."""
        if name.id in self.own:
            return self.module, name.id
        package, there = self.imports.get(name.id, ("", ""))
        return (package, there) if package and package != "hotswap" and there in of_module(package).functions else None


def stepping_functions(trees: dict[str, ast.Module]) -> frozenset[Function]:
    """Of these modules: who reaches a step of the seam."""
    calls: dict[Function, Calls] = {}
    as_values: set[Function] = set()
    for module, tree in trees.items():
        callee = Callee(module, Imports().read(tree))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                calls[module, node.name] = _calls_of(node, callee)
            as_values |= _values(node, callee)
    found = {function for function, what in calls.items() if what.steps or function in as_values}
    while more := {function for function, what in calls.items() if function not in found and what.functions & found}:
        found |= more
    return frozenset(found)


def _calls_of(node: ast.FunctionDef, callee: Callee) -> Calls:
    result = Calls()
    local = {a.arg for a in node.args.args} | {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            what, function = callee.of(call.func, local)
            if what == "pointer" or (what == "seam" and function[1] in STEPS | IN_TWO):
                result.steps = True
            elif what == "function":
                result.functions.add(function)
    return result


def _values(node: ast.stmt, callee: Callee) -> set[Function]:
    """Functions whose names stand elsewhere than in a call of them."""
    called = {id(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and id(n) not in called]
    return {function for name in names if (function := callee.function(name))}


class Steps(Rewriter):
    """The rewriter of a stepping twin. ``stepping`` is what stepping_functions() found."""

    def __init__(self, found: Declarations, kind_of, evaluate, elsewhere, callee: Callee, stepping: frozenset[Function]):
        super().__init__(found, kind_of, evaluate, elsewhere)
        self.callee = callee
        self.stepping = stepping

    def visit_FunctionDef(self, node):
        node = super().visit_FunctionDef(node)
        has_one = any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in ast.walk(node))
        if (self.callee.module, node.name) in self.stepping and not has_one:
            generator = ast.If(ast.Constant(False), [ast.Expr(ast.Yield())], [])
            node.body.append(ast.copy_location(generator, node))
        return node

    def visit_Call(self, node):
        what, function = self.callee.of(node.func, self.scope.local)
        new = super().visit_Call(node)
        if not self.scope.name:  # the module's body: done at once, before there is anybody else
            return (
                ast.copy_location(ast.Call(ast.Name("__alone", ast.Load()), [new], []), node)
                if function in self.stepping
                else new
            )
        if what == "seam" and function[1] in STEPS:
            operation = ast.copy_location(ast.Tuple([ast.Constant(function[1]), *new.args], ast.Load()), node)
            return ast.copy_location(ast.Yield(operation), node)
        if what == "seam" and function[1] in IN_TWO:
            new.func = ast.Name(f"__{function[1]}", ast.Load())
        elif what != "pointer" and function not in self.stepping:
            return new
        return ast.copy_location(ast.YieldFrom(new), node)
