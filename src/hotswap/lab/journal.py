"""What a schedule changed, so that it can be undone: a schedule then costs its own steps, not a new twin.

Whoever changes shared state first appends how to put the old value back, as ``(function, arguments…)``; ``rollback()`` goes through
that backwards. What is small and changes rarely (the seam's own numbers and lists, the engine's module variables) is copied at
``checkpoint()`` instead and put back as a whole. Elements that tables made when they were first touched stay: they are zeros
again, which is what an element that was never touched is.
"""

from copy import deepcopy
from types import ModuleType
from typing import Any

_SEAM = (
    "clock", "current", "idle", "tables", "next_address", "next_descriptor", "reserved", "registered", "forbidden", "faults", "stopped",
    "waiters", "lines", "threads", "wanted", "handed",
)  # fmt: skip
_MISSING = object()


class Forget(list):
    """A log for twins that are never rolled back."""

    def append(self, entry) -> None:
        pass


class Journal:
    """``log`` is the undo log; the same list for ever, so that ``log.append`` may be kept."""

    def __init__(self) -> None:
        self.log: list[tuple] = []
        self.seam: Any = None
        self.saved: dict[str, Any] = {}
        self.variables: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def checkpoint(self, seam, modules: dict[str, ModuleType], scalars: dict[str, list[str]]) -> None:
        """The state that ``rollback()`` goes back to is this one. ``scalars``: module variables that are plain, by module."""
        self.log.clear()
        self.seam = seam
        self.saved = {name: _copied(getattr(seam, name)) for name in _SEAM if hasattr(seam, name)}
        self.variables = [
            (vars(modules[m]), {name: vars(modules[m])[name] for name in names}) for m, names in scalars.items() if names
        ]

    def rollback(self) -> None:
        log = self.log
        for entry in reversed(log):
            entry[0](*entry[1:])
        log.clear()
        for name, value in self.saved.items():
            setattr(self.seam, name, _copied(value))
        for now, before in self.variables:
            now.update(before)


def _copied(value):
    if isinstance(value, list | set):
        return value.copy()
    return deepcopy(value) if isinstance(value, dict) else value


def put_item(items: dict, key, old) -> None:
    """Undoes an assignment to a dictionary; ``old`` is what ``item()`` said."""
    if old is _MISSING:
        items.pop(key, None)
    else:
        items[key] = old


def item(items: dict, key):
    return items.get(key, _MISSING)
