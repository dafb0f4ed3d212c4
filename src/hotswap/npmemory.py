"""``arrays``: every big array that NumPy makes in a ``with`` block is swappable; ``everywhere``: in the whole process, for good.

Without ``hotswap run``, that is: it reaches NumPy only, not bytearray, Arrow or other libraries, and it helps no system calls.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from . import npalloc
from .arena import Arena
from .run import areas, inside, plan
from .sizes import parse_size
from .space import Space

_lock = threading.Lock()
_blocks = 0  # that are open now, in all threads
_start = threading.Thread.start
_space: Space | None = None  # of everywhere()


@contextlib.contextmanager
def arrays(limit: int | str, folio: int | str | None = None, *, min_size: int | str = plan.MIN_SIZE) -> Iterator[Space]:
    """Arrays of ``min_size`` bytes or more that NumPy makes in the block come from a space with this ``limit``, which the block is
    given. They may outlive the block; the space does as long as they do. Arrays of Python objects stay in memory.

    Counts for the thread, or task, that enters the block, and for threads started in it, for as long as they run. Raises as
    ``Space`` does; NumPy's own ``MemoryError`` comes when limits and areas could not hold an array.
    """
    least = parse_size(min_size, "min_size")
    npalloc.watch()
    space = Space(limit, folio)
    before = npalloc.use(npalloc.handler(space, space._index, least))
    _count(1)
    try:
        yield space
    finally:
        _count(-1)
        npalloc.use(before)


def everywhere(wanted: plan.Plan) -> Arena:
    """The same in all threads and contexts, with areas, until the process ends. A second call changes nothing, nor does one under
    ``hotswap run``, where all of this holds already. Where large arrays come from."""
    global _space
    if inside.heap is not None:
        return inside.heap
    with _lock:
        if _space is None:
            space = Space(wanted.limit)
            areas.switch_on(wanted)
            npalloc.watch()
            npalloc.everywhere(space, space._index, wanted.least)
            _space = space
        return _space


def _count(change: int) -> None:
    """Threads are told of the handler only while there is a block."""
    global _blocks
    with _lock:
        _blocks += change
        threading.Thread.start = _start_in_block if _blocks else _start  # type: ignore[method-assign, assignment]


def _start_in_block(thread: threading.Thread) -> None:
    """A new thread begins in an empty context, with NumPy's default handler: gives it that of who starts it."""
    handler: Any = npalloc.in_use()
    if handler is not None:
        run = thread.run

        def run_in_block() -> None:
            del thread.run  # the class's again
            npalloc.use(handler)
            run()

        thread.run = run_in_block  # type: ignore[method-assign]
    _start(thread)
