"""C's types as the twin has them: numbers with a width, pointers, arrays, structs.

A type is an object that makes initial values and decides what may be stored. What lives in its place by value (numbers,
pointers) is *plain*; structs, arrays and the seam's words and locks are objects, and their address is the object itself.

Unsigned numbers wrap, as C defines. A signed number that does not fit raises DoesNotFit: C leaves that undefined or to the
compiler, and nowhere does the engine want it. ``cast()`` wraps both, since whoever writes it asks for that.
"""

from collections.abc import Callable
from typing import Any

from .findings import DoesNotFit, NotInC
from .memory import NULL, Struct, Table, copy_struct, name_of


class Kind:
    """A C type. ``make(up)`` gives its zero, ``accept(value, old)`` what is stored when ``value`` is assigned over ``old``."""

    plain = True
    size = 8  # bytes; of a struct, the sum of its fields
    make: Callable[..., Any]
    accept: Callable[..., Any]

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return self.name

    def __getitem__(self, count):  # as in cython.declare(uint64_t[16])
        return Array(self, count)

    def __call__(self, value=0):  # as in cython.int(5): a conversion
        return self.cast(value)

    def cast(self, value):
        return value

    def local(self):
        """The same for a local of the engine: what is on a stack needs no watching."""
        return self


class Integer(Kind):
    def __init__(self, name, bits, signed):
        super().__init__(name)
        self.size = bits // 8
        self.mask = mask = (1 << bits) - 1
        self.signed = signed
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, mask)

        def accept(value, old=None):
            if low <= value <= high:
                return value + 0  # a bool becomes a number
            if signed:
                raise DoesNotFit(f"{value} does not fit a signed {name}")
            return value & mask

        self.accept = accept

    def make(self, up=None):
        return 0

    def cast(self, value):
        value = int(value) & self.mask
        return value - self.mask - 1 if self.signed and value > self.mask >> 1 else value


class Truth(Kind):
    size = 4

    def make(self, up=None):
        return False

    def accept(self, value, old=None):
        return bool(value)

    cast = accept


class Real(Kind):
    def make(self, up=None):
        return 0.0

    def accept(self, value, old=None):
        return float(value)

    cast = accept


class Pointer(Kind):
    """To data or to a function. Which type it points to is not checked: the compiler does that."""

    def __init__(self, target="void"):
        super().__init__(f"{target} *")

    def make(self, up=None):
        return NULL

    def accept(self, value, old=None):
        return NULL if value is None else value


class Opaque(Kind):
    """A word or a lock: only the seam knows what is in it."""

    plain = False

    def __init__(self, name, factory, size):
        super().__init__(name)
        self.make = factory
        self.size = size

    def accept(self, value, old=None):
        raise NotInC(f"{name_of(old)} is touched only through the seam")


class Array(Kind):
    plain = False

    def __init__(self, kind, count, table=Table):
        super().__init__(f"{kind}[{count}]")
        self.kind = kind
        self.count = count
        self.size = kind.size * count
        self.table = table

    def make(self, up=None):
        return self.table(self.kind, self.count, up)

    def local(self):
        return Array(self.kind.local(), self.count)

    def accept(self, value, old=None):
        raise NotInC("C does not assign arrays")


class Size(int):
    """What ``sizeof`` gives: the number, and the type for ``arch.table()``."""

    kind: Kind


class StructKind(Kind):
    """The type of a struct, made from its fields; ``fields`` may be filled later (structs point to each other)."""

    plain = False

    def __init__(self, name, fields, shared=None):
        """``shared``: the class of those in shared memory, where that is another than a local's."""
        super().__init__(name)
        self.make = shared or type(name, (Struct,), {"__slots__": tuple(fields), "FIELDS": fields})
        self.fields = fields
        self.unshared = StructKind(name, fields) if shared else self

    def local(self):
        return self.unshared

    @property
    def size(self):
        return sum(kind.size for kind in self.fields.values())

    def accept(self, value, old=None):
        copy_struct(value, old)
        return old


VOID = Kind("void")
BINT = Truth("bint")
INTEGERS: dict[str, Kind] = {
    f"{'' if signed else 'u'}int{bits}_t": Integer(f"{'' if signed else 'u'}int{bits}_t", bits, signed)
    for bits in (8, 16, 32, 64)
    for signed in (True, False)
}
INTEGERS |= {"uintptr_t": Integer("uintptr_t", 64, False), "intptr_t": Integer("intptr_t", 64, True)}
for _name, _bits in {"char": 8, "short": 16, "int": 32, "long": 64, "long long": 64}.items():
    INTEGERS[_name] = Integer(_name, _bits, True)
    INTEGERS[f"unsigned {_name}"] = Integer(f"unsigned {_name}", _bits, False)
INTEGERS |= {
    "unsigned": INTEGERS["unsigned int"],
    "size_t": Integer("size_t", 64, False),
    "ssize_t": Integer("ssize_t", 64, True),
}
SCALARS: dict[str, Kind] = {**INTEGERS, "bint": BINT, "void": VOID, "double": Real("double"), "float": Real("float")}
