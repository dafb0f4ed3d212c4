"""What hotswap finds on this machine, and what that means for its user. ``hotswap check`` prints it.

Each function looks at one thing and returns ``Finding``s; ``look`` calls them all, ``works`` and ``requests`` sum up. A
finding is ``GOOD``, or ``POORER`` (hotswap works, the meaning says what is lost), or ``MISSING`` (it does not work without).
The last one, a trial in a process of its own, swaps a little memory out and in and pulls the area: it is what decides.
Nothing is changed; the trial's area is removed.
"""

import ctypes
import errno
import mmap
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from . import machine
from .engine import api
from .sizes import PAGE, format_size

GOOD, POORER, MISSING = "good", "poorer", "missing"
OLDEST = (5, 11)  # the first kernel with UFFD_USER_MODE_ONLY
_TRIAL = 30.0  # seconds
_MEMBARRIER = {"x86_64": 324, "aarch64": 283, "riscv64": 283}  # the system call's number
_CAP_SYS_PTRACE = 19
_ROOMY = 1 << 30  # bytes of free disk below which it is worth a word
_RAM_FILE_SYSTEMS = ("tmpfs", "ramfs")


class Finding(NamedTuple):
    """``name`` of what was looked at, what was ``found``, its ``state``, what that ``means``, what to ``ask`` the administrator for."""

    name: str
    found: str
    state: str
    means: str = ""
    ask: str = ""


def look(scratch: Path, *, trial: bool = True) -> list[Finding]:
    """All findings; ``scratch`` is the directory where areas are to go. Takes a second with the ``trial``."""
    found = [python(), kernel(), page_size(), *userfaultfd(), membarrier()]
    found += [direct_io(scratch), free_disk(scratch), memory_limit(), address_space(), overcommit(), huge_pages()]
    if trial and works(found):
        found.append(try_out(scratch))
    return found


def works(found: list[Finding]) -> bool:
    """Nothing is missing that hotswap cannot do without."""
    return all(finding.state != MISSING for finding in found)


def requests(found: list[Finding]) -> list[str]:
    """What to ask the administrator for, for those that are missing."""
    return [finding.ask for finding in found if finding.state == MISSING and finding.ask]


def python() -> Finding:
    """The interpreter."""
    name = f"{platform.python_version()} ({platform.python_implementation()})"
    return Finding("python", name, GOOD)


def kernel() -> Finding:
    """Linux, its release, the processor."""
    release, processor = platform.release(), platform.machine()
    found = f"{platform.system()} {release} {processor}"
    numbers = tuple(int("".join(filter(str.isdigit, part)) or 0) for part in release.split("-")[0].split(".")[:2])
    if numbers < OLDEST:
        return Finding(
            "kernel", found, POORER, f"older than {OLDEST[0]}.{OLDEST[1]}, which hotswap is made for; what is below decides."
        )
    if processor != "x86_64":
        return Finding("kernel", found, POORER, "hotswap was tested on x86-64 only.")
    return Finding("kernel", found, GOOD)


def page_size() -> Finding:
    """Slots, folios and tables are made for pages of 4 KiB."""
    size = mmap.PAGESIZE
    if size == PAGE:
        return Finding("page size", format_size(size), GOOD)
    return Finding("page size", format_size(size), MISSING, "hotswap needs pages of 4 KiB.", "a kernel built for pages of 4 KiB")


def userfaultfd() -> list[Finding]:
    """How page faults can be had, and which of its operations the kernel has."""
    features, kernel_faults = api.mmu_found()
    if features < 0:
        return [_refused(-features)]
    found = [_obtained(kernel_faults)]
    if features & api.WRITE_PROTECT:
        found.append(Finding("write protection", "yes", GOOD, "clean pages are dropped without a write."))
    else:
        ask = f"Linux {OLDEST[0]}.{OLDEST[1]} or newer, with CONFIG_HAVE_ARCH_USERFAULTFD_WP"
        found.append(Finding("write protection", "no", MISSING, "written pages cannot be told from clean ones.", ask))
    if features & api.MOVE:
        found.append(Finding("UFFDIO_MOVE", "yes", GOOD, "pages leave by a move, without a copy."))
    else:
        means = (
            "pages are copied out (Linux 6.8 moves them): slower, and a device or direct I/O that writes to them meanwhile "
            "loses what it wrote; put 'with space.resident(array):' around such transfers."
        )
        found.append(Finding("UFFDIO_MOVE", "no", POORER, means))
    if features & api.POISON:
        found.append(Finding("UFFDIO_POISON", "yes", GOOD, "a page that cannot be read back raises SIGBUS when it is touched."))
    else:
        means = "a page that cannot be read back raises SIGSEGV when it is touched, not SIGBUS (Linux 6.6 has it)."
        found.append(Finding("UFFDIO_POISON", "no", POORER, means))
    if features & api.SHARED_WRITE_PROTECT:
        found.append(
            Finding("shared memory", "yes", GOOD, "hotswap.SharedArray can be had; its clean pages are dropped without a write.")
        )
    elif features & api.SHARED:
        means = "hotswap.SharedArray can be had; what leaves of it is written each time (Linux 6.6 tells clean pages)."
        found.append(Finding("shared memory", "yes", POORER, means))
    else:
        found.append(Finding("shared memory", "no", POORER, "there is no hotswap.SharedArray (Linux 5.14 has what it needs)."))
    return found


def _obtained(kernel_faults: bool) -> Finding:
    if not kernel_faults:
        means = (
            "a system call that is given swapped-out memory (such as write() or send() of an array) fails with EFAULT: put "
            "'with space.resident(array):' around it. Access to /dev/userfaultfd, or vm.unprivileged_userfaultfd=1, lifts that."
        )
        return Finding("userfaultfd", "faults in user mode only", POORER, means)
    if machine.capable(_CAP_SYS_PTRACE):
        how = "CAP_SYS_PTRACE"
    elif machine.text("/proc/sys/vm/unprivileged_userfaultfd") == "1":
        how = "vm.unprivileged_userfaultfd=1"
    else:
        how = "/dev/userfaultfd"
    return Finding("userfaultfd", f"all faults, by {how}", GOOD, "system calls may be given swapped-out memory.")


def _refused(error: int) -> Finding:
    if error == errno.ENOSYS:
        ask = "a kernel with CONFIG_USERFAULTFD, and a seccomp profile (of the container) that allows the userfaultfd system call"
        return Finding("userfaultfd", "not there", MISSING, "hotswap serves page faults and cannot do so here.", ask)
    ask = (
        "leave to use userfaultfd: a seccomp profile that allows the system call, access to /dev/userfaultfd, "
        "or vm.unprivileged_userfaultfd=1"
    )
    return Finding(
        "userfaultfd", f"refused: {os.strerror(error)}", MISSING, "hotswap serves page faults and may not do so here.", ask
    )


def membarrier() -> Finding:
    """The costly half of the guard's barrier."""
    number = _MEMBARRIER.get(platform.machine())
    if number is None:
        return Finding("membarrier", "unknown on this processor", POORER, "swapoff does not work without it.")
    commands = ctypes.CDLL(None, use_errno=True).syscall(number, 0, 0, 0)
    expedited, register, everywhere = 1 << 3, 1 << 4, 1
    if commands > 0 and commands & expedited and commands & register:
        return Finding("membarrier", "expedited", GOOD, "users of an area need no barrier of their own.")
    if commands > 0 and commands & everywhere:
        return Finding("membarrier", "the slow kind only", POORER, "each swapoff takes some milliseconds longer.")
    ask = "a kernel with CONFIG_MEMBARRIER, and a seccomp profile that allows the membarrier system call"
    return Finding("membarrier", "no", MISSING, "swapoff cannot tell when nobody uses an area any more.", ask)


def direct_io(scratch: Path) -> Finding:
    """Can areas in ``scratch`` be read and written past the page cache?"""
    name, kind = f"areas in {scratch}", machine.file_system(scratch) or "unknown file system"
    try:
        fd, path = tempfile.mkstemp(prefix=".hotswap-check-", dir=scratch)
    except OSError as error:
        means = "areas cannot be made there; name a directory that you can write to with --scratch."
        return Finding(name, f"none: {error.strerror}", MISSING, means)
    try:
        os.close(fd)
        direct = _writes_directly(path)
    finally:
        os.unlink(path)
    if kind in _RAM_FILE_SYSTEMS:
        return Finding(
            name,
            f"{kind}, {'direct' if direct else 'buffered'}",
            POORER,
            f"a {kind} is itself memory: choose a directory on a disk.",
        )
    if direct:
        return Finding(name, f"{kind}, direct I/O", GOOD, "transfers bypass the page cache.")
    means = "transfers go through the page cache: slower, and it counts against a memory limit of the process's control group."
    return Finding(name, f"{kind}, no direct I/O", POORER, means)


def _writes_directly(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        with mmap.mmap(-1, PAGE) as page:  # aligned
            return os.pwrite(fd, page, 0) == PAGE
    except OSError:
        return False
    finally:
        os.close(fd)


def free_disk(scratch: Path) -> Finding:
    """How large areas can be."""
    free = shutil.disk_usage(scratch).free
    if free < _ROOMY:
        return Finding(
            "free disk", format_size(free), POORER, "all areas there together cannot be larger; other directories may have more."
        )
    return Finding("free disk", format_size(free), GOOD, "all areas there together cannot be larger.")


def memory_limit() -> Finding:
    """The lowest limit of the control groups (version 1 or 2) that this process is in."""
    limits = list(machine.memory_limits())
    if not limits:
        return Finding("memory limit", "none for this process", GOOD, "limits of spaces are up to you.")
    lowest = min(limits)
    means = "limits of all spaces, and what the program needs besides, have to fit into it."
    return Finding("memory limit", f"{format_size(lowest)}, of its control group", GOOD, means)


def address_space() -> Finding:
    """``ulimit -v``: a space asks for 1 TiB of addresses and takes less where it has to."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return Finding("address space", "unlimited", GOOD, "a space has room for 1 TiB of arrays.")
    means = "a space takes what of 1 TiB it can get, at least 256 MiB; arrays beyond that are refused. 'ulimit -v unlimited' lifts it."
    return Finding("address space", f"limited to {format_size(soft)}", POORER, means)


def overcommit() -> Finding:
    """``vm.overcommit_memory``: do reserved addresses count as memory?"""
    mode = machine.text("/proc/sys/vm/overcommit_memory")
    if mode == "2":
        means = (
            "addresses count as memory: a space takes what of 1 TiB the kernel grants and leaves others little; make few spaces."
        )
        return Finding("overcommit", "strict (2)", POORER, means)
    return Finding("overcommit", {"0": "heuristic (0)", "1": "always (1)"}.get(mode, "unknown"), GOOD)


def huge_pages() -> Finding:
    """Transparent huge pages have to be split when a part of them leaves."""
    modes = machine.text("/sys/kernel/mm/transparent_hugepage/enabled")
    mode = modes[modes.find("[") + 1 : modes.find("]")] if "[" in modes else "none"
    if mode == "always":
        return Finding(
            "huge pages", mode, POORER, "the kernel may join pages of an array, and splits them when some leave: slower at times."
        )
    return Finding("huge pages", mode, GOOD)


def try_out(scratch: Path) -> Finding:
    """A process of its own swaps some memory to an area in ``scratch`` and back, and pulls the area meanwhile."""
    ask = "help with the line above: everything hotswap needs seems to be there, and yet it does not work"
    command = [sys.executable, "-c", "import sys; from hotswap.check import swap_a_little; swap_a_little(sys.argv[1])"]
    with tempfile.TemporaryDirectory(prefix=".hotswap-check-", dir=scratch) as directory:
        try:
            done = subprocess.run([*command, directory], capture_output=True, text=True, timeout=_TRIAL, check=False)
        except subprocess.TimeoutExpired:
            return Finding("trial", f"not finished after {_TRIAL:.0f} seconds", MISSING, "", ask)
    if done.returncode == 0:
        return Finding("trial", "passed", GOOD, "memory was swapped out and in, and its area pulled, with nothing lost.")
    said = done.stderr.strip().splitlines()
    return Finding("trial", f"failed (status {done.returncode})", MISSING, said[-1] if said else "", ask)


def swap_a_little(directory: str) -> None:
    """The trial itself: 2 MiB in 256 KiB, through two areas, of which the first is switched off half way."""
    import numpy as np

    import hotswap

    for name in ("first", "second"):
        hotswap.swapon(os.path.join(directory, name), size="4M")
    with hotswap.Space(limit="256K", folio="4K") as space:
        array = space.array(np.arange(1 << 18))
        hotswap.swapoff(os.path.join(directory, "first"))
        right = bool((array == np.arange(1 << 18)).all())
        if not right or space.stats()["pages_in"] == 0:
            raise SystemExit("memory came back changed" if not right else "nothing was swapped")
        del array
    hotswap.swapoff(os.path.join(directory, "second"))
