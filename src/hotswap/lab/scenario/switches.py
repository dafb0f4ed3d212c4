"""Fixes that can be left out: each a named change to one function of the engine as it is loaded, its file stays as it is.

A switch says which statement of which function goes, or what stands there instead. When that is not found, because the engine's
source has changed, the switch is refused in one sentence.
"""

import ast
from dataclasses import dataclass

from ...errors import HotswapError


class NoSuchSwitch(HotswapError):
    """A switch that does not exist, or whose place in the source does not."""


@dataclass(frozen=True)
class Switch:
    """In ``function`` of the engine's ``module``, the statement that begins with ``statement`` goes; ``instead`` stands there then."""

    name: str
    module: str
    function: str
    statement: str
    instead: str = "pass"

    def __call__(self, module: str, tree: ast.Module) -> ast.Module:
        """The tree of a module with the change made, if it is this one."""
        if module != f"hotswap.engine.{self.module}":
            return tree
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == self.function:
                change = _Change(self)
                change.visit(node)
                if change.made != 1:
                    found = "is not there" if not change.made else f"is there {change.made} times"
                    raise NoSuchSwitch(f"switch {self.name!r}: `{self.statement}` {found} in {self.module}.{self.function}().")
                return tree
        raise NoSuchSwitch(f"switch {self.name!r}: the engine has no function {self.module}.{self.function}().")


class _Change(ast.NodeTransformer):
    def __init__(self, switch: Switch):
        self.switch = switch
        self.made = 0

    def visit(self, node):
        meant = isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef)
        if not meant or not ast.unparse(node).startswith(self.switch.statement):
            return self.generic_visit(node)
        self.made += 1
        new = ast.parse(self.switch.instead).body[0]
        for inner in ast.walk(new):
            if hasattr(inner, "lineno"):
                ast.copy_location(inner, node)
        return ast.copy_location(new, node)


SWITCHES = {
    switch.name: switch
    for switch in [
        Switch("no-acquire", "guard.percpu_ref", "enter", "arch.acquire()"),
        Switch("no-bounds", "swap_map", "in_bounds", "return ", "return True"),
    ]
}


def named(name: str) -> Switch:
    if name not in SWITCHES:
        raise NoSuchSwitch(f"there is no switch {name!r}; there are {', '.join(SWITCHES)}.")
    return SWITCHES[name]
