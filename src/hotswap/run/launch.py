"""Before the program: is it one that can be helped? Then its environment is set, and this process becomes it.

The program waits for this: what is slow to load (click, dataclasses, shutil) stays out.
"""

import errno
import os
import stat
import struct
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NoReturn

from .. import joining
from ..errors import HotswapError
from . import exits, plan
from .exits import Refused
from .plan import Plan

_HERE = Path(__file__).resolve().parent
_PT_INTERP = 3  # the program header that names the dynamic linker, elf(5)
_SCRIPTS = 4  # as often as the kernel follows #! lines


def start(
    limit: str | None,
    swap: Sequence[str],
    min_size: str | None,
    config: str | None,
    children_limit: str | None,
    command: Sequence[str],
) -> NoReturn:
    """``hotswap run``, with its options as they were given. A refusal is a sentence on standard error and an exit status."""
    try:
        with exits.code(exits.NO_AREA):
            launch(plan.make(limit, swap, min_size, config, children_limit), command)
    except HotswapError as error:
        print(f"hotswap: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))


def launch(wanted: Plan, command: Sequence[str]) -> NoReturn:
    """Becomes the program. Raises ``Refused`` when that cannot be."""
    program = find(command[0])
    check(program)
    environment = {**os.environ, **additions(wanted)}
    if wanted.areas:  # of its own, then: it does not join who starts it
        environment.pop(joining.VARIABLE, None)
    try:
        os.execve(program, list(command), environment)
    except OSError as error:
        reason = (
            "is no program that this machine can run" if error.errno == errno.ENOEXEC else f"cannot be started ({error.strerror})"
        )
        raise Refused(
            f"{command[0]} {reason}; for a script without a #! line, name its interpreter.", exits.NOT_EXECUTABLE
        ) from error


def additions(wanted: Plan) -> dict[str, str]:
    """What the program's environment has more, until hotswap is in it."""
    before = os.environ.get("LD_PRELOAD")
    library = preload_library()
    if any(separator in library for separator in " :"):
        raise Refused(
            f"{library} cannot be preloaded: its path has a space or a colon; install hotswap in another place.",
            exits.UNSUPPORTED,
        )
    return {
        "LD_PRELOAD": f"{library}:{before}" if before else library,
        "HOTSWAP_RUN_PROCESS": str(os.getpid()),
        "HOTSWAP_RUN_BOOT": str(_HERE / "boot.py"),
        "HOTSWAP_RUN_PLAN": wanted.text(),
        # Arrow brings allocators of its own, which do not ask malloc.
        "ARROW_DEFAULT_MEMORY_POOL": os.environ.get("ARROW_DEFAULT_MEMORY_POOL", "system"),
    }


def preload_library() -> str:
    """The path of what LD_PRELOAD is to name."""
    for suffix in EXTENSION_SUFFIXES:
        if (found := _HERE / f"_preload{suffix}").exists():
            return str(found)
    raise Refused("the preload library was not built; install hotswap anew.", exits.UNSUPPORTED)


def find(name: str) -> str:
    """The path of a program, as a shell finds it."""
    path = name if "/" in name else _in_path(name)
    if path is None or not os.path.exists(path):
        where = "does not exist" if "/" in name else "is not in any directory of PATH"
        raise Refused(f"{name} {where}; give the name or the path of a program, such as python.", exits.MISSING)
    if os.path.isdir(path) or not os.access(path, os.X_OK):
        raise Refused(f"{name} is not a program that may be run; give one, such as: python {name}", exits.NOT_EXECUTABLE)
    return path


def _in_path(name: str) -> str | None:
    paths = (os.path.join(place, name) for place in os.get_exec_path())
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def check(program: str) -> None:
    """Follows ``#!`` lines to what is run in the end, and refuses what the dynamic linker would not preload anything into."""
    path = program
    for _ in range(_SCRIPTS):
        _check_rights(path)
        try:
            with open(path, "rb") as file:
                head = file.read(4096)
        except OSError:  # may be run, but not read
            return
        if not head.startswith(b"#!"):
            break
        words = head[2:].split(b"\n", 1)[0].split()
        if not words or not os.path.exists(words[0]):
            missing = os.fsdecode(words[0]) if words else "nothing"
            raise Refused(
                f"{path} is a script for {missing}, which does not exist; correct its first line.", exits.NOT_EXECUTABLE
            )
        path = os.fsdecode(words[0])
    if head[:4] == b"\x7fELF" and not _dynamic(head):
        raise Refused(f"{path} is linked statically, so nothing can be preloaded into it; use one that is not.", exits.STATIC)


def _check_rights(path: str) -> None:
    """The dynamic linker preloads nothing where a program changes its rights (AT_SECURE, ld.so(8))."""
    found = os.stat(path)
    changes = (found.st_mode & stat.S_ISUID and found.st_uid != os.geteuid()) or (
        found.st_mode & stat.S_ISGID and found.st_gid != os.getegid()
    )
    if changes or _capabilities(path):
        raise Refused(
            f"{path} runs with other rights than yours (setuid, setgid or file capabilities), so nothing may be preloaded into it; "
            "use a copy without them.",
            exits.PRIVILEGED,
        )


def _capabilities(path: str) -> bool:
    """Does the file give whoever runs it capabilities? To root they give nothing new."""
    if os.geteuid() == 0:
        return False
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def _dynamic(head: bytes) -> bool:
    """Does an ELF file of 64 bits ask for a dynamic linker? Of others the kernel and the linker will tell."""
    if len(head) < 64 or head[4] != 2:
        return True
    order = "<" if head[5] == 1 else ">"
    (offset,) = struct.unpack_from(f"{order}Q", head, 32)
    size, count = struct.unpack_from(f"{order}HH", head, 54)
    kinds = [
        struct.unpack_from(f"{order}I", head, offset + number * size)[0]
        for number in range(count)
        if offset + number * size + 4 <= len(head)
    ]
    return _PT_INTERP in kinds
