"""The line to a process that runs with hotswap: found, checked who answers, messages there and back.

Each such process listens on an abstract socket, ``@hotswap-<user>-<process>``, that it answers to its own user and to root
(engine/steer.py, arch/channel.h). Anybody may take such a name, so who answers is asked of the kernel (SO_PEERCRED) before anything
is believed. Abstract names belong to a network namespace: processes of another one are not seen.
"""

import array
import enum
import errno
import os
import pwd
import re
import socket
import struct
from typing import NamedTuple, Self

from .. import machine
from ..errors import SteeringError

VERSION = 2  # of the messages: STEER_VERSION
LOOK, ON, BAD, OFF, CANCEL, LIMIT = range(1, 7)  # kinds of messages, as engine/steer.pxd has them
PROCESS, AREA, PICTURE, SPACE, PROGRESS, DONE = range(16, 22)
VALUES, _TEXT = 48, 4096  # VALUES, TEXT_BYTES
PATIENCE = 5.0  # seconds until a process that says nothing is taken for stopped
_MESSAGE = struct.Struct(f"=qq{VALUES}qq{_TEXT}s")
_CREDENTIALS = struct.Struct("=iII")
_LISTENS = 0x10000  # of the flags in /proc/net/unix
_NAME = re.compile(r"@hotswap-(\d+)-(\d+)(?:-\d+)?")


class Exit(enum.IntEnum):
    """Exit codes of the commands that steer; those of swapoff(8) are its own."""

    NO_ROOM = 2  # swapoff(8): nowhere to put the data
    NOT_OFF = 4  # swapoff(8): it failed for another reason
    USAGE = 16  # swapoff(8)
    UNKNOWN = 20
    NOT_OURS = 21
    ENDED = 22
    NOT_HOTSWAP = 23
    NO_ANSWER = 24
    NOT_ON = 25
    BUSY = 26
    LIMIT_TOO_LOW = 27
    LIMIT_NOT_REACHED = 28
    SEVERAL = 29
    INTERRUPTED = 130


class Message(NamedTuple):
    kind: int
    value: tuple[int, ...]
    text: bytes


class Channel:
    """A line to a process; closed by ``with``."""

    def __init__(self, line: socket.socket, pid: int, uid: int, gid: int):
        self.pid, self.uid, self.gid = pid, uid, gid
        self._line = line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._line.close()

    def send(self, kind: int, values: tuple[int, ...] = (), text: bytes = b"", fd: int | None = None) -> None:
        padded = (*values, *(0 for _ in range(VALUES - len(values))))
        packed = _MESSAGE.pack(kind, VERSION, *padded, len(text), text)
        passed = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        try:
            self._line.sendmsg([packed], passed)
        except TimeoutError:
            raise self._silent() from None
        except OSError:
            raise self._gone() from None

    def receive(self) -> Message:
        """The next answer. It may take a while only after a call that does: ``wait`` says so."""
        try:
            packed = self._line.recv(_MESSAGE.size + 1)
        except TimeoutError:
            raise self._silent() from None
        except OSError:
            raise self._gone() from None
        if not packed:
            raise self._gone()
        if len(packed) != _MESSAGE.size:
            raise self._foreign()
        kind, version, *value, length, text = _MESSAGE.unpack(packed)
        if version != VERSION or (kind == DONE and value[0] == -errno.EPROTO):
            raise self._foreign()
        return Message(kind, tuple(value), text[:length])

    def wait(self, seconds: float | None) -> None:
        """How long the next answers may take; None: as long as the process lives."""
        self._line.settimeout(seconds)

    def _gone(self) -> SteeringError:
        if _alive(self.pid):
            return SteeringError(
                f"process {self.pid} hung up: it has too many callers, or runs another version of hotswap; try again, or with that version.",
                Exit.NO_ANSWER,
            )
        return SteeringError(f"process {self.pid} ended meanwhile; 'hotswap ps' lists those that run.", Exit.ENDED)

    def _silent(self) -> SteeringError:
        return SteeringError(f"process {self.pid} does not answer; it may be stopped (see its state in ps(1)).", Exit.NO_ANSWER)

    def _foreign(self) -> SteeringError:
        return SteeringError(
            f"process {self.pid} runs another version of hotswap, whose messages differ; use the hotswap command of that version.",
            Exit.NO_ANSWER,
        )


# --- finding processes -----------------------------------------------------------------------------------------------


def names() -> list[tuple[str, int, int]]:
    """Names that somebody listens on: name, and the user and process that it claims to be of."""
    found = []
    for line in machine.text("/proc/net/unix").splitlines()[1:]:
        fields = line.split()
        if len(fields) == 8 and int(fields[3], 16) & _LISTENS and (match := _NAME.fullmatch(fields[7])):
            found.append((fields[7], int(match[1]), int(match[2])))
    return found


def call(name: str, uid: int) -> Channel | None:
    """A line to who listens on a name; None when nobody does any more, or it is none of the user's processes."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        line.settimeout(PATIENCE)
        line.connect("\0" + name[1:])
        pid, owner, gid = _CREDENTIALS.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    except OSError:
        line.close()
        return None
    if owner != uid or pid <= 0:
        line.close()
        return None
    return Channel(line, pid, owner, gid)


def processes() -> list[int]:
    """Those of this user, of everybody for root."""
    found = set()
    for name, uid, _ in names():
        if os.geteuid() in (0, uid) and (channel := call(name, uid)):
            with channel:
                found.add(channel.pid)
    return sorted(found)


def connect(pid: int) -> Channel:
    """A line to a process by its number."""
    claims = sorted(names(), key=lambda claim: claim[2] != pid)  # in another PID namespace it has another number
    for name, uid, _ in claims:
        if os.geteuid() in (0, uid) and (channel := call(name, uid)):
            if channel.pid == pid:
                return channel
            channel.__exit__()
    raise _unreachable(pid)


def only_one() -> int:
    """The process that is meant when none is named."""
    found = processes()
    if not found:
        raise SteeringError("no process of yours runs with hotswap here; start one with 'hotswap run'.", Exit.UNKNOWN)
    if len(found) > 1:
        raise SteeringError(f"{len(found)} processes run with hotswap; name one of {', '.join(map(str, found))}.", Exit.SEVERAL)
    return found[0]


def _unreachable(pid: int) -> SteeringError:
    """Why there is no line to a process."""
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return SteeringError(f"there is no process {pid}; 'hotswap ps' lists those that run with hotswap.", Exit.UNKNOWN)
    if not _alive(pid):
        return SteeringError(f"process {pid} has ended already; 'hotswap ps' lists those that run.", Exit.ENDED)
    if os.geteuid() not in (0, owner):
        return SteeringError(
            f"process {pid} belongs to {user_name(owner)}, not to you; only its user and root may steer it.", Exit.NOT_OURS
        )
    if _namespace(pid) not in ("", _namespace(os.getpid())):
        return SteeringError(
            f"process {pid} is in another network namespace (a container's), where its socket is not seen from here; "
            f"run this command there, as in: nsenter --target {pid} --net.",
            Exit.NOT_HOTSWAP,
        )
    return SteeringError(
        f"process {pid} does not use hotswap, or has not made an area or a space yet; 'hotswap ps' lists those that have.",
        Exit.NOT_HOTSWAP,
    )


def _alive(pid: int) -> bool:
    """It runs, or could; one that has ended and was not waited for does not."""
    return machine.text(f"/proc/{pid}/stat").rpartition(")")[2][:2] not in ("", " Z", " X")


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
