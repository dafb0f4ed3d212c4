"""What the engine knows as ``cython``, and as ``libc``, when it runs uncompiled.

Cython's own stand-in (Shadow.py) copies where C takes an address, aliases where C copies and never wraps, so this is ours,
with as much of it as the engine uses. ``address`` of a field, an element or a local is put in by ``source`` as a call of
``address_field`` and so on, since a function cannot see where its argument came from.
"""

import errno

from .findings import NotInC
from .kinds import INTEGERS, SCALARS, Kind, Pointer, Real, Size
from .memory import NULL, Place, Struct, Table, Thing


class _Transparent:
    """``@cython.cfunc``, ``with cython.nogil:``, ``@cython.locals(…)``: about the compiler only."""

    def __call__(self, *arguments, **named):
        alone = len(arguments) == 1 and not named and callable(arguments[0]) and not isinstance(arguments[0], Kind)
        return arguments[0] if alone else self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


class Cython:
    """Stands for the module. Its names shadow builtins on purpose, hence a class and not a module."""

    compiled = False
    NULL = NULL
    cfunc = ccall = inline = nogil = gil = exceptval = noexcept = locals = returns = _Transparent()
    cdivision = boundscheck = wraparound = initializedcheck = infer_types = _Transparent()

    void, bint = SCALARS["void"], SCALARS["bint"]
    double, float = Real("double"), Real("float")
    char, short, int, long, longlong = (INTEGERS[n] for n in ("char", "short", "int", "long", "long long"))
    schar, Py_ssize_t, ssize_t, size_t = char, INTEGERS["ssize_t"], INTEGERS["ssize_t"], INTEGERS["size_t"]
    uchar, ushort, uint, ulong, ulonglong = (INTEGERS[f"unsigned {n}"] for n in ("char", "short", "int", "long", "long long"))
    p_void, p_char, p_int = Pointer("void"), Pointer("char"), Pointer("int")

    @staticmethod
    def declare(kind, value=None):
        """A local of that type: a fresh struct or array, zeros."""
        made = kind.local().make()
        return made if value is None else kind.accept(value, made)

    @staticmethod
    def cast(kind, value):
        """Numbers are cut to size and sign; pointers stay what they are."""
        if isinstance(kind, Pointer):
            return NULL if isinstance(value, int) and value == 0 else value
        if isinstance(value, Thing | Place):
            raise NotInC(f"{value!r} has no number here: cast of a pointer to {kind}")
        return kind.cast(value)

    @staticmethod
    def pointer(kind):
        return Pointer(kind)

    @staticmethod
    def const(kind):
        return kind

    @staticmethod
    def address(thing):
        if isinstance(thing, Thing):
            return thing
        raise NotInC(f"the address of {thing!r}: a bare value has none")

    @staticmethod
    def sizeof(what):
        if isinstance(what, Struct | Table):
            raise NotInC("sizeof wants a type")
        size = Size(what.size)
        size.kind = what
        return size


def libc(module, name):
    """A name cimported from libc.stdint or libc.errno."""
    if module == "libc.stdint":
        if name in INTEGERS:
            return INTEGERS[name]
        if kind := INTEGERS.get(name.removesuffix("_MAX").lower() + "_t"):
            return kind.mask >> 1 if kind.signed else kind.mask
    if module == "libc.errno" and isinstance(getattr(errno, name, None), int):
        return getattr(errno, name)
    raise NotInC(f"{module} has no {name} that the lab knows")


def quotient(left, right):
    """``//`` as C has it. C rounds to zero and Python down: for what is not negative they agree, and the engine has no other."""
    return left // _agreed(left, right)


def remainder(left, right):
    return left % _agreed(left, right)


def _agreed(left, right):
    if left < 0 or right <= 0:
        raise NotInC(f"{left} divided by {right}: C and Python do not agree")
    return right
