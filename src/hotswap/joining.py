"""Processes that are started anew, by ``spawn``, ``forkserver`` or ``subprocess``, and share the areas of the one that started them.

``HOTSWAP_JOIN`` in the environment of such a process says how it gets at the family's memory: ``process:descriptor:inode:address:build``.
The engine looks at it while it is loaded (arch/family.h), so what does not hold any more is taken out before (``look``). After that a
process has either joined, or its family is its own.
"""

import os

from .errors import UnsupportedError

VARIABLE = "HOTSWAP_JOIN"


def _build() -> str:
    """When the engine's parts were written, in nanoseconds: another build has another."""
    newest = 0
    engine = os.path.join(os.path.dirname(__file__), "engine")
    for place in (engine, os.path.join(engine, "store"), os.path.join(engine, "guard")):
        with os.scandir(place) as entries:
            newest = max([newest, *(entry.stat().st_mtime_ns for entry in entries if entry.name.endswith(".so"))])
    return f"{newest:x}"


BUILD = _build()  # of what is loaded now; the files may be others later


def look() -> None:
    """Before the engine is loaded: who was built otherwise has other tables, and makes its own."""
    process, _, rest = os.environ[VARIABLE].partition(":")
    if process == str(os.getpid()) or rest.rpartition(":")[2] != BUILD:
        del os.environ[VARIABLE]


def door() -> str:
    """What ``HOTSWAP_JOIN`` has to say behind the number of this process, for others to join through it. Raises ``UnsupportedError``."""
    from .engine import api

    said = api.door()
    if len(said) == 1:
        raise UnsupportedError(
            f"other processes cannot share this one's areas: {os.strerror(-said[0])}; the program has closed descriptors that are not "
            "its own, or has a limit on the size of files (ulimit -f)."
        )
    descriptor, inode, address = said
    return f"{descriptor}:{inode}:{address:x}:{BUILD}"


def open_door(wanted: bool) -> None:
    """Whether processes that this one starts join it when they load hotswap."""
    if wanted:
        os.environ[VARIABLE] = f"{os.getpid()}:{door()}"
    else:
        os.environ.pop(VARIABLE, None)


def in_child(alone: bool) -> None:
    """After fork: what this child starts joins through it."""
    if VARIABLE in os.environ:
        open_door(not alone)
