"""The input: the source text of the installed Python's standard library, read in pieces.

Every ``.py`` file below the standard library (third-party packages apart), in the order of its path, each followed by a
zero byte. The text is never whole in memory: ``read`` fetches a piece from the files, so that the job can put it into
its own arrays. ``Corpus.cut`` shortens it, which is how a run is made to fit a length of time.
"""

import os
import sysconfig
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import HotswapError

_NOT_OURS = {"site-packages", "dist-packages", "__pycache__"}


@dataclass(frozen=True)
class Corpus:
    """``size`` bytes of text from ``files``, pairs of path and length; a file takes its length and one byte more."""

    files: tuple[tuple[str, int], ...]
    size: int

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((length + 1 for _, length in self.files), initial=0))

    def cut(self, size: int) -> "Corpus":
        """The first ``size`` bytes; all of it when ``size`` is more."""
        return Corpus(self.files, min(size, self.size))

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Bytes ``start`` to ``stop``. Raises ``HotswapError`` when a file has become shorter since it was listed."""
        assert 0 <= start <= stop <= self.size
        text = bytearray()
        number = bisect_right(self._starts, start) - 1
        while len(text) < stop - start:
            path, length = self.files[number]
            skip = start + len(text) - self._starts[number]
            want = min(length - skip, stop - start - len(text))
            with open(path, "rb") as file:
                file.seek(skip)
                piece = file.read(want)
            if len(piece) != want:
                raise HotswapError(f"{path} became shorter while it was read; run the demo again when nothing changes it.")
            text += piece
            if len(text) < stop - start:
                text.append(0)
            number += 1
        return np.frombuffer(text, np.uint8)


def standard_library() -> Corpus:
    """All of it. Raises ``HotswapError`` where Python was installed without its source text."""
    top = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        found += [os.path.join(folder, name) for name in names if name.endswith(".py")]
    files = tuple(
        (path, os.path.getsize(path))
        for path in sorted(found)
        if os.path.isfile(path) and os.access(path, os.R_OK, effective_ids=True)
    )
    size = sum(length + 1 for _, length in files)
    if size < 1 << 20:
        raise HotswapError(f"{top} holds less than 1 MiB of Python source; install the standard library's source text.")
    return Corpus(files, size)
