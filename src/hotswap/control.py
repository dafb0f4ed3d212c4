"""Areas on and off, and what they look like: ``swapon``, ``swapoff``, ``swaps``, ``configure``.

Any number of threads may call these at one time. The registry's lock is held only to look and to note, never over a format,
a transfer or an emptying.
"""

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import areafile, commit
from .engine import api
from .errors import AreaError, HotswapError, UnsupportedError
from .sizes import PAGE, format_size

GUARDS = {  # by their numbers in engine/guard/contract.pxd; docs/guards.md compares them
    "none": 0,
    "mmlist": 2,
    "stop_machine": 3,
    "stop_machine_work": 4,
    "rcu": 5,
    "srcu": 6,
    "percpu_ref": 1,
    "rcu_pointer": 7,
}
PRIORITIES = range(-1, 32768)  # as swapon(2) has them
_TICK_US = 100_000


class Swap(NamedTuple):
    """An area that is on; ``size`` and ``used`` in bytes, ``errors`` in transfers that failed. Of compressed RAM ``held`` is the memory
    that it takes, and ``stored`` what is in there as it came; 0 elsewhere."""

    path: str
    kind: str
    size: int
    used: int
    priority: int
    flags: str
    bytes_in: int
    bytes_out: int
    errors: int
    held: int = 0
    stored: int = 0


class SwapoffProgress(NamedTuple):
    """How far a swapoff is: pages of 4 KiB, pages a second, seconds (None while nothing has moved)."""

    path: str
    left: int
    moved: int
    rate: float
    seconds_left: float | None


class Swapoff(NamedTuple):
    """What a swapoff did: pages moved to other areas and pages kept in memory, their sum, and the seconds it took."""

    path: str
    pages: int
    moved: int
    loaded: int
    seconds: float


class _Area(NamedTuple):
    file: areafile.AreaFile
    type: int
    priority: int
    label: bytes  # the engine's log reads it where it is


_coming: set[str] = set()  # names that are being switched on
_areas: dict[str, _Area] = {}
_lock = threading.Lock()
forked = False
FORKED = "hotswap was loaded before fork() and does not work in the child; start processes with the spawn method."


def _in_child() -> None:
    """After fork: the child has none of the engine's threads, and the descriptors it inherited act on the parent's memory and
    hold the parent's locks. They are closed, so that the parent alone has its areas."""
    global forked
    forked = True
    api.forked()
    for area in _areas.values():
        area.file.close()
    _areas.clear()


os.register_at_fork(after_in_child=_in_child)


def configure(*, guard: str | None = None) -> None:
    """Settings of the whole process. ``guard``: which design keeps an area from vanishing under its users, one of ``GUARDS``:
    ``percpu_ref`` unless HOTSWAP_GUARD in the environment names another; ``none`` is for experiments (swapoff may crash the
    process). Only while no area is on."""
    global _wanted
    if guard is not None:
        if guard not in GUARDS:
            raise HotswapError(f"guard {guard!r} is unknown; choose one of {', '.join(GUARDS)}.")
        with _lock:
            if _areas or _coming:
                raise HotswapError("the guard cannot be changed while areas are on; switch them off first.")
            api.guard_choose(GUARDS[guard])
            _wanted = None


def guard_in_use() -> str:
    """The name of the design that is in use."""
    return next(name for name, number in GUARDS.items() if number == api.guard_now())


_wanted = os.environ.get("HOTSWAP_GUARD") or None
if _wanted in GUARDS:
    configure(guard=_wanted)


def _refuse_unknown_guard() -> None:
    """What the environment asks for is looked at when this is loaded; that it is unknown is said when an area goes on."""
    if _wanted is not None:
        raise HotswapError(f"HOTSWAP_GUARD={_wanted!r} is unknown; choose one of {', '.join(GUARDS)}.")


def swapon(
    path: str | os.PathLike[str],
    size: int | str | None = None,
    priority: int = 0,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Swap:
    """Switches an area on; with ``size`` it is made and formatted when it does not exist. ``ram:`` (or ``ram:NAME``, for several) is
    compressed memory: ``size`` is what it takes in as it comes; what it holds counts in the limits.

    Areas of higher ``priority`` fill first, equals share. ``progress(done, total)`` is told bytes while it is formatted.
    Raises ``AreaError``, or ``SizeError`` for a size that is none; nothing is left half done.
    """
    name = os.fspath(path)
    if forked:
        raise UnsupportedError(FORKED)
    _refuse_unknown_guard()
    if isinstance(priority, bool) or not isinstance(priority, int) or priority not in PRIORITIES:
        raise AreaError(f"{name}: priority {priority!r} is not a whole number from -1 to 32767; choose one that is.")
    if not api.rows_left():
        raise AreaError(f"{name} is refused: {api.MAX_AREAS} areas are on already; switch one off first.", errno.EPERM)
    if name.startswith("ram:"):
        return _describe(_switch_on(areafile.in_ram(name, size), priority))
    there = os.path.lexists(name)
    file = areafile.open_area(Path(name), size=size, progress=progress)
    try:
        area = _switch_on(file, priority)
    except BaseException:
        if not there:
            os.unlink(file.path)
        file.close()
        raise
    return _describe(area)


def _switch_on(file: areafile.AreaFile, priority: int) -> _Area:
    """Takes an open file in: all of it or nothing. A name is on only once, even if another file has taken it meanwhile."""
    with _lock:
        if file.path in _areas or file.path in _coming:
            raise AreaError(f"{file.path} is on already (the file of that name was replaced); switch it off first.", errno.EBUSY)
        _coming.add(file.path)
    try:
        label = os.fsencode(file.path)
        type_ = api.swap_on(
            api.RAM if file.kind == areafile.RAM else file.fd, file.pages + 1, priority, list(file.badpages), label
        )
        if type_ == -errno.EPERM:
            raise AreaError(f"{file.path} is refused: {api.MAX_AREAS} areas are on already; switch one off first.", errno.EPERM)
        if type_ < 0:
            raise AreaError(f"{file.path} is refused: its tables do not fit in memory; free some, or use a smaller area.", -type_)
        area = _Area(file, type_, priority, label)
        commit.add_area(type_, api.area_figures(type_)["usable"])
        with _lock:
            _areas[file.path] = area
        return area
    finally:
        with _lock:
            _coming.discard(file.path)


def swapoff(path: str | os.PathLike[str], progress: Callable[[SwapoffProgress], None] | None = None) -> Swapoff:
    """Empties an area, into the other areas first and memory within the limits second, and switches it off.

    ``progress`` is called about ten times a second. When it raises, or Ctrl-C comes, the area stays on, as usable as before. So
    it does when there is nowhere to put the data or a page cannot be read; ``AreaError`` says which.
    """
    area = _find(os.fspath(path))
    started = time.monotonic()
    with _lock:  # the row may be another area's by now
        if _areas.get(area.file.path) is not area:
            raise _not_on(area.file.path)
        if api.swap_off_start(area.type):
            raise AreaError(f"{area.file.path} is being switched off already; wait for that.", errno.EBUSY)
    try:
        while (state := api.swap_off_wait(area.type, _TICK_US)) == api.UNDER_WAY:
            if progress:
                progress(_how_far(area, time.monotonic() - started))
    except BaseException:
        _give_up(area)
        raise
    moved, loaded, why, slot = api.swap_off_progress(area.type)
    if state != api.DONE:
        raise AreaError(_why_not(area, why, slot), why)
    _forget(area)
    return Swapoff(area.file.path, moved + loaded, moved, loaded, time.monotonic() - started)


def _give_up(area: _Area) -> None:
    """Cancels a swapoff and waits until it has ended, one way or the other; a second Ctrl-C does not leave it half watched."""
    while True:
        try:
            api.swap_off_cancel(area.type)
            while (state := api.swap_off_wait(area.type, _TICK_US)) == api.UNDER_WAY:
                pass
            if state == api.DONE:
                _forget(area)
            return
        except KeyboardInterrupt:
            continue


def swaps() -> list[Swap]:
    """The areas that are on, those used first first."""
    with _lock:
        areas = sorted(_areas.values(), key=lambda area: -area.priority)
    return [_describe(area) for area in areas]


def _find(name: str) -> _Area:
    wanted = areafile.absolute(Path(name))
    with _lock:
        for area in _areas.values():
            if area.file.path in (name, wanted):
                return area
    raise _not_on(name)


def _not_on(name: str) -> AreaError:
    return AreaError(f"{name} is not on; hotswap.swaps() lists the areas that are.", errno.EINVAL)


def _forget(area: _Area) -> None:
    commit.remove_area(area.type)
    with _lock:
        del _areas[area.file.path]
    area.file.close()
    api.swap_off_reap(area.type)


def _describe(area: _Area) -> Swap:
    figures = api.area_figures(area.type)
    how = "compressed" if area.file.kind == areafile.RAM else "direct" if area.file.direct else "buffered"
    words = ["emptying" if figures["emptying"] else "active", how]
    return Swap(
        area.file.path,
        area.file.kind,
        figures["usable"] * PAGE,
        figures["used"] * PAGE,
        area.priority,
        " ".join(words),
        figures["pages_in"] * PAGE,
        figures["pages_out"] * PAGE,
        figures["errors"],
        figures["held"] * PAGE,
        figures["stored"],
    )


def _how_far(area: _Area, seconds: float) -> SwapoffProgress:
    moved, loaded, _, _ = api.swap_off_progress(area.type)
    left = api.area_figures(area.type)["used"]
    rate = (moved + loaded) / seconds if seconds > 0 else 0.0
    return SwapoffProgress(area.file.path, left, moved + loaded, rate, left / rate if rate else None)


def _why_not(area: _Area, why: int, slot: int) -> str:
    left = format_size(api.area_figures(area.type)["used"] * PAGE)
    stays = "the area stays on, as usable as before"
    if why == errno.ENOSPC:
        return (
            f"{area.file.path} is not switched off: {left} of its data fit neither in the other areas nor in memory within the "
            f"limits; {stays}. Add an area, raise a limit or free arrays, then try again."
        )
    if why == errno.EIO:
        return f"{area.file.path} is not switched off: slot {slot} cannot be read, {left} remain; {stays}. Free the array it is part of."
    if why == errno.EINTR:
        return f"{area.file.path} is not switched off: it was cancelled with {left} left; {stays}."
    return f"{area.file.path} is not switched off: {os.strerror(why)}, {left} remain; {stays}."


def require_userfaultfd() -> int:
    """The feature bits of userfaultfd; ``UnsupportedError`` with what to ask the administrator for when it cannot be had."""
    features, _ = api.mmu_found()
    if features >= 0 and features & api.WRITE_PROTECT:
        return features
    if features >= 0:
        raise UnsupportedError("this kernel's userfaultfd has no write-protect faults; Linux 5.11 or newer is needed.")
    if -features == errno.ENOSYS:
        raise UnsupportedError(
            "this kernel has no userfaultfd (or the container's seccomp filter hides it); ask the administrator for a kernel "
            "with CONFIG_USERFAULTFD, Linux 5.11 or newer, and a seccomp profile that allows userfaultfd."
        )
    raise UnsupportedError(
        f"userfaultfd is refused here ({os.strerror(-features)}); ask the administrator to allow the userfaultfd system call "
        "(seccomp profile), to give access to /dev/userfaultfd, or to set vm.unprivileged_userfaultfd=1."
    )
