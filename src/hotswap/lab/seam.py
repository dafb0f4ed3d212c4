"""The twin of the seam: what the engine knows as ``arch``, as one object without any thread, clock or kernel behind it.

Each call first tells ``on_access(kind, object, …)`` what is about to happen: nothing by default, a scheduling point once
there is a scheduler. One thread runs at a time and there is none to wait for, so a lock that is held or an event that
nobody will wake goes to ``on_block(kind, object)``, which raises WouldWaitForEver; a scheduler will switch threads there
and return once trying again makes sense.

``current`` is the number of the running thread, ``clock`` the time in nanoseconds (it moves when somebody naps or a wait
times out). Constants come from the headers, but for THREADS, which is small here so that counting threads up is quick.
The calls stand where their headers do: ``atomics``, ``sync``, ``mmu``, ``disk``, ``codec``, ``channel``; tables of the engine's own
memory here.
"""

import errno
import re
import sys

from . import declarations
from .atomics import Atomics
from .channel import Channel
from .codec import Codec
from .disk import Disk
from .findings import InvariantBroken, NotInC, UseAfterFree, WouldWaitForEver
from .kinds import Kind, Size
from .memory import NULL, Table, freed, poison
from .mmu import Mmu
from .sync import Sync

PXD = "hotswap.arch"
THREADS = 16


def header_constants() -> dict[str, int]:
    """The seam's constants by their names in the .pxd, from the enums of the headers."""
    found = declarations.of_module(PXD)
    text = "".join(path.read_text() for path in sorted(found.path.parent.glob("*.h")))
    values = {name: int(value, 0) for name, value in re.findall(r"\b(\w+)\s*=\s*(0x[0-9a-fA-F]+|\d+)\b", text)}
    return {name: values.get(c_name, 0) for name, c_name in found.c_names.items() if name in found.constants}


class Seam(Atomics, Sync, Mmu, Disk, Codec, Channel):
    """One seam for one twin; two share nothing."""

    def __init__(self, **constants):
        super().__init__()
        vars(self).update(header_constants() | {"THREADS": THREADS, "DEBUG": 1} | constants)
        self.on_access = lambda kind, target, *details: None
        self.on_block = self.wait_for_ever
        self.lines: list[tuple[bytes, int, int, int]] = []  # of arch.log()
        self.tables = 0  # that were made and not freed yet

    def wait_for_ever(self, kind, target):
        raise WouldWaitForEver(f"thread {self.current}: {kind} of {target!r}, and nobody is left to end it")

    def check(self, holds, invariant):
        if not holds:
            raise InvariantBroken(invariant.decode())

    def log(self, text, a, b, c):
        self.lines.append((text, a, b, c))

    def log_area(self, text, name, a, b):
        self.lines.append((text, name, a, b))

    def founder(self):
        """One process, whose tables are its own."""
        return True

    def loaded(self):
        pass

    def family_door(self, said):
        return -errno.EBADF

    def table(self, count, each):
        kind = each.kind if isinstance(each, Size) else None
        if not isinstance(kind, Kind):
            raise NotInC("arch.table() wants cython.sizeof(a type): the twin has to know what it makes")
        self.on_access("table", None, count, kind)
        if self.injected("table"):
            return NULL
        self.tables += 1
        return Table(kind, count)

    def table_free(self, table, poisoned):
        """Poisoned either way: whoever still looks is found."""
        if not table:
            return
        self.on_access("table_free", table)
        if freed(table):
            raise UseAfterFree(f"table_free of {object.__getattribute__(table, '_up')}")
        self.tables -= 1
        poison(table, f"at {_caller()}, poison={bool(poisoned)}")


def _caller():
    """The line of the engine that called the seam."""
    frame = sys._getframe(2)
    while frame.f_back and "/engine/" not in frame.f_code.co_filename:
        frame = frame.f_back
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}, {frame.f_code.co_name}()"
