"""What runs of the lab gave, a row a case: a scenario under one design, one switch and one memory model."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import HotswapError

NEVER, SOMETIMES = "never", "sometimes"
VERDICTS = (NEVER, SOMETIMES)


class BadRows(HotswapError):
    """A file that holds no rows of a run."""


@dataclass(frozen=True)
class Row:
    """One case. ``verdict`` says whether the race was found; "never" holds within ``bound`` when ``complete``, and otherwise
    for the ``schedules`` that were run. ``replay`` is the id of the finding, "" without one."""

    scenario: str
    guard: str
    switch: str  # "" for the engine as it is
    model: str
    expected: str
    verdict: str
    complete: bool
    bound: int | None  # preemptions in a schedule
    schedules: int
    seconds: float
    replay: str = ""

    @property
    def as_expected(self) -> bool:
        return self.verdict == self.expected

    @property
    def case(self) -> str:
        """``R12 free-swap-and-cache, guard none, model sc``."""
        switch = f", {self.switch}" if self.switch else ""
        return f"{self.scenario}, guard {self.guard}{switch}, model {self.model}"

    @property
    def extent(self) -> str:
        """How far the verdict goes, for a table: ``sometimes``, ``never``, ``never within 2 preemptions``, ``not in 500 runs``."""
        if self.verdict == SOMETIMES:
            return SOMETIMES
        if not self.complete:
            return f"not in {count(self.schedules)}"
        if self.bound is None:
            return self.verdict
        return f"{self.verdict} within {self.bound} preemption{'s' * (self.bound != 1)}"


def count(schedules: int) -> str:
    return f"{schedules:,} schedule{'s' * (schedules != 1)}"


def to_json(rows: Iterable[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2)


def load(path: Path) -> list[Row]:
    """The rows that ``hotswap lab run --json`` wrote to a file; one sentence in a BadRows for any other."""
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise BadRows(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    except ValueError as error:
        raise BadRows(f"{path} is not JSON: {error}.") from error
    if not isinstance(found, list) or not found:
        raise BadRows(f"{path} holds no rows; make it with `hotswap lab run --all --json`.")
    return [_row(path, number, item) for number, item in enumerate(found, 1)]


def _row(path: Path, number: int, item: Any) -> Row:
    wanted = [field.name for field in fields(Row)]
    if not isinstance(item, dict) or set(item) != set(wanted):
        raise BadRows(f"{path}, row {number}: a row has {', '.join(wanted)}.")
    for name, value in item.items():
        if not _fits(name, value):
            raise BadRows(f"{path}, row {number}: {value!r} is no {name}.")
    return Row(**item)


def _fits(name: str, value: Any) -> bool:
    if name in ("expected", "verdict"):
        return value in VERDICTS
    if name == "complete":
        return isinstance(value, bool)
    if name == "bound" and value is None:
        return True
    if name in ("bound", "schedules", "seconds"):
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return isinstance(value, str)
