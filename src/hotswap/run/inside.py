"""In the program, when the interpreter is complete and before the program's first line: areas on, heap on, environment as it was.

Called with the interpreter's lock on the main thread, inside an audit hook (preload/python.c).
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..arena import Arena
from ..engine import api
from ..errors import HotswapError
from . import areas, exits
from .plan import Plan

heap: Arena | None = None  # what the program's large allocations come from; None: not under hotswap run
notes: list[str] = []  # what does not hold here, in sentences


class _Heap(ctypes.Structure):
    """``struct hotswap_heap`` of preload/preload.h."""

    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("base", "bytes", "least", "space", "wrap_calls")),
        *((name, ctypes.c_uint64) for name in ("map", "unmap", "room", "resize", "pin", "unpin", "alone")),
    ]


def begin() -> None:
    """Raises ``exits.Refused``, with what the process is to end with."""
    plan = Plan.read(os.environ["HOTSWAP_RUN_PLAN"])
    _restore_environment(plan)
    with exits.code(exits.BAD_SIZE):
        arena = Arena(plan.limit)
    with exits.code(exits.NO_AREA):
        areas.switch_on(plan)
    start(arena, plan.least)


def start(arena: Arena, least: int) -> None:
    """Hands large allocations over to the engine."""
    global heap
    library = ctypes.PyDLL(None)
    learn = library.hotswap_preload_learn
    learn.argtypes = ctypes.c_int, ctypes.c_size_t
    library.hotswap_preload_python(ctypes.c_size_t(least))
    learn(1, least)
    _tables()
    learn(2, least)
    _bytes()
    if not learn(0, least):
        notes.append("this Python's dicts and tuples cannot be told from its bytes: large ones are swappable too")
    _, kernel_faults = api.mmu_found()
    base, size = api.space_range(arena._index)
    wrap = not kernel_faults or arena._signal
    given = _Heap(base, size, least, arena._index, wrap, **api.heap_calls())
    failed = library.hotswap_preload_start(ctypes.byref(given))
    if failed:
        raise HotswapError(f"large allocations cannot be taken over ({os.strerror(failed)}).")
    heap = arena
    sys.meta_path.insert(0, _NumpyWatch(library, least))


def _tables() -> None:
    """Makes dicts, tuples, lists and sets in all ways that allocate, so that the callers of Python's allocator are seen."""
    numbers = list(range(600))
    grown: dict[Any, int] = {}
    for number in numbers:
        grown[number] = number
    named: dict[str, int] = {}
    for number in numbers:
        named[str(number)] = number
    made: list[Any] = [{**grown}, grown.copy(), dict(grown), dict.fromkeys(numbers), grown | named, dict(zip(numbers, numbers))]
    made[0].update(named)
    made[1].pop(1)
    made += [dict(made[1]), made[1].copy(), {number: number for number in numbers}]
    whole: tuple[int, ...] = tuple(numbers)
    made += [whole + whole, whole * 2, whole[1:], tuple(number for number in numbers), (*numbers, 1)]
    made += [_listed(*numbers), _named(**named)]
    made += [
        numbers + numbers,
        numbers * 2,
        numbers[1:],
        numbers.copy(),
        [*numbers],
        sorted(numbers),
        [number + 1 for number in numbers],
    ]
    made[-1].append(1)
    made[-1].insert(0, 1)
    made[-2][5:5] = numbers
    made += [set(numbers), frozenset(numbers), {number + 1 for number in numbers}, set(numbers) | set(named)]


def _listed(*given: Any) -> Any:
    return given


def _named(**given: Any) -> Any:
    return given


def _bytes() -> None:
    """The same for bytes, bytearray and str."""
    some = bytes(5000)
    grown = bytearray()
    for _ in range(20):
        grown += some
        grown.extend(some)
    made: list[Any] = [
        bytearray(5000),
        bytearray(some),
        bytes(grown),
        some + some,
        some * 2,
        some[1:],
        b"".join([some, some]),
        grown * 2,
    ]
    text = "a" * 5000
    made += [
        text + text,
        text.encode(),
        some.decode(),
        "\u00e4" * 5000,
        text.replace("a", "bc"),
        "".join([text, text]),
        some.hex(),
    ]
    made += [grown[1:], some.replace(b"\0", b"12"), bytes(number % 256 for number in range(5000)), bytes(memoryview(some))]


class _NumpyWatch:
    """Waits on sys.meta_path for NumPy to be loaded, and goes: its arrays of objects stay in memory from then on."""

    def __init__(self, library: ctypes.PyDLL, least: int):
        self._library, self._least = library, least

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        module = sys.modules.get("numpy._core._multiarray_umath")
        if module is not None and hasattr(module, "_ARRAY_API") and "numpy._core.multiarray" in sys.modules:
            self._numpy_is_there(module)
        return None

    def _numpy_is_there(self, core: Any) -> None:
        sys.meta_path.remove(self)
        from .. import npalloc

        if npalloc.watch():
            self._library.hotswap_preload_objects(ctypes.c_void_p(npalloc.watch_call()))
        else:
            notes.append("this NumPy's arrays of objects cannot be told from others: large ones are swappable too")
        where = core.empty(self._least, "u1").__array_interface__["data"][0]
        if not self._library.hotswap_preload_ours(ctypes.c_void_p(where)):
            notes.append("this NumPy has its arrays from elsewhere than malloc: large ones stay in memory")


def _restore_environment(plan: Plan) -> None:
    """Children start as if hotswap were not there; who wants it in one starts that with ``hotswap run``."""
    for name in ("HOTSWAP_RUN_PROCESS", "HOTSWAP_RUN_BOOT", "HOTSWAP_RUN_PLAN"):
        os.environ.pop(name, None)
    if plan.preload is None:
        os.environ.pop("LD_PRELOAD", None)
    else:
        os.environ["LD_PRELOAD"] = plan.preload
