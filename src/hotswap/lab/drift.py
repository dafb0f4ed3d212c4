"""Do the two halves of a module still say the same? And has the seam's twin all that the seam has?

Each function is written twice (signature in the .pxd, body in the .py) and the seam thrice (header, .pxd, twin). The compiler
sees some of what drifts apart; what it does not see is here. Nothing is run. Each check gives a list of sentences.
"""

import ast
import inspect

from . import declarations
from .declarations import Declarations
from .kinds import StructKind
from .seam import PXD, Seam, header_constants


def check_module(name: str) -> list[str]:
    """A module of the engine, ``hotswap.engine.…``. One without a .pxd is for Python to call and has nothing to drift from."""
    if not declarations.module_path(name, ".pxd").exists():
        return []
    return compare(name, declarations.of_module(name), declarations.module_path(name, ".py").read_text())


def compare(name: str, found: Declarations, source: str) -> list[str]:
    bodies = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    wrong = [f"{name}: {f} is declared in the .pxd and missing in the .py" for f in found.functions.keys() - bodies.keys()]
    wrong += [f"{name}: {f} is written in the .py and not declared in the .pxd" for f in bodies.keys() - found.functions.keys()]
    for function in found.functions.keys() & bodies.keys():
        declared = [argument for argument, _ in found.functions[function].arguments]
        written = [argument.arg for argument in bodies[function].args.args]
        if declared != written:
            wrong.append(f"{name}: {function}({', '.join(declared)}) in the .pxd, ({', '.join(written)}) in the .py")
    return sorted(wrong)


def check_seam() -> list[str]:
    return compare_seam(declarations.of_module(PXD), Seam())


def compare_seam(found: Declarations, seam: Seam) -> list[str]:
    wrong = []
    in_headers = header_constants()
    for constant in found.constants:
        if not isinstance(getattr(seam, constant, None), int):
            wrong.append(f"the seam's twin has no constant {constant}")
        elif constant not in in_headers:
            wrong.append(f"the headers do not say what {constant} is")
    for struct, fields in found.structs.items():
        twin = getattr(seam, struct, None)
        if twin is None:
            wrong.append(f"the seam's twin has no type {struct}")
        elif isinstance(twin, StructKind) and {f: k.name for f, k in twin.fields.items()} != {
            f: t.base for f, t in fields.items()
        }:
            wrong.append(f"struct {struct} has other fields in the seam's twin")
    for name, function in found.functions.items():
        twin = getattr(seam, name, None)
        if not callable(twin):
            wrong.append(f"the seam's twin has no {name}()")
        elif len(inspect.signature(twin).parameters) != len(function.arguments):
            wrong.append(
                f"the seam's twin of {name}() takes {inspect.signature(twin)}, the seam {len(function.arguments)} arguments"
            )
    return sorted(wrong)
