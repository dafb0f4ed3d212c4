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

from .. import control, joining
from ..arena import Arena, limit_pages
from ..engine import api
from ..errors import HotswapError, SizeError
from . import areas, exits
from .plan import Plan

_BOOT = os.path.join(os.path.dirname(__file__), "boot.py")
heap: Arena | None = None  # what the program's large allocations come from; None: not under hotswap run
notes: list[str] = []  # what does not hold here, in sentences


class _Heap(ctypes.Structure):
    """``struct hotswap_heap`` of preload/preload.h."""

    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("base", "bytes", "least", "space", "wrap_calls")),
        *((name, ctypes.c_uint64) for name in ("map", "unmap", "room", "resize", "pin", "unpin", "alone")),
    ]


def begin() -> None:
    """Raises ``exits.Refused``, with what the process is to end with. A child of the program (preload/exec.c) starts in any case."""
    plan = Plan.read(os.environ["HOTSWAP_RUN_PLAN"])
    child = os.environ["HOTSWAP_RUN_PROCESS"][0] in "+<"
    library = _restore_environment()
    if not child:
        _begin(plan, library)
    elif not _only_counts():
        try:
            _begin(plan, library)
        except HotswapError as error:
            print(f"hotswap: process {os.getpid()}, a child of the program, runs without swap: {error}", file=sys.stderr)


def _begin(plan: Plan, library: str) -> None:
    with exits.code(exits.BAD_SIZE):
        arena = Arena(plan.limit)
        if plan.children:
            _children_pages(plan, arena)
    with exits.code(exits.NO_AREA):
        areas.switch_on(plan)
    start(arena, plan.least)
    _look_after_children(plan, arena, library)


def _only_counts() -> bool:
    """Is this the process of multiprocessing (or loky) that has no more to do than to remove what others left behind?"""
    return any("resource_tracker import main" in word for word in sys.orig_argv)


def _children_pages(plan: Plan, arena: Arena) -> int:
    try:
        return limit_pages(plan.children, arena._order)
    except SizeError as error:
        raise SizeError(f"children_limit: {error}") from None


def _look_after_children(plan: Plan, arena: Arena, library: str) -> None:
    """Those that are executed join this process, and those that are forked get their limit."""
    if not plan.children:
        return
    try:
        door = joining.door()
    except HotswapError as error:
        notes.append(str(error))
    else:
        texts = library, f"HOTSWAP_RUN_BOOT={_BOOT}", f"HOTSWAP_RUN_PLAN={plan.of_child().text()}", door
        failed = ctypes.PyDLL(None).hotswap_preload_children(*(os.fsencode(text) for text in texts))
        if failed:
            notes.append(f"children that are executed go without swap ({os.strerror(failed)})")
    if plan.children != plan.limit:
        os.register_at_fork(after_in_child=lambda: _limit_child(plan.children, arena))


def _limit_child(limit: int, arena: Arena) -> None:
    """In a child of fork, before its first line. What it has in memory beyond that goes out first."""
    if control.forked:
        return
    try:
        arena.limit = limit
    except HotswapError as error:
        print(f"hotswap: process {os.getpid()} keeps the limit of its parent: {error}", file=sys.stderr)


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


def _restore_environment() -> str:
    """As it was before, so that other programs start as if hotswap were not there. The path of the library that was in front."""
    for name in ("HOTSWAP_RUN_PROCESS", "HOTSWAP_RUN_BOOT", "HOTSWAP_RUN_PLAN", joining.VARIABLE):
        os.environ.pop(name, None)
    library, _, before = os.environ.pop("LD_PRELOAD").partition(":")
    if before:
        os.environ["LD_PRELOAD"] = before
    return library
