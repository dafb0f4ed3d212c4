"""Areas on and off, and what they look like: ``swapon``, ``swapoff``, ``swaps``, ``configure``.

Any number of threads may call these at one time. Which areas are on is the engine's to say (engine/swaps.py): they come and go from
outside the process too (``hotswap on``, ``off``).
"""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import areafile, joining, machine
from .config import PRIORITIES
from .engine import api
from .errors import AreaError, HotswapError, SizeError, UnsupportedError
from .sizes import PAGE, format_size, parse_size
from .swapinfo import Swap, Swapoff, SwapoffProgress, as_swap, how_far, not_started, refused, why_not

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
_TICK_US = 100_000
_SETTLES = 5.0  # seconds that are waited for others of the family to clean up
_SETTLE_PAUSE = 0.005
_SETTLED = 4  # times in a row
LEAST_COMPRESSED = 1 << 20  # bytes: four blocks of the pool


forked = bool(api.BEGUN)  # this is a child without an engine
FORKED = (
    "hotswap does not work in this child of fork(): it could not be set up (memory, descriptors, threads, or too small a family_limit); "
    "start it with the spawn method."
)
if api.BEGUN:
    FORKED = (
        f"hotswap does not work in this process: it was to share the areas of the one that started it, and could not "
        f"({os.strerror(-api.BEGUN)}: 64 processes share them already, a file of theirs cannot be opened, or all others have ended)."
    )


def _in_child() -> None:
    """After fork: the engine has made the child a member of the family, with all its parent had, or could not."""
    global forked
    forked = forked or api.forked()
    joining.in_child(forked)
    if not forked:
        api.steer_open()


os.register_at_fork(after_in_child=_in_child)


def configure(*, guard: str | None = None, children: bool | None = None, family_limit: int | str | None = None) -> None:
    """Settings of the whole process. ``children``: do processes that it starts anew from now on (``spawn``, ``forkserver``, ``subprocess``)
    share its areas when they import hotswap? False at first; under ``hotswap run`` see ``--children-limit``. ``family_limit``: what all
    spaces and shared arrays of this process, of those forked from it and of theirs may have in memory together; each has a share, which
    moves to where it is needed, and its own ``limit`` is what that may grow to. 0: none, which it is at first. Best set before anything
    is made. ``guard``: which design keeps an area from vanishing under its users, one of ``GUARDS``:
    ``percpu_ref`` unless HOTSWAP_GUARD in the environment names another; ``none`` is for experiments (swapoff may crash the
    process). Only while no area is on."""
    global _wanted
    if guard is not None:
        if guard not in GUARDS:
            raise HotswapError(f"guard {guard!r} is unknown; choose one of {', '.join(GUARDS)}.")
        if api.guard_choose(GUARDS[guard]):
            raise HotswapError("the guard cannot be changed while areas are on; switch them off first.")
        _wanted = None
    if children is not None:
        if forked:
            raise UnsupportedError(FORKED)
        joining.open_door(children)
    if family_limit is not None:
        _limit_family(family_limit)


def _limit_family(limit: int | str) -> None:
    size = parse_size(limit, "family_limit", whole=machine.memory) if limit else 0
    least = api.least_limit(api.ADAPTIVE) * PAGE
    if size and size < least:
        raise SizeError(f"family_limit {limit!r} is below what one space needs; give at least {format_size(least)}.")
    if result := api.family_limit(size // PAGE):
        why = (
            "no thread can be had" if result == -errno.EAGAIN else "the spaces that there are have more, and cannot give so much"
        )
        raise HotswapError(f"family_limit {limit!r} is refused: {why}; lower their limits first, or set it before they are made.")


def family_stats() -> dict[str, int]:
    """Of this process and those it shares areas with: ``members``; of all their spaces and shared arrays together ``limit_bytes``, the
    ``family_limit`` (0: none), ``given_bytes``, the sum of their limits, and ``resident_bytes``, staging frames included. What several have
    in memory in common, copied by neither, counts for each."""
    found = api.family_figures()
    return {"members": found["members"], **{f"{name}_bytes": found[name] * PAGE for name in ("limit", "given", "resident")}}


def guard_in_use() -> str:
    """The name of the design that is in use."""
    return next(name for name, number in GUARDS.items() if number == api.guard_now())


_wanted = os.environ.get("HOTSWAP_GUARD") or None
if api.joined():  # who joins takes the family's
    _wanted = None
elif _wanted in GUARDS:
    configure(guard=_wanted)
if api.joined() and joining.VARIABLE in os.environ:
    joining.in_child(forked)


def _refuse_unknown_guard() -> None:
    """What the environment asks for is looked at when this is loaded; that it is unknown is said when an area goes on."""
    if _wanted is not None:
        raise HotswapError(f"HOTSWAP_GUARD={_wanted!r} is unknown; choose one of {', '.join(GUARDS)}.")


def swapon(
    path: str | os.PathLike[str],
    size: int | str | None = None,
    priority: int = 0,
    *,
    compressed: int | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Swap:
    """Switches an area on; with ``size`` it is made and formatted when it does not exist. ``ram:`` (or ``ram:NAME``, for several) is
    compressed memory: ``size`` is what it takes in as it comes; what it holds counts in the limits.

    ``compressed`` puts compressed memory in front of a file or device: what is warm and compresses stays in memory, the coldest is
    written to the area as that fills. It is how much memory that may take, in bytes or as text (``"512M"``, ``"10%"`` of the memory that
    the process may have); of each limit three quarters at most.

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
    most = compressed_bytes(name, compressed)
    patience = _Patience()
    while True:
        patience.look()
        try:
            with areafile.made_or_kept(name, size, progress) as file:
                return _switch_on(file, priority, most)
        except AreaError as error:
            if not patience.lasts(error.errno):
                raise


class _Patience:
    """With what is in use because a member of the family that was killed had it in hand: it is being cleaned up after. Who is about to begin
    with that is not seen, so it takes more than one look."""

    def __init__(self) -> None:
        self.late = time.monotonic() + _SETTLES
        self.settled = 0  # looks in a row

    def look(self) -> None:
        """Before an attempt."""
        self.settled = self.settled + 1 if api.family_settled() else 0

    def lasts(self, error: int | None) -> bool:
        """Whether to try again after it failed so. May sleep."""
        if error != errno.EBUSY or self.settled == _SETTLED or time.monotonic() > self.late:
            return False
        time.sleep(_SETTLE_PAUSE)
        return True


def compressed_bytes(name: str, compressed: int | str | None) -> int:
    """What was asked for in front of an area; 0: nothing. Raises ``AreaError`` or ``SizeError``."""
    if compressed is None:
        return 0
    if name.startswith(f"{areafile.RAM}:"):
        raise AreaError(f"{name} is compressed memory itself; leave 'compressed' out, its size says how much it takes in.")
    most = parse_size(compressed, "compressed", whole=machine.memory)
    if most < LEAST_COMPRESSED:
        raise AreaError(
            f"{name}: {format_size(most)} of compressed memory in front of it is too little; give {format_size(LEAST_COMPRESSED)} or more."
        )
    return most


def swapon_private(directory: str | os.PathLike[str], size: int | str, priority: int = 0) -> Swap:
    """Switches a new area on that has no name any more when this returns: it goes with the process, however that ends. ``path`` of
    the result is the name it had, which ``swapoff`` and ``swaps`` know it by. Raises as ``swapon`` does."""
    if forked:
        raise UnsupportedError(FORKED)
    _refuse_unknown_guard()
    file = areafile.private_area(directory, size)
    try:
        return _switch_on(file, priority)
    except BaseException:
        file.close()
        raise


def _switch_on(file: areafile.AreaFile, priority: int, most: int = 0) -> Swap:
    """Hands an open file over to the engine: all of it or nothing. ``most``: bytes of compressed memory in front of it."""
    api.steer_open()
    fd, file.fd = file.fd, -1  # the engine's, which closes it when the area is off
    try:
        type_ = api.swap_on(
            fd, file.pages + 1, priority, how(file, most), list(file.badpages), os.fsencode(file.path), most // PAGE
        )
        if type_ < 0:
            raise refused(file.path, -type_)
    except BaseException:
        file.fd = fd
        raise
    on = next((as_swap(area) for area in api.swaps_listed() if area["type"] == type_), None)
    if on is None:  # somebody else has switched it off since
        transfers = "compressed" if file.kind == areafile.RAM else "direct" if file.direct else "buffered"
        on = Swap(file.path, file.kind, file.slots * PAGE, 0, priority, f"active {transfers}", 0, 0, 0)
    return on


def how(file: areafile.AreaFile, most: int = 0) -> int:
    """What the engine lists of an area, as bits."""
    kind = {"partition": api.PARTITION, areafile.RAM: api.RAM}.get(file.kind, 0)
    return kind | (api.DIRECT if file.direct else 0) | (api.FRONT if most else 0)


def swapoff(path: str | os.PathLike[str], progress: Callable[[SwapoffProgress], None] | None = None) -> Swapoff:
    """Empties an area, into the other areas first and memory within the limits second, and switches it off.

    ``progress`` is called about ten times a second. When it raises, or Ctrl-C comes, the area stays on, as usable as before. So
    it does when there is nowhere to put the data or a page cannot be read; ``AreaError`` says which.
    """
    name = _find(os.fspath(path))
    started = time.monotonic()
    patience = _Patience()
    type_ = -errno.EINVAL
    while not forked:
        patience.look()
        type_ = api.swap_off_start(os.fsencode(name))
        if type_ >= 0 or not patience.lasts(-type_):
            break
    if type_ < 0:
        raise not_started(name, -type_)
    try:
        while (state := api.swap_off_wait(type_, _TICK_US)) == api.UNDER_WAY:
            if progress:
                moved, loaded, _, _, late = api.swap_off_progress(type_)
                progress(how_far(name, moved + loaded, api.area_figures(type_)["used"], time.monotonic() - started, late))
    except BaseException:
        _give_up(type_)
        raise
    moved, loaded, error, slot, _ = api.swap_off_progress(type_)
    if state != api.DONE:
        raise AreaError(why_not(name, error, slot, api.area_figures(type_)["used"]), error)
    api.swap_off_reap(type_)
    return Swapoff(name, moved + loaded, moved, loaded, time.monotonic() - started)


def _give_up(type_: int) -> None:
    """Cancels a swapoff and waits until it has ended, one way or the other; a second Ctrl-C does not leave it half watched."""
    while True:
        try:
            api.swap_off_cancel(type_)
            while (state := api.swap_off_wait(type_, _TICK_US)) == api.UNDER_WAY:
                pass
            if state == api.DONE:
                api.swap_off_reap(type_)
            return
        except KeyboardInterrupt:
            continue


def swaps() -> list[Swap]:
    """The areas that are on, those used first first."""
    return [as_swap(area) for area in sorted(_listed(), key=lambda area: -area["priority"])]


def _listed() -> list[dict[str, Any]]:
    """What the engine lists; nothing in a child of fork, where its locks may be held for ever by threads that are not there."""
    return [] if forked else api.swaps_listed()


def _find(name: str) -> str:
    """As the engine lists it."""
    wanted = areafile.absolute(Path(name))
    listed = {os.fsdecode(area["name"]) for area in _listed()}
    return name if name in listed else wanted


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
