"""Swap files and partitions: made, formatted, and opened so that nobody else reads or uses them.

What holds for every ``AreaFile`` handed out, and is checked on the open descriptor, never on the name (which can change
hands between two calls): a regular file or block device reached without a final symbolic link, one name, owned by us,
closed to others, writable, every block of the area allocated, a header that ``header.unpack`` takes, and ours alone.

Ours alone: ``flock`` belongs to the open file, so it keeps out other processes and a second open in this one, by
whichever path (``fcntl`` locks belong to the process: they would let the second open in, and its close would drop the
lock). A forked child shares the open file and with it the lock. The kernel's own swap takes no such lock, but keeps
writers out of its files, which is how it is found. Block devices are claimed by O_EXCL besides, which file systems, the
kernel's swap and device mapper respect.

Longer than other modules because it is read as one argument: open, format, then each check those two call, in that order.

Everything here may sleep in disk I/O; no locks of hotswap are taken. On any failure, Ctrl-C included, no descriptor
stays open, no new file stays behind, and an old area stays as usable as it was. Every error is an ``AreaError`` (or
``SizeError`` for what is not a size) of one sentence.
"""

import ctypes
import errno
import fcntl
import itertools
import mmap
import os
import shlex
import stat
import struct
import time
import uuid as uuids
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from . import header as headers
from .errors import AreaError
from .sizes import PAGE, format_size, parse_size

Progress = Callable[[int, int], object]  # (done_bytes, total_bytes)
Path = str | os.PathLike[str]

RAM = "ram"  # the kind of an area in compressed memory
_ZEROS = 1 << 20  # bytes written at once where the file system cannot allocate
_STRETCH = 1 << 30  # bytes allocated at once, so that Ctrl-C and progress come through
_PATIENCE = 1.0  # seconds to wait for the lock of a file that we made ourselves
_FIEMAP = 0xC020660B  # FS_IOC_FIEMAP, <linux/fs.h>; the same number on every architecture
_MKSWAP = "'hotswap mkswap'"
_NUMBERS = itertools.count()  # of private areas
_LIBC = ctypes.CDLL(None, use_errno=True)
_FALLOCATE = _LIBC.fallocate64 if hasattr(_LIBC, "fallocate64") else _LIBC.fallocate  # glibc; musl has 64 bits in one
_FALLOCATE.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


@dataclass(eq=False, repr=False)  # only what is used: each of them takes a millisecond to be made
class AreaFile:
    """An open area, locked for us. Slots are 1..``pages``, less ``badpages``; page 0 is the header.

    ``direct`` tells whether transfers bypass the page cache: then buffers, offsets and lengths are multiples of PAGE.
    """

    path: str
    fd: int  # -1 once closed
    kind: str  # "file" or "partition", as /proc/swaps calls them, or RAM
    pages: int  # last_page: the number of the last slot
    badpages: tuple[int, ...]
    label: str
    uuid: uuids.UUID
    direct: bool
    device: int  # with ``inode`` the identity of the file; for a partition its device number and 0
    inode: int

    @property
    def slots(self) -> int:
        """Pages of the area that can hold data: without the header and the bad ones."""
        return self.pages - len(self.badpages)

    def close(self) -> None:
        """Close the descriptor, and with it the lock. Twice is once; the caller keeps two threads from it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_area(path: Path, *, size: int | str | None = None, progress: Progress | None = None) -> AreaFile:
    """Open the area at ``path`` for our use alone; made and formatted with ``size`` bytes when it does not exist.

    ``size`` of an existing area must be its own (in whole pages) or None. ``progress`` is called while formatting.
    """
    name = absolute(path)
    wanted = None if size is None else _whole_pages(name, parse_size(size))
    with _sentences(name):
        opened = _open_existing(name)
        if opened is None and wanted is None:
            raise AreaError(f"{name} does not exist; give a size to make it, or the path of an existing area.", errno.ENOENT)
        created = opened is None
        fd = _create(name) if opened is None else opened
        with _undo(name, fd, created=created):
            if wanted is not None and created:
                _format(name, fd, headers.Header(wanted // PAGE - 1, uuids.uuid4().bytes), progress)
            return _adopt(name, fd, wanted)


def in_ram(name: str, size: int | str | None) -> AreaFile:
    """Nothing on any disk: an area of ``size`` bytes in compressed memory, by a name that begins with ``ram:``. Its descriptor is -1."""
    if size is None:
        raise AreaError(f"{name} needs a size: how much it takes in, as it comes; for example size='2G'.", errno.EINVAL)
    pages = _whole_pages(name, parse_size(size)) // PAGE
    return AreaFile(name, -1, RAM, pages - 1, (), "", uuids.uuid4(), False, 0, 0)


@contextmanager
def made_or_kept(path: Path, size: int | str | None, progress: Progress | None) -> Iterator[AreaFile]:
    """``open_area()`` for who is about to use it: on an exception it is closed, and removed if it was made here. For a name that begins
    with ``ram:``, ``in_ram()``."""
    if os.fspath(path).startswith(f"{RAM}:"):
        yield in_ram(os.fspath(path), size)
        return
    there = os.path.lexists(path)
    file = open_area(path, size=size, progress=progress)
    try:
        yield file
    except BaseException:
        if not there:
            os.unlink(file.path)
        file.close()
        raise


def format_area(
    path: Path,
    size: int | str | None = None,
    *,
    label: str = "",
    uuid: uuids.UUID | bytes | str | None = None,
    badpages: Iterable[int] = (),
    force: bool = False,
    progress: Progress | None = None,
) -> headers.Header:
    """Make ``path`` a swap area of ``size`` bytes, rounded down to whole pages, and return the header written.

    A new file is made with mode 0600 and all its blocks. An existing file or device keeps its size where ``size`` is
    None, and is formatted only when it is a swap area already or holds no data at all, or with ``force`` (which
    overrides neither its permissions nor its being in use). ``progress(done_bytes, total_bytes)`` is called while
    blocks are allocated. The kernel's own swapon takes ``badpages`` on devices only (``read_swap_header``,
    mm/swapfile.c); hotswap on files too.
    """
    name = absolute(path)
    wanted = None if size is None else _whole_pages(name, parse_size(size))
    ident = _uuid(uuid)
    bad = tuple(badpages)
    with _sentences(name):
        if wanted is not None:  # before a file is made: what is wrong with the arguments
            headers.pack(headers.Header(wanted // PAGE - 1, ident, label, bad))
        opened = _open_existing(name)
        if opened is None and wanted is None:
            raise AreaError(f"{name} does not exist; give a size to make it.", errno.ENOENT)
        fd = _create(name) if opened is None else opened
        with _undo(name, fd, created=opened is None):
            have = _length(fd)
            if opened is not None and not force:
                _refuse_foreign(name, fd, have)
            if wanted is None:
                if have == 0:
                    raise AreaError(f"{name} is empty, so it has no size to keep; give a size.")
                wanted = _whole_pages(name, have)
            made = headers.Header(wanted // PAGE - 1, ident, label, tuple(sorted(set(bad))))
            _format(name, fd, made, progress)
        os.close(fd)
    return made


def private_area(directory: Path, size: int | str) -> AreaFile:
    """A new area of ``size`` bytes in ``directory`` that has no name, so that nobody else opens it and nothing stays behind."""
    name = absolute(os.path.join(directory, f"hotswap-{os.getpid()}-{next(_NUMBERS)}"))
    wanted = _whole_pages(name, parse_size(size))
    with _sentences(name):
        fd = _create(name)
        with _undo(name, fd, created=True):
            os.unlink(name)
            _format(name, fd, headers.Header(wanted // PAGE - 1, uuids.uuid4().bytes), None)
            return _adopt(name, fd, wanted)


# --- opening ---------------------------------------------------------------------------------------------------------


def _open_existing(name: str) -> int | None:
    """A locked descriptor of ``name`` after every check that does not need its contents; None when it does not exist."""
    try:
        before = os.lstat(name)
    except FileNotFoundError:
        return None
    # Refused before the open, so that devices are not disturbed by it and a lack of permission gets its own sentence...
    _refuse_unsafe(name, before)
    exclusive = os.O_EXCL if stat.S_ISBLK(before.st_mode) else 0
    try:
        fd = _high(os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | exclusive))
    except FileNotFoundError:
        return None
    with _undo(name, fd, created=False):
        # ... and again on what was opened, which is what counts.
        after = os.fstat(fd)
        if not os.path.samestat(before, after):
            raise AreaError(f"{name} was replaced while it was being opened; see who does that, then try again.")
        _refuse_unsafe(name, after)
        _lock(name, fd)
        _refuse_kernel_swap(name, fd)
    return fd


def _high(fd: int) -> int:
    """The same under a number that a program's next file does not get, should it close this one (arch/descriptors.h)."""
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)
    except OSError:  # so many are not allowed
        return fd
    os.close(fd)
    return high


def _create(name: str) -> int:
    """A locked descriptor of the new, empty file ``name``, mode 0600 whatever the umask."""
    fd = _high(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    with _undo(name, fd, created=True):
        _lock(name, fd, patience=_PATIENCE)  # another open may come first; it finds the file empty and goes
        os.fchmod(fd, 0o600)
        _refuse_unsafe(name, os.fstat(fd))  # some file systems know no owners and modes
    return fd


def _adopt(name: str, fd: int, wanted: int | None) -> AreaFile:
    """What the locked ``fd`` holds, as an ``AreaFile`` that owns it; ``wanted`` is the size asked for, in bytes."""
    st = os.fstat(fd)
    length = _length(fd)
    if length < headers.MIN_PAGES * PAGE:
        raise AreaError(
            f"{name} has {length} bytes, fewer than the {headers.MIN_PAGES} pages that an area needs; "
            f"format it anew with {_MKSWAP} and a size of {headers.MIN_PAGES * PAGE // 1024} KiB or more."
        )
    direct, block = _read_direct(fd, min(length, headers.PROBE))
    found = headers.unpack(block, name)
    area = (found.last_page + 1) * PAGE
    if area > length:
        raise AreaError(
            f"{name} ends at {length} bytes, but by its header the last page is {found.last_page} (of {area} bytes); "
            f"it was cut short: format it anew with {_MKSWAP}."
        )
    if wanted is not None and wanted != area:
        raise AreaError(
            f"{name} is an area of {area} bytes already, not of the {wanted} asked for; "
            f"leave the size out, or format it anew with {_MKSWAP}."
        )
    if stat.S_ISREG(st.st_mode) and _sparse(fd, area):
        raise AreaError(f"{name} is sparse, so writing to it could run out of disk; format it anew with {_MKSWAP} to fill it.")
    block_device = stat.S_ISBLK(st.st_mode)
    return AreaFile(
        path=name,
        fd=fd,
        kind="partition" if block_device else "file",
        pages=found.last_page,
        badpages=found.badpages,
        label=found.label,
        uuid=uuids.UUID(bytes=found.uuid),
        direct=direct,
        device=st.st_rdev if block_device else st.st_dev,
        inode=0 if block_device else st.st_ino,
    )


def _read_direct(fd: int, length: int) -> tuple[bool, bytes]:
    """Switch ``fd`` to direct I/O where that works, and read its first ``length`` bytes (the proof that it does)."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    length -= length % PAGE
    with mmap.mmap(-1, length) as aligned:
        for direct in (os.O_DIRECT, 0):
            try:
                fcntl.fcntl(fd, fcntl.F_SETFL, flags | direct)
                got = os.preadv(fd, [aligned], 0)
            except OSError as error:
                # EINVAL: refused by the file system, or by a device whose blocks are larger than our pages.
                if not direct or error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
                continue
            return bool(direct), aligned[:got]
    raise AssertionError("the read without O_DIRECT returns or raises")


# --- formatting ------------------------------------------------------------------------------------------------------


def _format(name: str, fd: int, new: headers.Header, progress: Progress | None) -> None:
    """Give ``fd`` its blocks and the header ``new``; the header last, so that a crash leaves no area half made."""
    block = headers.pack(new)
    size = (new.last_page + 1) * PAGE
    have = _length(fd)
    regular = stat.S_ISREG(os.fstat(fd).st_mode)
    if not regular and size > have:
        raise AreaError(f"{name} is a device of {have} bytes, too small for {size}; leave the size out to use all of it.")
    if regular:
        try:
            _allocate(fd, have, size, progress or (lambda done, total: None))
        except BaseException:
            if os.fstat(fd).st_size > have:
                os.ftruncate(fd, have)
            raise
    # Signatures of larger pages, and whatever else probes for at the start, go; the old header stands until the new one.
    _write(fd, bytes(min(size, headers.PROBE) - PAGE), PAGE)
    os.fsync(fd)
    _write(fd, block, 0)
    os.fsync(fd)
    if regular and have > size:  # only now: an old, larger area is never cut while its header still stands
        os.ftruncate(fd, size)
        os.fsync(fd)


def _allocate(fd: int, have: int, size: int, progress: Progress) -> None:
    """Make sure that each of the first ``size`` bytes of ``fd`` (``have`` long) has a block; what is there stays."""
    try:
        for at in range(0, size, _STRETCH):
            _fallocate(fd, at, min(_STRETCH, size - at))
            progress(min(at + _STRETCH, size), size)
        return
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    for start, end in _holes(fd, min(have, size), size):
        for at in range(start, end, _ZEROS):
            _write(fd, bytes(min(_ZEROS, end - at)), at)
            progress(min(at + _ZEROS, end), size)
    os.fsync(fd)  # blocks promised and not yet given (delayed allocation) are given, or missing, here
    progress(size, size)


def _fallocate(fd: int, start: int, length: int) -> None:
    """fallocate(2), and not ``os.posix_fallocate``: where the file system cannot, glibc's imitates it by a write into
    every block, for minutes, without progress and deaf to Ctrl-C; this one says EOPNOTSUPP."""
    while _FALLOCATE(fd, 0, start, length):
        error = ctypes.get_errno()
        if error != errno.EINTR:  # a signal's handler has run by now; where it raised, we are not here
            raise OSError(error, os.strerror(error))


def _write(fd: int, data: bytes, at: int) -> None:
    """All of ``data`` at offset ``at``: a nearly full disk takes a part first and says ENOSPC on the next write."""
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], at + done)


# --- what the file is, and whose -------------------------------------------------------------------------------------


def _refuse_unsafe(name: str, st: os.stat_result) -> None:
    """Raise ``AreaError`` unless ``st`` is of a file or device that only we (and root) can read, by this one name.

    Root too refuses what others own: they could read what root swaps there. Devices may be root's and open to a group
    (commonly ``disk``), as mkswap(8) has it.
    """
    mode, device = stat.S_IMODE(st.st_mode), stat.S_ISBLK(st.st_mode)
    if stat.S_ISLNK(st.st_mode):
        raise AreaError(f"{name} is a symbolic link, which others could turn elsewhere; give the path of the file itself.")
    if stat.S_ISDIR(st.st_mode):
        raise AreaError(f"{name} is a directory; give the path of a file in it.", errno.EISDIR)
    if not device and not stat.S_ISREG(st.st_mode):
        raise AreaError(f"{name} is neither a regular file nor a block device; give one of those.")
    if st.st_uid != os.geteuid() and not (device and st.st_uid == 0):
        raise AreaError(
            f"{name} belongs to user {st.st_uid}, who could read what is swapped there; "
            f"use a file that user {os.geteuid()} owns.",
            errno.EPERM,
        )
    if mode & (0o007 if device else 0o077):
        raise AreaError(
            f"{name} has mode {mode:04o}, so others could read what is swapped there; "
            f"close it with: chmod {'o-rwx' if device else '600'} {shlex.quote(name)}",
            errno.EPERM,
        )
    if device:
        return
    if mode & 0o600 != 0o600:
        raise AreaError(f"{name} is read-only (mode {mode:04o}); allow writing with: chmod 600 {shlex.quote(name)}", errno.EACCES)
    if st.st_nlink != 1:
        raise AreaError(f"{name} has {st.st_nlink} names (hard links), and an area has one; remove the others or use a new file.")


def _lock(name: str, fd: int, patience: float = 0.0) -> None:
    """Take the lock that every user of hotswap takes on its areas; ``AreaError`` when not had in ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not _locked(fd):
        if time.monotonic() >= deadline:
            raise AreaError(
                f"{name} is already in use (this process or another one holds its lock); switch it off there first.",
                errno.EBUSY,
            )
        time.sleep(0.01)


def _locked(fd: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_kernel_swap(name: str, fd: int) -> None:
    """Raise ``AreaError`` when the kernel swaps to this file.

    Not by /proc/swaps: that lists paths, which need not lead to the file from where we are (other mount namespaces,
    containers, renamed files). A write to a swap file fails with ETXTBSY before its length is looked at (Linux 5.3 and
    later, ``generic_write_checks`` in fs/read_write.c), so a write of nothing tells, and changes nothing. Devices the
    kernel swaps to have failed to open, by O_EXCL.
    """
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return
    try:
        os.pwrite(fd, b"", 0)
    except OSError as error:
        if error.errno != errno.ETXTBSY:
            raise
        raise AreaError(
            f"{name} is in use as the kernel's swap; switch it off with: swapoff {shlex.quote(name)}", errno.EBUSY
        ) from None


def _refuse_foreign(name: str, fd: int, have: int) -> None:
    """Raise ``AreaError`` unless formatting would destroy nothing: ``fd`` is a swap area or holds no data."""
    if _blank(fd, have):  # before anything is read: ext4 counts allocated blocks as data once they are in its cache
        return
    start = os.pread(fd, headers.PROBE, 0)
    if headers.is_swap(start):
        return
    if headers.signature(start) is not None:
        headers.unpack(start, name)  # a hibernation image: says so
    raise AreaError(f"{name} holds data that is not a swap area; give another path, or --force (force=True) to lose the data.")


def _blank(fd: int, have: int) -> bool:
    """Whether ``fd`` holds nothing: a file nobody wrote to, or a device of zeros where volumes keep their superblocks."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return _seek(fd, 0, os.SEEK_DATA) is None
    ends = os.pread(fd, _ZEROS, 0) + os.pread(fd, _ZEROS, max(0, have - _ZEROS))
    return not any(ends)


# --- blocks ----------------------------------------------------------------------------------------------------------


def _length(fd: int) -> int:
    """Bytes in ``fd``. A device's too: what BLKGETSIZE64 tells, whose request number differs between architectures."""
    return os.lseek(fd, 0, os.SEEK_END)


def _seek(fd: int, at: int, whence: int) -> int | None:
    """Where the next data or hole from ``at`` begins; None when none does. A file's end counts as a hole."""
    try:
        return os.lseek(fd, at, whence)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def _holes(fd: int, have: int, size: int) -> Iterator[tuple[int, int]]:
    """The stretches (start, end) of the first ``size`` bytes of ``fd`` that nobody wrote; all of those from ``have`` on."""
    at = 0
    while at < have:
        start = _seek(fd, at, os.SEEK_HOLE)
        if start is None or start >= have:
            break
        data = _seek(fd, start, os.SEEK_DATA)
        at = have if data is None else min(data, have)
        yield start, at
    if have < size:
        yield have, size


def _sparse(fd: int, size: int) -> bool:
    """Whether one of the first ``size`` bytes of the file has no block behind it.

    SEEK_HOLE alone cannot tell: it calls blocks that are allocated but not yet written holes as well, which is all of a
    fresh area. So where it finds one, the extents decide; where the file system lists none (tmpfs), the count of blocks.
    """
    hole = _seek(fd, 0, os.SEEK_HOLE)
    if hole is None or hole >= size:
        return False
    try:
        return _mapped(fd, size) < size
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL):
            raise
        return os.fstat(fd).st_blocks * 512 < size


def _mapped(fd: int, size: int) -> int:
    """How far into the file, in bytes, extents follow one another without a gap, asked up to ``size`` (FS_IOC_FIEMAP)."""
    head, extent, at_once = struct.Struct("=QQIIII"), struct.Struct("=QQQQQIIII"), 256
    reached = 0
    while reached < size:
        request = bytearray(head.size + at_once * extent.size)
        head.pack_into(request, 0, reached, size - reached, 0, 0, at_once, 0)
        fcntl.ioctl(fd, _FIEMAP, request, True)
        count = head.unpack_from(request)[3]
        for index in range(count):
            logical, _, length, _, _, _, _, _, _ = extent.unpack_from(request, head.size + index * extent.size)
            if logical > reached:
                return reached
            reached = logical + length
        if not count:
            break
    return reached


# --- arguments, errors and undoing -----------------------------------------------------------------------------------


def absolute(path: Path) -> str:
    """``path`` from the root, its directories resolved and its last part left as it is (a link there is refused)."""
    text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise AreaError(f"{text!r} is not a path; give the path of a file or block device.")
    directory, last = os.path.split(text)
    return os.path.join(os.path.realpath(directory or "."), last)


def _whole_pages(name: str, size: int) -> int:
    """``size`` rounded down to pages, as util-linux does; ``AreaError`` when no area is so small or so large."""
    pages = size // PAGE
    if pages < headers.MIN_PAGES:
        least = headers.MIN_PAGES * PAGE
        raise AreaError(
            f"{name} cannot be an area of {size} bytes, fewer than {headers.MIN_PAGES} pages; give {least // 1024} KiB or more."
        )
    if pages > headers.MAX_PAGES:
        raise AreaError(f"{name} cannot be an area of {format_size(size)}; give {format_size(headers.MAX_PAGES * PAGE)} or less.")
    return pages * PAGE


def _uuid(uuid: uuids.UUID | bytes | str | None) -> bytes:
    """The 16 bytes of ``uuid``, new random ones for None."""
    if uuid is None:
        return uuids.uuid4().bytes
    if isinstance(uuid, uuids.UUID):
        return uuid.bytes
    if isinstance(uuid, bytes):
        return uuid  # its length is checked with the header
    try:
        return uuids.UUID(uuid).bytes
    except ValueError:
        raise AreaError(f"{uuid!r} is not a UUID; give one such as {uuids.uuid4()}, or none for a random one.") from None


_REASONS = {
    errno.ENOSPC: "no space left on the device; give a smaller size or a place on another disk",
    errno.EDQUOT: "the disk quota is used up; give a smaller size or a place on another disk",
    errno.EFBIG: "files may not be that large here (ulimit -f, or the file system); give a smaller size",
    errno.EROFS: "its file system is mounted read-only; give a place on another one",
    errno.EACCES: "permission denied; give a place where this user may write",
    errno.EPERM: "the system does not permit it (an immutable file, or policy); give another place",
    errno.EBUSY: "the device is in use (mounted, or swap, or open elsewhere); free it first",
    errno.EEXIST: "it appeared while it was being made; see who made it, then try again",
    errno.ENOENT: "its directory does not exist; make that first",
    errno.ENOTDIR: "a part of its path is not a directory; correct the path",
    errno.ELOOP: "its path runs in a circle of links; give the path of a file",
    errno.ENXIO: "there is no such device; correct the path",
    errno.EIO: "the disk reports an error; see the kernel's log (dmesg) and use another disk",
}


@contextmanager
def _sentences(name: str) -> Iterator[None]:
    """Turn what system calls raise about ``name`` into an ``AreaError`` that says what to do."""
    try:
        yield
    except AreaError:
        raise
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, f"{error.strerror}; correct that or give another place")
        raise AreaError(f"{name} cannot be used as a swap area: {reason}.", error.errno) from error


@contextmanager
def _undo(name: str, fd: int, *, created: bool) -> Iterator[None]:
    """On any exception close ``fd``; remove the file if we ``created`` it, it still has its name, and nobody else uses it."""
    try:
        yield
    except BaseException:
        try:
            if created and os.path.lexists(name) and os.path.samestat(os.lstat(name), os.fstat(fd)) and _locked(fd):
                os.unlink(name)
        finally:
            os.close(fd)
        raise
