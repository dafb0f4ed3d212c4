"""C's memory as the twin has it: structs, tables and pointers, all of which can be poisoned.

- Everything starts as zeros, a local struct too (in C it holds what was there: the twin does not see that mistake).
- Tables are checked at both ends and make their elements when first touched, so that a big one costs nothing.
- A pointer to an object is the object; a pointer to a number or to a pointer is a Place (or a Box, to a local variable).
- An object knows what it is part of, so that a finding can say ``areas[3].lock``.
- Freed objects change their class to one that refuses every access and says where they were freed: no cost until then.
"""

from typing import ClassVar

from .findings import NotInC, NullDereference, OutOfBounds, UseAfterFree

_places = [1 << 10]  # below: numbers that are no object's


def take_places(count):
    """The first of ``count`` fresh numbers, by which a stepping twin names places in memory (``watch``)."""
    first = _places[0]
    _places[0] = first + count
    return first


class Thing:
    """An object of C's memory. ``_up`` says what it is part of: (object, field or index), or a variable's name."""

    __slots__ = ("_up",)

    def __init__(self, up=None):
        object.__setattr__(self, "_up", up)

    def __bool__(self):
        return True

    def __repr__(self):
        return name_of(self)


class Struct(Thing):
    """One struct; ``FIELDS`` gives each field's kind, and there are no others."""

    __slots__ = ()
    FIELDS: ClassVar[dict] = {}  # name: Kind

    def __init__(self, up=None):
        put = object.__setattr__
        put(self, "_up", up)
        for field, kind in self.FIELDS.items():
            put(self, field, kind.make() if kind.plain else kind.make((self, field)))

    def __setattr__(self, field, value):
        kind = self.FIELDS.get(field)
        if kind is None:
            raise AttributeError(f"struct {type(self).__name__} has no field {field!r}")
        object.__setattr__(self, field, kind.accept(value, None if kind.plain else getattr(self, field)))

    def __getitem__(self, index):
        """Through a pointer: [0] is the struct, others are its neighbours in the table."""
        return self if index == 0 else address_item(*_place(self, index))

    def __setitem__(self, index, value):
        copy_struct(value, self[index])

    def __add__(self, count):
        return self[count]

    def __sub__(self, other):
        if isinstance(other, int):
            return self[-other]
        mine, at = _place(self, 0)
        if other is mine:
            return at
        theirs, start = _place(other, 0)
        if theirs is not mine:
            raise NotInC(f"{name_of(self)} and {name_of(other)} are not of one table")
        return at - start


class Table(Thing):
    """``count`` elements of one kind; also what a pointer to its first element is."""

    __slots__ = ("count", "items", "kind", "uid")
    __iter__ = None  # C cannot either

    def __init__(self, kind, count, up=None):
        super().__init__(up)
        self.uid = take_places(1)
        self.kind = kind
        self.count = count
        self.items = {}

    def __getitem__(self, index):
        try:
            return self.items[index]
        except KeyError:
            self.bounds(index)
            made = self.items[index] = self.kind.make() if self.kind.plain else self.kind.make((self, index))
            return made

    def __setitem__(self, index, value):
        self.bounds(index)
        self.items[index] = self.kind.accept(value, None if self.kind.plain else self[index])

    def __add__(self, count):
        return address_item(self, count)

    def bounds(self, index):
        if not 0 <= index < self.count:
            raise OutOfBounds(f"{name_of(self)}[{index}], which has {self.count}")


class Place:
    """A pointer to something plain: an element of a table, or a field of a struct."""

    __slots__ = ("base", "key")

    def __init__(self, base, key):
        self.base = base
        self.key = key

    def __getitem__(self, index):
        if isinstance(self.base, Table):
            return self.base[self.key + index]
        self.only(index)
        return getattr(self.base, self.key)

    def __setitem__(self, index, value):
        if isinstance(self.base, Table):
            self.base[self.key + index] = value
        else:
            self.only(index)
            setattr(self.base, self.key, value)

    def only(self, index):
        if index:
            raise OutOfBounds(f"{name_of(self.base)}.{self.key} is one field, [{index}] is not in it")

    def __add__(self, count):
        if not isinstance(self.base, Table):
            raise NotInC(f"{self.key} is a field: there is nothing beside it")
        return Place(self.base, self.key + count)

    def __eq__(self, other):
        return isinstance(other, Place) and self.base is other.base and self.key == other.key

    def __hash__(self):
        return hash((id(self.base), self.key))


class Box:
    """A local variable whose address is taken, and the pointer to it; ``accept`` is its type's, where that is declared."""

    __slots__ = ("accept", "name", "value")

    def __init__(self, name, accept=None):
        self.name = name
        self.accept = accept

    def __getitem__(self, index):
        self.only(index)
        return self.value

    def __setitem__(self, index, value):
        self.only(index)
        self.value = self.accept(value) if self.accept else value

    def only(self, index):
        if index:
            raise OutOfBounds(f"{self.name} is one variable, [{index}] is not in it")


class Null:
    """NULL: false, and nothing behind it."""

    __slots__ = ()

    def __bool__(self):
        return False

    def __repr__(self):
        return "NULL"

    def __getattr__(self, name):
        raise NullDereference(f"field {name!r} behind NULL")

    def __setattr__(self, name, value):
        raise NullDereference(f"field {name!r} behind NULL")

    def __getitem__(self, index):
        raise NullDereference(f"element {index} behind NULL")

    def __setitem__(self, index, value):
        raise NullDereference(f"element {index} behind NULL")


NULL = Null()


def address_field(base, field):
    """``&base->field``."""
    fields = getattr(type(base), "FIELDS", None)
    if fields is None or not fields[field].plain:
        return getattr(base, field)
    return Place(base, field)


def address_item(base, index):
    """``&base[index]``. To a struct it must exist; to a number C's one past the end may be formed, but not touched."""
    if isinstance(base, Table) and base.kind.plain:
        return Place(base, index)
    return base + index if isinstance(base, Place) else base[index]


def address_box(box):
    """``&x`` of a local."""
    return box.value if isinstance(getattr(box, "value", None), Thing) and box.accept is None else box


def copy_struct(value, into):
    """Assignment of one struct to another: by value, as in C."""
    if value.FIELDS is not into.FIELDS:
        raise NotInC(f"{value!r} is assigned to {name_of(into)}")
    for field in into.FIELDS:
        part = getattr(value, field)
        if isinstance(getattr(into, field), Table) and not into.FIELDS[field].plain:
            for index in range(part.count):
                getattr(into, field)[index] = part[index]
        else:
            setattr(into, field, part)


def name_of(thing):
    """``areas[3].lock``: as far as it is known."""
    up = object.__getattribute__(thing, "_up") if isinstance(thing, Thing) else None
    if isinstance(up, tuple):
        parent, key = up
        table = issubclass(type(parent), Table)  # isinstance() would look at the parent, which may be freed
        return f"{name_of(parent)}[{key}]" if table else f"{name_of(parent)}.{key}"
    if isinstance(up, str):
        return up
    return f"a table of {thing.kind}" if isinstance(thing, Table) else f"a {type(thing).__name__}"


def _place(struct, index):
    up = object.__getattribute__(struct, "_up")
    if not isinstance(up, tuple) or not isinstance(up[0], Table):
        raise OutOfBounds(f"{name_of(struct)} stands alone: no element {index} beside it")
    return up[0], up[1] + index


_graves: dict[type, type] = {}


def poison(thing, where, undo=lambda entry: None):
    """``thing`` and all that is in it refuse every access from now on; ``where`` is what they say. ``undo`` is a journal's."""
    name = name_of(thing)
    if isinstance(thing, Table):
        inside = [] if thing.kind.plain else list(thing.items.values())
    else:
        inside = [getattr(thing, field) for field, kind in getattr(thing, "FIELDS", {}).items() if not kind.plain]
    for part in inside:
        poison(part, where, undo)
    kind = type(thing)
    undo((object.__setattr__, thing, "_up", object.__getattribute__(thing, "_up")))
    undo((object.__setattr__, thing, "__class__", kind))
    object.__setattr__(thing, "_up", f"{name}, freed {where}")
    if kind not in _graves:
        methods = dict.fromkeys(("__getattribute__", "__setattr__", "__getitem__", "__setitem__", "__add__"), _refuse)
        _graves[kind] = type(f"Freed{kind.__name__}", (kind,), {"__slots__": (), **methods})
    object.__setattr__(thing, "__class__", _graves[kind])


def freed(thing):
    return type(thing) in _graves.values()


def _refuse(thing, *what):
    raise UseAfterFree(f"{what[0]!r} of {object.__getattribute__(thing, '_up')}")
