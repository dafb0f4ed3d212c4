"""The compiled engine, called from Python as C calls it: for tests that run one suite on both lives of the engine.

Every function that a .pxd declares is exported by its extension, ``cdef`` ones too. Called this way the interpreter's lock is
let go first, so one thread may wait inside (``guard_retire``) for what another does. Types come from the .pxd; pointers, to
functions too, are numbers or None (``address()`` gives a function's). ``Compiled().swap_map.swap_alloc(…)`` looks like the same on a twin.
"""

import ctypes
import importlib
from types import ModuleType

from . import declarations
from .declarations import Type

_PLAIN = {
    "void": None, "bint": ctypes.c_int, "int": ctypes.c_int, "long": ctypes.c_long, "uint8_t": ctypes.c_uint8,
    "int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64,
}  # fmt: skip
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_name_of = ctypes.pythonapi.PyCapsule_GetName
_name_of.restype, _name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]


class NotCompiled(Exception):
    """There is no extension beside the source: build first."""


class Compiled:
    """Modules of the compiled engine as attributes; there is one of it in a process."""

    def __getattr__(self, name: str) -> "CompiledModule":
        full = f"hotswap.engine.{name}"
        if declarations.module_path(full, ".py").name == "__init__.py":
            return _Package(name)  # type: ignore[return-value]
        return CompiledModule(full)


class _Package:
    def __init__(self, name: str):
        self.name = name

    def __getattr__(self, name: str) -> "CompiledModule":
        return CompiledModule(f"hotswap.engine.{self.name}.{name}")


class CompiledModule:
    def __init__(self, name: str):
        importlib.import_module("hotswap.engine.api")  # tables that come before all of it is there are counted as the engine's
        self.module: ModuleType = importlib.import_module(name)
        self.found = declarations.of_module(name)
        if not hasattr(self.module, "__pyx_capi__") or not str(self.module.__file__).endswith(".so"):
            raise NotCompiled(f"{name} was loaded from {self.module.__file__}: run `make build`")

    @property
    def __file__(self) -> str:
        return str(self.module.__file__)

    def __getattr__(self, name: str):
        if name in self.found.functions:
            return self.function(name)
        if name in self.found.constants:
            return _constants(self)[name]
        raise AttributeError(f"{self.__file__} exports no {name}")

    def function(self, name: str):
        declared = self.found.functions[name]
        arguments = [self.ctype(kind) for _, kind in declared.arguments]
        more = [ctypes.c_int] if declared.public else []  # Cython's own: skip the look-up of an override
        capsule = self.module.__pyx_capi__[name]
        signature = _name_of(capsule)  # as it was compiled: "int (int, int __pyx_skip_dispatch)"
        if len(signature.partition(b"(")[2].replace(b"void)", b"").split(b",")) != max(1, len(arguments) + len(more)):
            raise NotCompiled(f"{self.__file__} has {name} as {signature.decode()}, the .pxd says otherwise: build again")
        call = ctypes.CFUNCTYPE(self.ctype(declared.returns), *arguments, *more)(_pointer_of(capsule, signature))
        truth = declared.returns == Type("bint")

        def called(*values):
            result = call(*values, *[0 for _ in more])
            return bool(result) if truth else result

        return called

    def address(self, name: str) -> int:
        """Of a ``cdef`` function, to be handed to one that takes a function."""
        capsule = self.module.__pyx_capi__[name]
        return _pointer_of(capsule, _name_of(capsule))

    def ctype(self, declared: Type):
        if declared.stars or declared.base in self.found.callbacks:
            return ctypes.c_void_p
        module, name = self.found.cimports.get(declared.base, ("", ""))
        if name and module.startswith("hotswap.engine.") and name in declarations.of_module(module).callbacks:
            return ctypes.c_void_p
        return _PLAIN[declared.base]


def _constants(module: CompiledModule) -> dict[str, int]:
    """By their expressions, which may use those above them and those of modules that are cimported."""
    values: dict[str, int] = {}
    previous = -1
    for name, expression in module.found.constants.items():
        previous = previous + 1 if expression is None else int(eval(expression, {}, values))
        values[name] = previous
    return values
