"""Shared memory that is watched: the structs and tables of a stepping twin, which note who touches what and keep what they change.

A step of a CPU is one call of the seam and the plain code after it. Steps that touch the same place, one of them writing, do not
commute, so each access of plain fields is noted too: ``reads`` and ``writes`` hold places of the step under way. A place is a
number: a struct has one for each plain field, a table of numbers has one altogether (C code takes elements by a lock or a
guard for the whole of it), a word or a lock has its own. Freeing a table writes all that is in it, so that every order of a
free and an access is tried.

Locals of the engine are no shared memory: ``cython.declare`` makes them of the plain classes (``memory``), unwatched.
"""

from typing import Any

from . import kinds
from .births import Births
from .journal import Journal, item, put_item
from .memory import Struct, Table, Thing, take_places

PAGES = 1 << 45  # pages are noted by their address (above), file blocks below zero


class Watch:
    """What one twin's shared memory tells; the lists stay the same objects. The machine empties them after each step."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.reads: list[int] = []
        self.writes: list[int] = []
        self.entered: list[int] = []  # stores that went into a buffer, and
        self.left: list[int] = []  # those that came out of it in this step
        self.births = Births()
        self.cpu = 0
        self.model: Any = None
        self.Table = _watched_table(self)

    def clear(self) -> None:
        for list_ in (self.reads, self.writes, self.entered, self.left):
            list_.clear()


def newest(struct, field):
    """The value of a plain field, unnoted."""
    return object.__getattribute__(struct, _raw(field) if isinstance(struct, Watched) else field)


def inside(thing) -> list[int]:
    """The places of an object and of all that is in it, as far as it was ever touched."""
    if isinstance(thing, Table):
        return [thing.uid, *(place for part in _parts(thing) for place in inside(part))]
    if isinstance(thing, Watched):
        own = range(thing.uid, thing.uid + len(thing.FIELDS) + 1)
        return [*own, *(place for part in _parts(thing) for place in inside(part))]
    return [thing.uid]


def _parts(thing):
    if isinstance(thing, Table):
        return [] if thing.kind.plain else list(thing.items.values())
    return [getattr(thing, field) for field, kind in thing.FIELDS.items() if not kind.plain]


class Watched(Struct):
    """A struct in shared memory. Each kind's class is generated, a property for each plain field."""

    __slots__ = ("uid",)
    __setattr__ = object.__setattr__

    def __init__(self, up=None):
        put = object.__setattr__
        put(self, "_up", up)
        put(self, "uid", take_places(len(self.FIELDS) + 1))
        for field, kind in self.FIELDS.items():
            if kind.plain:
                put(self, _raw(field), kind.make())
            else:
                put(self, field, kind.make((self, field)))


def _raw(field):
    return f"_of_{field}"


_PROPERTY = """
def get(self):
    reads(self.uid + {place})
    return {value}

def put(self, value):
    writes(self.uid + {place})
    {also}undo((old, self, self.{raw}))
    self.{raw} = accept(value)
"""


def watched_struct(name: str, fields: dict, watch: Watch, guarded: bool) -> type:
    """The class of a struct. ``guarded``: it is published and retired, and a model may say that a field is read stale."""
    slots = tuple(_raw(field) if kind.plain else field for field, kind in fields.items())
    kind = type(name, (Watched,), {"__slots__": slots, "FIELDS": fields})
    for place, (field, field_kind) in enumerate(fields.items(), 1):
        if not field_kind.plain:
            continue
        raw = _raw(field)
        value, also = f"self.{raw}", ""
        if isinstance(field_kind, kinds.Pointer):  # a table is called after the field that points to it
            also = f"named(value, self, {field!r}, undo)\n    "
        if guarded:
            value = f"watch.model.plain_load(watch.cpu, self, {field!r}) if watch.model.stale_fields else self.{raw}"
            also += f"watch.model.stale_fields and watch.model.plain_store(watch.cpu, self, {field!r}, value)\n    "
        names: dict[str, Any] = {
            "reads": watch.reads.append, "writes": watch.writes.append, "undo": watch.journal.log.append, "watch": watch,
            "accept": field_kind.accept, "named": _named, "old": getattr(kind, raw).__set__,
        }  # fmt: skip
        exec(_PROPERTY.format(place=place, raw=raw, value=value, also=also), names)
        setattr(kind, field, property(names["get"], names["put"]))
    return kind


def _named(value, struct, field, undo):
    if isinstance(value, Table) and object.__getattribute__(value, "_up") is None:
        undo((object.__setattr__, value, "_up", None))  # the next schedule may put it elsewhere
        object.__setattr__(value, "_up", (struct, field))


def _watched_table(watch: Watch) -> type:
    reads, writes, undo = watch.reads.append, watch.writes.append, watch.journal.log.append
    touch = watch.births.touch

    class WatchedTable(Table):
        __slots__ = ("birth",)  # its number, when it was made in this schedule

        def __init__(self, kind, count, up=None):
            super().__init__(kind, count, up)
            self.birth = None

        def __getitem__(self, index):
            reads(self.uid)
            if self.birth is not None:
                touch(self, watch.cpu)
            try:
                return self.items[index]
            except KeyError:
                self.bounds(index)
                made = self.items[index] = self.kind.make() if self.kind.plain else self.kind.make((self, index))
                return made

        def __setitem__(self, index, value):
            self.bounds(index)
            if self.kind.plain:
                if self.birth is not None:
                    touch(self, watch.cpu)
                writes(self.uid)
                undo((put_item, self.items, index, item(self.items, index)))
                self.items[index] = self.kind.accept(value, None)
            else:
                self.kind.accept(value, self[index])

    return WatchedTable


def zeroed(thing: Thing) -> bool:
    """Is everything in it as it was made?"""
    if isinstance(thing, Table):
        return not any(thing.items.values()) if thing.kind.plain else all(zeroed(part) for part in thing.items.values())
    if isinstance(thing, Struct):
        return not any(newest(thing, f) for f, kind in thing.FIELDS.items() if kind.plain) and all(
            zeroed(p) for p in _parts(thing)
        )
    return not any(getattr(thing, slot) for slot in type(thing).__slots__ if slot != "uid")
