"""Switches the areas off and on, one after the other, as fast as it goes, while a job uses them.

An area that holds nothing yet is passed over for the moment: emptying nothing shows nothing. Whatever hotswap refuses
is kept word for word, and fails the demo. Fields are written by the churning thread alone; lists only grow.
"""

import threading
import time
from pathlib import Path
from typing import NamedTuple

from .engine import Engine

PRIORITY = 10  # of every area: equals take turns
_GIVE_UP = 5  # failures after which nothing more is tried
_IDLE = 0.02  # seconds to wait when no area holds anything


class Swapoff(NamedTuple):
    """One that finished."""

    path: Path
    pages: int
    seconds: float


class Churn(threading.Thread):
    """Runs until ``finish``. Owes nothing but that the areas are on when it starts; leaves on what it can."""

    def __init__(self, engine: Engine, paths: list[Path], size: int) -> None:
        super().__init__(name="demo-churn", daemon=True)
        self.engine, self.paths, self.size = engine, paths, size
        self.done: list[Swapoff] = []
        self.failures: list[str] = []
        self.pages_moved = 0
        self.seconds_moving = 0.0
        self.now: tuple[str, Path] | None = None  # what it is doing, to which area
        self._finish = threading.Event()

    def finish(self) -> None:
        """Lets the swapoff under way complete, and its area go on again. Returns when that is done."""
        self._finish.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        turn = 0
        while not self._finish.is_set() and len(self.failures) < _GIVE_UP:
            try:
                used = {Path(area.path): area.used for area in self.engine.areas()}
                waiting = [path for path in self._from(turn) if used.get(path)]
                if not waiting:
                    self._finish.wait(_IDLE)
                    continue
                turn = self.paths.index(waiting[0]) + 1
                self._off_and_on(waiting[0])
            except Exception as error:  # noqa: BLE001  whatever it was, the demo's verdict tells it
                self._fail("the list of areas", error)
        self.now = None

    def _from(self, turn: int) -> list[Path]:
        turn %= len(self.paths)
        return self.paths[turn:] + self.paths[:turn]

    def _off_and_on(self, path: Path) -> None:
        self.now = ("off", path)
        try:
            moved = self.engine.swapoff(path)
        except Exception as error:  # noqa: BLE001
            self._fail(f"swapoff {path.name}", error)
            return
        self.done.append(Swapoff(path, moved.pages, moved.seconds))
        self.pages_moved += moved.pages
        self.seconds_moving += moved.seconds
        self.now = ("on", path)
        try:
            self.engine.swapon(path, self.size, PRIORITY)
        except Exception as error:  # noqa: BLE001
            self._fail(f"swapon {path.name}", error)
        self.now = None

    def _fail(self, what: str, error: Exception) -> None:
        self.now = None
        self.failures.append(f"{what}: {type(error).__name__}: {error}")
        time.sleep(0.1)
