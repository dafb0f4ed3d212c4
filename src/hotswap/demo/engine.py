"""The only file of the demo that calls hotswap. ``Engine`` is what the demo needs of it; tests put plain NumPy behind it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from numpy.typing import DTypeLike, NDArray


class AreaView(NamedTuple):
    """An area as ``hotswap.swaps`` shows it; sizes in bytes."""

    path: str
    size: int
    used: int
    flags: str


class Moved(NamedTuple):
    """What a finished swapoff moved: pages of 4 KiB, and the seconds it took."""

    pages: int
    seconds: float


class Engine(Protocol):
    """Swap areas, and one space of arrays. Areas may be switched from any thread at any time."""

    def swapon(self, path: Path, size: int, priority: int) -> None: ...

    def swapoff(self, path: Path) -> Moved: ...

    def areas(self) -> list[AreaView]: ...

    def open(self, limit: int, folio: int) -> None:
        """Makes the space: ``limit`` bytes resident at most, moved in folios of ``folio`` bytes."""

    def make(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]: ...

    def stats(self) -> dict[str, Any]: ...

    def close(self) -> None:
        """Closes the space, if it is open."""


MakeEngine = Callable[[], Engine]


class Hotswap:
    """The real one. hotswap is imported when it is needed, so that a broken installation is told as an error; and all of it at once, so
    that its code is not taken for memory of a space, which is measured from then on."""

    def __init__(self) -> None:
        import hotswap

        hotswap.swaps()  # loads the engine
        self._hotswap: Any = hotswap
        self._space: Any = None

    def swapon(self, path: Path, size: int, priority: int) -> None:
        self._hotswap.swapon(str(path), size=size, priority=priority)

    def swapoff(self, path: Path) -> Moved:
        result = self._hotswap.swapoff(str(path))
        return Moved(int(result.pages), float(result.seconds))

    def areas(self) -> list[AreaView]:
        return [AreaView(str(a.path), int(a.size), int(a.used), _words(a.flags)) for a in self._hotswap.swaps()]

    def open(self, limit: int, folio: int) -> None:
        self._space = self._hotswap.Space(limit=limit, folio=folio)

    def make(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        array: NDArray[Any] = self._space.empty(shape, dtype)
        return array

    def stats(self) -> dict[str, Any]:
        return dict(self._space.stats()) if self._space is not None else {}

    def close(self) -> None:
        if self._space is not None:
            space, self._space = self._space, None
            space.close()


def _words(flags: Any) -> str:
    """Flags as text, whether they come as text or as a collection of words."""
    return flags if isinstance(flags, str) else " ".join(map(str, flags or ()))
