"""Looking at and steering processes that run with hotswap, from outside: what ``hotswap ps``, ``show``, ``on``, ``off``, ``limit`` and
``top`` do (docs/steering.md). Over a ``Channel`` from ``connect()``.

Everything raises ``SteeringError``, which carries the exit code of the command; ``on`` also what ``areafile`` raises.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .. import areafile, control, counts, machine, swapinfo
from ..control import GUARDS
from ..engine import api
from ..errors import SteeringError
from ..sizes import PAGE, format_size, parse_size
from ..swapinfo import Swap, Swapoff, SwapoffProgress
from . import channel as messages
from .channel import PATIENCE, VALUES, Channel, Exit, Message, connect, only_one, processes, user_name


class Space(NamedTuple):
    """An address space: its number, folio and the least limit in bytes, and what ``hotswap.Space.stats()`` tells."""

    number: int
    folio: int
    least_limit: int
    stats: dict[str, int]


class Look(NamedTuple):
    """A process at one moment; ``pictures`` by path: how full each stretch of an area is, 0 to 255. ``seconds`` of its own clock."""

    pid: int
    user: str
    command: str
    guard: str
    seconds: float
    areas: list[Swap]
    spaces: list[Space]
    pictures: dict[str, bytes]


# --- looking ---------------------------------------------------------------------------------------------------------


def look(channel: Channel, cells: int = 0) -> Look:
    """What a process has at this moment; ``cells``: how fine a picture of each area."""
    channel.send(messages.LOOK, (min(cells, api.MAX_CELLS),))
    first = channel.receive()
    areas: list[Swap] = []
    spaces: list[Space] = []
    pictures: dict[str, bytes] = {}
    while (told := channel.receive()).kind != messages.DONE:
        if told.kind == messages.AREA:
            areas.append(_area(told))
        elif told.kind == messages.PICTURE and areas:
            pictures[areas[-1].path] = told.text
        elif told.kind == messages.SPACE:
            number, order, least, _, *values = told.value[: 4 + api.COUNTED + len(api.LEVELS)]
            spaces.append(Space(number, PAGE << order, least * PAGE, counts.stats_of(counts.named(values))))
    areas.sort(key=lambda area: -area.priority)
    guard = next((name for name, number in GUARDS.items() if number == first.value[3]), "?")
    return Look(channel.pid, user_name(channel.uid), _command(channel.pid), guard, first.value[4] / 1e9, areas, spaces, pictures)


def _area(told: Message) -> Swap:
    _, how, usable, used, priority, pages_in, pages_out, errors, emptying, held, stored, packed, most, backed, declined = (
        told.value[:15]
    )
    listed = {
        "name": told.text, "how": how, "usable": usable, "used": used, "priority": priority, "pages_in": pages_in,
        "pages_out": pages_out, "errors": errors, "emptying": emptying, "held": held, "stored": stored,
        "packed": packed, "most": most, "backed": backed, "declined": declined,
    }  # fmt: skip
    return swapinfo.as_swap(listed)


def _command(pid: int) -> str:
    """As it was called, without what a terminal would take for more than text."""
    words = machine.text(f"/proc/{pid}/cmdline").split("\0")
    return " ".join("".join(c if c.isprintable() else "?" for c in word) for word in words).strip() or f"[{pid}]"


# --- steering --------------------------------------------------------------------------------------------------------


def on(
    channel: Channel,
    path: str,
    size: int | str | None = None,
    priority: int = 0,
    *,
    compressed: int | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Swap:
    """Switches an area on in a process, with compressed memory in front of it if asked for: opened, and made where ``size`` says so, here and as the process's user; handed over."""
    most = control.compressed_bytes(path, compressed)
    with _as_user(channel.uid, channel.gid), areafile.made_or_kept(path, size, progress) as file:
        channel.wait(None)
        values = (file.pages + 1, priority, control.how(file, most), len(file.badpages), most // PAGE)
        channel.send(messages.ON, values, os.fsencode(file.path), file.fd if file.fd >= 0 else None)
        for start in range(0, len(file.badpages), VALUES):
            channel.send(messages.BAD, tuple(file.badpages[start : start + VALUES]))
        error = -channel.receive().value[0]
        if error:
            raise swapinfo.refused(file.path, error)
        file.close()  # the process has it, and with it the lock
    channel.wait(PATIENCE)
    areas = look(channel).areas
    return next((area for area in areas if area.path == file.path), None) or _not_on(channel, file.path)


@contextlib.contextmanager
def _as_user(uid: int, gid: int) -> Iterator[None]:
    """Root opens and makes areas as the user whose process gets them: files that user owns, and no others."""
    before = os.geteuid(), os.getegid(), os.getgroups()
    if before[0] == uid:
        yield
        return
    os.setgroups([gid])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before[0])
        os.setegid(before[1])
        os.setgroups(before[2])


def off(channel: Channel, path: str, progress: Callable[[SwapoffProgress], None] | None = None) -> Swapoff:
    """Switches an area of a process off. Ctrl-C cancels it, and is then a ``SteeringError`` that says what is left."""
    listed = {area.path for area in look(channel).areas}
    name = path if path in listed else areafile.absolute(path)
    cancelled = False
    channel.wait(None)
    channel.send(messages.OFF, (), os.fsencode(name))
    while True:
        try:
            told = channel.receive()
            if told.kind == messages.DONE:
                break
            if progress and not cancelled:
                moved, loaded, left, nanoseconds, late = told.value[:5]
                progress(swapinfo.how_far(name, moved + loaded, left, nanoseconds / 1e9, late))
        except KeyboardInterrupt:
            if not cancelled:
                channel.send(messages.CANCEL)
            cancelled = True
    result, moved, loaded, left, nanoseconds, slot = told.value[:6]
    if result == -errno.EINVAL and not moved and not nanoseconds:
        _not_on(channel, name)
    if result == -errno.EBUSY and not nanoseconds:
        raise SteeringError(str(swapinfo.not_started(name, errno.EBUSY)), Exit.BUSY)
    if result:
        codes = {errno.ENOSPC: Exit.NO_ROOM, errno.EINTR: Exit.INTERRUPTED}
        raise SteeringError(swapinfo.why_not(name, -result, slot, left), codes.get(-result, Exit.NOT_OFF))
    return Swapoff(name, moved + loaded, moved, loaded, nanoseconds / 1e9)


def _not_on(channel: Channel, path: str) -> Any:
    raise SteeringError(
        f"{path} is not on in process {channel.pid}; 'hotswap show {channel.pid}' lists the areas that are.", Exit.NOT_ON
    )


def limit(channel: Channel, size: int | str, space: int | None = None) -> tuple[int, int]:
    """Sets the limit of a process's address space ``space`` (its only one); a percentage is of the memory that the process may have.
    Returns the space's number and its limit in bytes, once it holds."""
    wanted = parse_size(size, "limit", whole=lambda: machine.memory(machine.text(f"/proc/{channel.pid}/cgroup")))
    channel.wait(None)
    channel.send(messages.LIMIT, (-1 if space is None else space, wanted // PAGE))
    result, number, pages, least = channel.receive().value[:4]
    channel.wait(PATIENCE)
    of = f"of process {channel.pid}"
    if result == -errno.ENOENT and space is None:
        raise SteeringError(
            f"process {channel.pid} has no address space that could have a limit; it must make one first.", Exit.NOT_ON
        )
    if result == -errno.ENOENT:
        raise SteeringError(
            f"there is no address space {space} {of}; 'hotswap show {channel.pid} --json' lists them.", Exit.NOT_ON
        )
    if result == -errno.ENOTUNIQ:
        raise SteeringError(f"process {channel.pid} has several address spaces; say which with --space.", Exit.SEVERAL)
    if result == -errno.EINVAL:
        raise SteeringError(
            f"limit {size} {of} is refused: what is pinned, staging frames and faults need {format_size(least * PAGE)} now; "
            "give at least that.",
            Exit.LIMIT_TOO_LOW,
        )
    if result:
        raise SteeringError(
            f"limit {size} {of} cannot be reached: the areas have no room for what would have to leave; add one with "
            f"'hotswap on {channel.pid} FILE:SIZE'. The limit is as before.",
            Exit.LIMIT_NOT_REACHED,
        )
    return number, pages * PAGE


__all__ = ["Channel", "Exit", "Look", "Space", "connect", "limit", "look", "off", "on", "only_one", "processes"]
