"""Swap files and partitions: made whole or not at all, opened only when nobody else can read or use them."""

import contextlib
import errno
import fcntl
import json
import os
import pickle
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import traceback
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import on_terminal

from hotswap import areafile
from hotswap.areafile import format_area, open_area
from hotswap.cli import mkswap as command
from hotswap.errors import AreaError, SizeError
from hotswap.header import MAGIC, Header, pack, unpack
from hotswap.sizes import PAGE

UUID = uuid.UUID("11111111-2222-3333-4444-555555555555")
MIB = 1 << 20
NOBODY = 65534
ROOT = os.geteuid() == 0
SOURCES = str(Path(areafile.__file__).parent.parent)

needs_root = pytest.mark.skipif(not ROOT, reason="needs root")


# --- helpers ---------------------------------------------------------------------------------------------------------


def descriptors():
    """What this process has open: number and name each."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


@pytest.fixture(autouse=True)
def no_descriptor_leaks():
    before = descriptors()
    yield
    assert descriptors() == before


@pytest.fixture
def path(tmp_path):
    """Where a test makes its area; on the disk's file system."""
    return str(tmp_path / "a.swap")


@pytest.fixture
def area(path):
    """The path of a good area of 1 MiB."""
    format_area(path, MIB, label="scratch", uuid=UUID)
    return path


def tool(name):
    """The path of a system program; the test is skipped where it is missing."""
    found = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*words, **options):
    return subprocess.run(words, check=True, capture_output=True, text=True, **options).stdout


def run_or_skip(*words):
    """Run what prepares a test; skipped where the machine does not allow it."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{words[0]} refused: {done.stderr.strip()}")
    return done.stdout


def file_system(path):
    return run("stat", "-f", "-c", "%T", str(path)).strip()


def refusal(path, says, **options):
    """``open_area`` refuses with one sentence that says ``says``; nothing is left open."""
    before = descriptors()
    with pytest.raises(AreaError) as caught:
        open_area(path, **options).close()
    sentence = str(caught.value)
    assert says in sentence, sentence
    assert str(path) in sentence and "\n" not in sentence
    assert descriptors() == before
    return caught.value


def in_child(function, *arguments, user=None):
    """``function(*arguments)`` in a forked child, as ``user`` where given; its result, or its exception raised here."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            try:
                result = (True, function(*arguments))
            except AreaError as error:
                result = (False, error)
            os.write(writer, pickle.dumps(result))
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    assert answer, "the child failed; its traceback is above"
    good, result = pickle.loads(answer)
    if not good:
        raise result
    return result


@pytest.fixture
def ordinary():
    """Run functions as an ordinary user in a directory of its own: ``ordinary(function)`` gets the directory's path."""
    user = NOBODY if ROOT else None
    with tempfile.TemporaryDirectory() as directory:  # pytest's are closed to other users
        if ROOT:
            os.chown(directory, NOBODY, NOBODY)

        def call(function):
            def inside():
                os.chdir(directory)
                return function(directory)

            return in_child(inside, user=user)

        yield call


def sentence_of(function, *arguments, **options):
    """The sentence of the ``AreaError`` that ``function`` raises, to be looked at in another process."""
    try:
        function(*arguments, **options)
    except AreaError as error:
        return str(error)
    return "nothing refused"


# --- formatting ------------------------------------------------------------------------------------------------------


def test_formatted_file_is_byte_for_byte_that_of_mkswap(tmp_path, area):
    theirs = tmp_path / "theirs"
    theirs.write_bytes(bytes(MIB))
    theirs.chmod(0o600)
    run(tool("mkswap"), "-U", str(UUID), "-L", "scratch", str(theirs))
    assert Path(area).read_bytes() == theirs.read_bytes()


def test_formatting_returns_the_header_written(path):
    made = format_area(path, "64K", label="x", uuid=str(UUID), badpages=[7, 3, 7])
    assert made == Header(15, UUID.bytes, "x", (3, 7)) == unpack(Path(path).read_bytes())


def test_sizes_are_rounded_down_to_pages(path):
    assert format_area(path, MIB + 4095).last_page == 255
    assert os.path.getsize(path) == MIB


def test_every_block_is_allocated(area):
    assert os.stat(area).st_blocks * 512 >= MIB


@pytest.mark.parametrize("umask", [0, 0o022, 0o277, 0o777])
def test_new_files_are_0600_whatever_the_umask(path, umask):
    before = os.umask(umask)
    try:
        format_area(path, "64K")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_uuids_are_random_unless_given(tmp_path):
    assert format_area(tmp_path / "a", "64K").uuid != format_area(tmp_path / "b", "64K").uuid


def test_progress_runs_up_to_the_size(path):
    seen = []
    format_area(path, MIB, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (MIB, MIB)


def no_fallocate(monkeypatch):
    """From here on the file system cannot allocate blocks."""

    def refuse(fd, start, length):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(areafile, "_fallocate", refuse)


def test_where_blocks_cannot_be_allocated_zeros_are_written_in_mebibytes(path, monkeypatch):
    no_fallocate(monkeypatch)
    seen = []
    format_area(path, 3 * MIB + 8192, progress=lambda done, total: seen.append(done))
    assert seen[:4] == [MIB, 2 * MIB, 3 * MIB, 3 * MIB + 8192]
    with open_area(path) as opened:
        assert opened.pages == 769


def test_zeros_fill_the_holes_of_an_old_file_and_leave_the_rest(path, monkeypatch):
    no_fallocate(monkeypatch)
    with open(path, "wb") as sparse:
        sparse.write(pack(Header(9, UUID.bytes)))
        sparse.seek(MIB)
        sparse.write(b"kept")
        sparse.truncate(2 * MIB)
    os.chmod(path, 0o600)
    format_area(path, 3 * MIB)
    assert Path(path).read_bytes()[MIB : MIB + 4] == b"kept"
    open_area(path, size=3 * MIB).close()


@needs_root
def test_a_file_system_without_fallocate_gets_zeros(tmp_path):
    image, mount = tmp_path / "ext2", tmp_path / "m"
    image.write_bytes(bytes(8 * MIB))
    mount.mkdir()
    run(tool("mkfs.ext2"), "-q", str(image))
    script = f"""
import os, sys
from hotswap.areafile import format_area, open_area
seen = []
format_area("{mount}/a", 3 << 20, progress=lambda done, total: seen.append(done))
assert seen[:3] == [1 << 20, 2 << 20, 3 << 20], seen
open_area("{mount}/a").close()
try:
    format_area("{mount}/b", 6 << 20)
except OSError as error:
    print(error, os.listdir("{mount}"))
"""
    shell = f"mount -o loop {image} {mount} || exit 77; exec {sys.executable} -c '{script}'"
    done = subprocess.run(["unshare", "-m", "sh", "-c", shell], capture_output=True, text=True, check=False, env=python_env())
    if done.returncode == 77:
        pytest.skip(f"no loop mount here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "no space left on the device" in done.stdout and "'b'" not in done.stdout


def python_env():
    return {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCES, os.environ.get("PYTHONPATH", "")])}


ATTEMPT = """
import os
from hotswap import areafile
def attempt(what, *arguments, **options):
    try: what(*arguments, **options)
    except OSError as error: print(type(error).__name__, error.errno, error)
    else: print("done")
"""


def in_small_tmpfs(directory, script, size="1M"):
    """Run ``script``, after ``ATTEMPT``, in a namespace of its own where ``directory`` is a file system of ``size``; what it prints."""
    shell = f"mount -t tmpfs -o size={size} tmpfs {directory} || exit 77; cd {directory}; exec {sys.executable} -c '{ATTEMPT}{script}'"
    done = subprocess.run(
        [tool("unshare"), "-rm", "sh", "-c", shell], capture_output=True, text=True, check=False, env=python_env()
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_space_left_is_one_sentence_and_leaves_no_file(tmp_path):
    script = """
attempt(areafile.format_area, "a", "2M")
attempt(areafile.open_area, "a", size="2M")
print(os.listdir("."), len(os.listdir("/proc/self/fd")))
"""
    lines = in_small_tmpfs(tmp_path, script).splitlines()
    for line in lines[:2]:
        assert line.startswith(
            f"AreaError {errno.ENOSPC} {tmp_path}/a cannot be used as a swap area: no space left on the device; "
        )
    assert lines[2] == "[] 4"


def test_no_space_left_while_writing_zeros_leaves_no_file(tmp_path):
    script = """
import errno
def refuse(fd, start, length): raise OSError(errno.EOPNOTSUPP, "")
areafile._fallocate = refuse
attempt(areafile.format_area, "a", "2M")
print(os.listdir("."))
"""
    lines = in_small_tmpfs(tmp_path, script).splitlines()
    assert "no space left on the device" in lines[0] and lines[1] == "[]"


def test_an_area_that_cannot_grow_stays_as_it_was(tmp_path):
    script = """
areafile.format_area("a", "512K", label="old")
attempt(areafile.format_area, "a", "2M")
with areafile.open_area("a", size="512K") as area: print(area.label, os.path.getsize("a"))
"""
    lines = in_small_tmpfs(tmp_path, script).splitlines()
    assert "no space left on the device" in lines[0] and lines[1] == f"old {512 << 10}"


def test_an_area_whose_growing_is_interrupted_stays_as_it_was(area, monkeypatch):
    def interrupt(done, total):
        if done > MIB:  # beyond the old end
            raise KeyboardInterrupt

    no_fallocate(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        format_area(area, 3 * MIB, label="new", progress=interrupt)
    assert os.path.getsize(area) == MIB
    with open_area(area, size=MIB) as opened:
        assert opened.label == "scratch"


def test_a_file_size_limit_is_one_sentence_and_leaves_no_file(path):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB // 2, MIB // 2))
        return sentence_of(format_area, path, MIB)

    assert "files may not be that large here" in in_child(limited)
    assert not os.path.exists(path)


@pytest.mark.parametrize("make", [lambda p, f: format_area(p, MIB, progress=f), lambda p, f: open_area(p, size=MIB, progress=f)])
def test_an_interrupt_while_formatting_leaves_no_file(path, make):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(path, interrupt)
    assert not os.path.exists(path)


def test_a_failed_undo_does_not_remove_a_file_that_took_the_name(path):
    def replaced(done, total):
        os.rename(path, path + ".moved")
        Path(path).write_text("another's")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        format_area(path, MIB, progress=replaced)
    assert Path(path).read_text() == "another's"


def test_a_file_that_fails_after_formatting_is_removed(path, monkeypatch):
    def fail(fd, length):
        raise OSError(errno.EIO, "i/o error")

    monkeypatch.setattr(areafile, "_read_direct", fail)
    assert refusal(path, "the disk reports an error", size=MIB).errno == errno.EIO
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 9 * PAGE}, "fewer than 10 pages"),
        ({"size": 10 * PAGE - 1}, "fewer than 10 pages"),
        ({"size": (1 << 44) + PAGE}, "or less"),
        ({"size": MIB, "label": "seventeen bytes !"}, "at most 16 bytes"),
        ({"size": MIB, "uuid": "no"}, "'no' is not a UUID"),
        ({"size": MIB, "uuid": b"short"}, "UUID of 5 bytes"),
        ({"size": MIB, "badpages": [256]}, "bad page 256, which is outside 1..255"),
        ({"size": 4 * MIB, "badpages": range(1, 639)}, "638 bad pages, too many"),
        ({}, "does not exist; give a size"),
    ],
)
def test_bad_arguments_make_no_file(path, options, says):
    with pytest.raises(AreaError, match=says):
        format_area(path, **options)
    assert not os.path.exists(path)


@pytest.mark.parametrize("size", ["", "x", 0, -1, "-1", True, 1.5])
def test_what_is_not_a_size_is_refused(path, size):
    for function in (lambda: format_area(path, size), lambda: open_area(path, size=size)):
        with pytest.raises(SizeError):
            function()
    assert not os.path.exists(path)


@pytest.mark.parametrize("bad", ["", "a\0b", b"bytes"])
def test_what_is_not_a_path_is_refused(bad):
    with pytest.raises(AreaError, match="is not a path"):
        open_area(bad)


def test_a_file_of_data_is_not_formatted_without_force(path):
    Path(path).write_bytes(b"thesis" * 100_000)
    os.chmod(path, 0o600)
    for arguments in ((path, MIB), (path,)):
        with pytest.raises(AreaError, match="holds data that is not a swap area"):
            format_area(*arguments)
    assert Path(path).read_bytes() == b"thesis" * 100_000
    format_area(path, MIB, force=True)
    open_area(path, size=MIB).close()


def test_a_hibernation_image_is_not_formatted_without_force(area):
    with open(area, "r+b") as image:
        image.seek(4086)
        image.write(b"S1SUSPEND\0")
    with pytest.raises(AreaError, match="hibernation"):
        format_area(area)
    format_area(area, force=True)
    open_area(area).close()


@pytest.mark.parametrize(
    "prepare", [lambda f: None, lambda f: f.truncate(2 * MIB), lambda f: os.posix_fallocate(f.fileno(), 0, 2 * MIB)]
)
def test_a_file_without_data_is_formatted(path, prepare):
    with open(path, "wb") as empty:
        prepare(empty)
    os.chmod(path, 0o600)
    format_area(path, MIB)
    open_area(path, size=MIB).close()
    assert os.path.getsize(path) == MIB


def test_an_empty_file_needs_a_size(path):
    Path(path).touch(0o600)
    with pytest.raises(AreaError, match="is empty"):
        format_area(path)


@pytest.mark.parametrize("size", [None, "512K", "1M", "2M"])
def test_an_area_is_formatted_again_at_any_size(area, size):
    format_area(area, size, label="again")
    with open_area(area, size=size or MIB) as opened:
        assert opened.label == "again"
    assert os.path.getsize(area) == (opened.pages + 1) * PAGE


def test_formatting_again_removes_signatures_of_larger_pages(path):
    Path(path).write_bytes(bytes(65526) + MAGIC + bytes(MIB - 65536))
    os.chmod(path, 0o600)
    format_area(path)
    assert Path(path).read_bytes()[4096:65536] == bytes(61440)


def test_a_file_that_others_can_read_is_not_formatted_even_with_force(path):
    Path(path).touch(0o644)
    os.chmod(path, 0o644)
    with pytest.raises(AreaError, match="chmod 600"):
        format_area(path, MIB, force=True)


# --- opening ---------------------------------------------------------------------------------------------------------


def test_an_area_is_opened_as_it_was_made(path):
    format_area(path, MIB, label="scratch", uuid=UUID, badpages=(3, 7))
    with open_area(path) as opened:
        st = os.stat(path)
        assert (opened.path, opened.kind, opened.pages, opened.slots) == (path, "file", 255, 253)
        assert (opened.badpages, opened.label, opened.uuid) == ((3, 7), "scratch", UUID)
        assert (opened.device, opened.inode) == (st.st_dev, st.st_ino)
        assert not os.get_inheritable(opened.fd)


def test_direct_tells_how_the_descriptor_is_open(area):
    with open_area(area) as opened:
        assert bool(fcntl.fcntl(opened.fd, fcntl.F_GETFL) & os.O_DIRECT) == opened.direct
        if file_system(area).startswith(("ext", "xfs", "btrfs")):
            assert opened.direct


def test_where_direct_reads_fail_the_area_is_opened_without(area, monkeypatch):
    read = os.preadv

    def picky(fd, buffers, at):
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "blocks are larger than that")
        return read(fd, buffers, at)

    monkeypatch.setattr(os, "preadv", picky)
    with open_area(area) as opened:
        assert not opened.direct and opened.pages == 255
        assert not fcntl.fcntl(opened.fd, fcntl.F_GETFL) & os.O_DIRECT


def test_a_missing_file_is_made_with_a_size(path):
    with open_area(path, size="1M") as opened:
        assert opened.pages == 255
    open_area(path).close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_paths_are_absolute_with_their_directories_resolved(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    with open_area("link/a", size="64K") as opened:
        assert opened.path == str(tmp_path / "real" / "a")


def test_closing_twice_is_once(area):
    opened = open_area(area)
    opened.close()
    other = os.open(area, os.O_RDONLY)  # gets the same number
    opened.close()
    os.close(other)
    assert opened.fd == -1


def test_areas_of_mkswap_are_opened(path):
    Path(path).write_bytes(bytes(MIB + 1000))
    os.chmod(path, 0o600)
    run(tool("mkswap"), "-U", str(UUID), "-L", "theirs", path)
    with open_area(path) as opened:
        assert (opened.pages, opened.label, opened.uuid) == (255, "theirs", UUID)


def test_a_missing_file_without_size_is_refused(path):
    assert refusal(path, "does not exist; give a size").errno == errno.ENOENT


def test_a_missing_directory_is_refused(tmp_path):
    refusal(tmp_path / "no" / "a", "its directory does not exist", size=MIB)


def test_a_path_through_a_file_is_refused(area):
    refusal(area + "/b", "not a directory", size=MIB)


def test_a_directory_is_refused(tmp_path):
    assert refusal(tmp_path, "is a directory").errno == errno.EISDIR


@pytest.mark.parametrize("target", ["a.swap", "missing"])
def test_a_symbolic_link_is_refused(area, tmp_path, target):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / target)
    refusal(link, "is a symbolic link", size=MIB)
    assert sorted(os.listdir(tmp_path)) == ["a.swap", "link"]


def test_other_kinds_are_refused_without_being_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    refusal(tmp_path / "fifo", "neither a regular file nor a block device")
    refusal("/dev/null", "neither a regular file nor a block device")


def test_a_file_replaced_while_it_is_opened_is_refused(area, monkeypatch):
    opening = os.open

    def swapped(name, *arguments):
        if name == area and os.path.exists(area):
            os.rename(area, area + ".old")
            shutil.copy(area + ".old", area)
        return opening(name, *arguments)

    monkeypatch.setattr(os, "open", swapped)
    refusal(area, "was replaced while it was being opened")


def test_a_link_put_in_place_while_it_is_opened_is_not_followed(area, tmp_path, monkeypatch):
    opening = os.open
    format_area(tmp_path / "victim", MIB)

    def swapped(name, *arguments):
        if name == area:
            os.unlink(area)
            os.symlink(tmp_path / "victim", area)
        return opening(name, *arguments)

    monkeypatch.setattr(os, "open", swapped)
    refusal(area, "circle of links")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o666])
def test_a_file_open_to_others_is_refused(area, mode):
    os.chmod(area, mode)
    refusal(area, f"mode {mode:04o}, so others could read")


def test_a_read_only_file_is_refused(area):
    os.chmod(area, 0o400)
    refusal(area, "is read-only (mode 0400)")


def test_a_file_with_two_names_is_refused(area, tmp_path):
    os.link(area, tmp_path / "b")
    refusal(area, "has 2 names")


def test_a_sparse_file_is_refused(path):
    with open(path, "wb") as sparse:
        sparse.write(pack(Header(255, UUID.bytes)))
        sparse.truncate(MIB)
    os.chmod(path, 0o600)
    refusal(path, "is sparse")


def test_one_hole_makes_a_file_sparse(area):
    with open(area, "r+b") as filled:
        filled.seek(PAGE)
        filled.write(b"x" * (MIB - PAGE))
    open_area(area).close()
    run_or_skip("fallocate", "--punch-hole", "--offset", str(128 << 10), "--length", str(PAGE), area)
    refusal(area, "is sparse")


def test_a_hole_behind_the_area_is_none_of_it(area):
    with open(area, "r+b") as longer:
        longer.truncate(2 * MIB)
    open_area(area).close()


def test_an_area_in_a_hundred_pieces_is_not_sparse(path):
    with open(path, "wb") as pieces:  # every other page written: 512 extents, more than are asked for at once
        os.posix_fallocate(pieces.fileno(), 0, 4 * MIB)
        for page in range(0, 1024, 2):
            os.pwrite(pieces.fileno(), b"x" * PAGE, page * PAGE)
        os.pwrite(pieces.fileno(), pack(Header(1023, UUID.bytes)), 0)
        os.fsync(pieces.fileno())
    os.chmod(path, 0o600)
    open_area(path).close()


def test_without_extents_the_count_of_blocks_decides(tmp_path):
    script = """
areafile.format_area("a", "512K")
attempt(lambda: areafile.open_area("a").close())
with open("a", "r+b") as area: area.truncate(64 << 10); area.truncate(512 << 10)
attempt(lambda: areafile.open_area("a").close())
"""
    lines = in_small_tmpfs(tmp_path, script).splitlines()
    assert lines[0] == "done" and "is sparse" in lines[1]


def test_a_file_without_header_is_refused(path):
    Path(path).write_bytes(b"x" * MIB)
    os.chmod(path, 0o600)
    refusal(path, "no swap signature")
    refusal(path, "no swap signature", size=MIB)
    assert Path(path).read_bytes() == b"x" * MIB


@pytest.mark.parametrize("length", [0, 1, PAGE, 10 * PAGE - 1])
def test_a_file_of_fewer_than_ten_pages_is_refused(path, length):
    Path(path).write_bytes(bytes(length))
    os.chmod(path, 0o600)
    refusal(path, "fewer than the 10 pages")


@pytest.mark.parametrize(
    ("offset", "change", "says"),
    [
        (4086, b"SWAP-SPACE", "old version 0"),
        (4086, b"S1SUSPEND\0", "hibernation image"),
        (1024, (2).to_bytes(4, sys.byteorder), "version 2,"),
        (1024, (1).to_bytes(4, "big" if sys.byteorder == "little" else "little"), "other byte order"),
        (1028, (8).to_bytes(4, sys.byteorder), "fewer than the 10"),
        (1028, (256).to_bytes(4, sys.byteorder), "it was cut short"),
        (1032, (638).to_bytes(4, sys.byteorder), "638 bad pages, too many"),
        (1032, (1).to_bytes(4, sys.byteorder), "bad page 0, which is outside"),
    ],
)
def test_a_bad_header_is_refused_by_name(area, offset, change, says):
    with open(area, "r+b") as damaged:
        damaged.seek(offset)
        damaged.write(change)
    refusal(area, says)


def test_an_area_for_larger_pages_is_refused(path):
    Path(path).write_bytes(bytes(MIB))
    os.chmod(path, 0o600)
    run(tool("mkswap"), "-p", "65536", path)
    refusal(path, "pages of 64 KiB")


def test_an_area_cut_short_is_refused(area):
    os.truncate(area, MIB - 1)
    refusal(area, "was cut short")


@pytest.mark.parametrize("size", ["512K", "2M"])
def test_another_size_than_the_area_has_is_refused(area, size):
    refusal(area, f"is an area of {MIB} bytes already", size=size)
    open_area(area, size=MIB + 100).close()  # the same whole pages


# --- one user at a time ----------------------------------------------------------------------------------------------


def test_a_second_open_in_this_process_is_refused(area):
    with open_area(area):
        assert refusal(area, "already in use").errno == errno.EBUSY
    open_area(area).close()


def test_a_second_open_through_another_path_is_refused(area, tmp_path):
    (tmp_path / "same").symlink_to(".")
    with open_area(area), pytest.raises(AreaError, match="already in use"):
        open_area(tmp_path / "same" / "a.swap")


def test_a_failed_second_open_does_not_unlock(area):
    with open_area(area):
        for _ in range(2):
            refusal(area, "already in use")
        assert "already in use" in in_child(sentence_of, open_area, area)


def test_an_area_in_use_is_not_formatted(area):
    with open_area(area), pytest.raises(AreaError, match="already in use"):
        format_area(area, force=True)


def test_another_process_keeps_us_out_until_it_ends(area):
    script = f"from hotswap.areafile import open_area; area = open_area({area!r}); print('on', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=python_env()
    ) as other:
        assert other.stdout.readline() == "on\n"
        refusal(area, "already in use")
        other.communicate("\n")
    open_area(area).close()


def test_of_many_processes_one_makes_the_area(path):
    start, done, answers = os.pipe(), os.pipe(), os.pipe()
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            try:
                os.close(start[1])
                os.close(done[1])
                os.read(start[0], 1)  # until the parent closes its end: all at once
                answer = sentence_of(open_area, path, size=MIB)  # what was opened stays so until the process ends
                os.write(answers[1], answer.encode() + b"\n")
                os.read(done[0], 1)
            finally:
                os._exit(0)
        children.append(child)
    os.close(answers[1])
    os.close(start[1])
    with open(answers[0]) as lines:
        results = [lines.readline().strip() for _ in children]
    for end in (done[1], done[0], start[0]):
        os.close(end)
    for child in children:
        os.waitpid(child, 0)
    # Those that lose find it locked, or made in the meantime, or (a moment before its maker locks it) still empty.
    losers = [result for result in results if result != "nothing refused"]
    assert len(losers) == 5, results
    assert all("already in use" in text or "appeared while" in text or "has 0 bytes" in text for text in losers), losers
    open_area(path, size=MIB).close()


@pytest.fixture
def rival(path, monkeypatch):
    """Another open of the new file at ``path`` that comes between its making and its maker's lock, and takes the lock."""
    opening, held = os.open, []

    def meddling(name, flags, *mode):
        fd = opening(name, flags, *mode)
        if name == path and flags & os.O_CREAT:
            held.append(opening(name, os.O_RDWR))
            fcntl.flock(held[0], fcntl.LOCK_EX)
        return fd

    monkeypatch.setattr(os, "open", meddling)
    return held


def test_a_maker_waits_for_one_who_looked_at_the_new_file_first(path, rival):
    leaves = threading.Timer(0.1, lambda: os.close(rival[0]))
    leaves.start()
    open_area(path, size=MIB).close()
    leaves.join()


def test_a_maker_leaves_the_new_file_to_one_who_keeps_it(path, rival, monkeypatch):
    monkeypatch.setattr(areafile, "_PATIENCE", 0.05)
    with pytest.raises(AreaError, match="already in use"):
        open_area(path, size=MIB)
    assert os.path.exists(path)
    os.close(rival[0])


# --- the kernel's swap -----------------------------------------------------------------------------------------------


@pytest.fixture
def on_disk():
    """A directory on a disk's file system: the kernel does not swap to tmpfs."""
    for place in (None, "/var/tmp", "."):
        with tempfile.TemporaryDirectory(dir=place) as directory:
            if file_system(directory) not in ("tmpfs", "ramfs", "overlayfs", "9p", "v9fs"):
                yield directory
                return
    pytest.skip("no file system of a disk here")


@contextlib.contextmanager
def kernel_swap(path):
    done = subprocess.run([tool("swapon"), path], check=False, capture_output=True, text=True)
    if "not permitted" in done.stderr or "not implemented" in done.stderr:
        pytest.skip(f"no swapon here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        run(tool("swapoff"), path)


@needs_root
def test_the_kernel_swaps_to_our_area_and_gives_it_back(on_disk):
    path = f"{on_disk}/with space"
    format_area(path, MIB, label="ours")
    with kernel_swap(path):
        line = next(line for line in Path("/proc/swaps").read_text().splitlines() if line.startswith(on_disk))
        assert line.split()[1:3] == ["file", str(255 * 4)]  # in KiB
    open_area(path).close()


@needs_root
def test_the_kernels_swap_is_refused(on_disk):
    here, elsewhere = Path(on_disk, "here"), Path(on_disk, "elsewhere")
    here.mkdir()
    format_area(here / "a b", MIB)
    with kernel_swap(str(here / "a b")):
        refusal(here / "a b", "in use as the kernel's swap")
        here.rename(elsewhere)  # /proc/swaps may name what cannot be found from here
        refusal(elsewhere / "a b", "in use as the kernel's swap")
        with pytest.raises(AreaError, match="kernel's swap"):
            format_area(elsewhere / "a b", force=True)
        elsewhere.rename(here)
    open_area(here / "a b").close()


def test_blkid_file_and_swaplabel_read_our_area(area):
    assert 'TYPE="swap"' in run(tool("blkid"), "-p", area) and str(UUID) in run(tool("blkid"), "-p", area)
    assert "swap file" in run(tool("file"), area)
    assert "scratch" in run(tool("swaplabel"), area)


# --- block devices ---------------------------------------------------------------------------------------------------


@pytest.fixture
def device(tmp_path):
    """A block device of 4 MiB of zeros."""
    if not ROOT:
        pytest.skip("needs root")
    backing = tmp_path / "backing"
    backing.write_bytes(bytes(4 * MIB))
    name = run_or_skip(tool("losetup"), "-f", "--show", str(backing)).strip()
    yield name
    run(tool("losetup"), "-d", name)


def test_a_device_is_formatted_whole_and_opened(device):
    format_area(device, label="disk")
    with open_area(device, size=4 * MIB) as opened:
        assert (opened.kind, opened.pages, opened.label) == ("partition", 1023, "disk")
        assert (opened.device, opened.inode) == (os.stat(device).st_rdev, 0)
        refusal(device, "in use")


def test_a_device_is_one_by_whatever_node(device, tmp_path):
    format_area(device)
    node = tmp_path / "node"
    os.mknod(node, 0o600 | stat.S_IFBLK, os.stat(device).st_rdev)
    with open_area(device):
        refusal(node, "the device is in use")


def test_a_device_may_be_formatted_in_part_but_not_beyond_its_end(device):
    format_area(device, MIB)
    with open_area(device) as opened:
        assert opened.pages == 255
    with pytest.raises(AreaError, match="too small for"):
        format_area(device, 8 * MIB)
    open_area(device).close()


def test_a_device_with_a_file_system_is_not_formatted_without_force(device):
    run(tool("mkfs.ext2"), "-q", device)
    with pytest.raises(AreaError, match="holds data"):
        format_area(device)
    refusal(device, "no swap signature")
    format_area(device, force=True)
    open_area(device).close()


def test_a_device_open_to_all_is_refused(device):
    mode = stat.S_IMODE(os.stat(device).st_mode)
    os.chmod(device, 0o666)
    try:
        refusal(device, "chmod o-rwx")
    finally:
        os.chmod(device, mode)


def test_a_device_the_kernel_swaps_to_is_refused(device):
    format_area(device, badpages=(5, 9))
    with kernel_swap(device):
        line = next(line for line in Path("/proc/swaps").read_text().splitlines() if line.startswith(device + " "))
        assert line.split()[1:3] == ["partition", str((1023 - 2) * 4)]  # in KiB: it read the bad pages as well
        refusal(device, "in use")


# --- ordinary users --------------------------------------------------------------------------------------------------


def test_an_ordinary_user_makes_and_opens_an_area(ordinary):
    def make(directory):
        os.umask(0)
        with open_area("a", size=MIB) as opened:
            return opened.path, stat.S_IMODE(os.fstat(opened.fd).st_mode), os.fstat(opened.fd).st_uid

    path, mode, owner = ordinary(make)
    assert path.endswith("/a") and mode == 0o600
    assert owner == (NOBODY if ROOT else os.geteuid())


def test_an_ordinary_user_is_refused_the_areas_of_others(ordinary):
    if not ROOT:
        pytest.skip("needs root, to own a file that the user does not")

    def attempt(directory):
        return sentence_of(open_area, "theirs"), sentence_of(format_area, "theirs", MIB, force=True)

    def places(directory):
        return directory

    directory = ordinary(places)
    format_area(f"{directory}/theirs", MIB)
    assert all("belongs to user 0, who could read" in sentence for sentence in ordinary(attempt))


@needs_root
def test_root_is_refused_the_areas_of_others(area):
    os.chown(area, NOBODY, NOBODY)
    refusal(area, f"belongs to user {NOBODY}, who could read")


def test_an_ordinary_user_is_refused_what_it_may_not_write(ordinary):
    def attempt(directory):
        format_area("a", MIB)
        os.chmod("a", 0o400)
        os.mkdir("closed", 0o500)
        return sentence_of(open_area, "a"), sentence_of(open_area, "closed/a", size=MIB)

    of_file, in_directory = ordinary(attempt)
    assert "is read-only (mode 0400)" in of_file
    assert "permission denied" in in_directory


def test_an_ordinary_user_is_refused_what_it_may_not_see(ordinary):
    def attempt(directory):
        os.mkdir("closed", 0o000)
        return sentence_of(open_area, "closed/a"), sentence_of(open_area, "closed/a", size=MIB)

    assert all("permission denied" in sentence for sentence in ordinary(attempt))


# --- the command -----------------------------------------------------------------------------------------------------


def mkswap(*words):
    return CliRunner().invoke(command.mkswap, list(words))


@pytest.mark.parametrize("size", [44_000, MIB, 1_600_000, 12_345_678])
def test_the_command_prints_what_mkswap_prints(tmp_path, path, size):
    theirs = tmp_path / "theirs"
    with open(theirs, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    theirs.chmod(0o600)
    for options in ([], ["-L", "scratch"]):
        shown = run(tool("mkswap"), "-U", str(UUID), *options, str(theirs))
        done = mkswap(path, "--size", str(size), "-U", str(UUID), *options)
        assert (done.exit_code, done.stdout) == (0, shown)


def test_the_command_prints_json(path):
    done = mkswap(path, "--size", "1M", "--label", "x", "--uuid", str(UUID), "--bad-pages", "7,3", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "path": path, "size": 253 * PAGE, "pages": 255, "label": "x", "uuid": str(UUID), "bad_pages": [3, 7],
    }  # fmt: skip
    open_area(path).close()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--size", "36K"], 1, "fewer than 10 pages"),
        (["--size", "many"], 1, "not a size"),
        ([], 1, "give a size"),
        (["--size", "1M", "--uuid", "x"], 1, "not a UUID"),
        (["--size", "1M", "--bad-pages", "1,x"], 2, "not a list of page numbers"),
        (["--what"], 2, "No such option"),
    ],
)
def test_the_command_fails_with_one_sentence_and_the_codes_of_mkswap(path, words, code, says):
    done = mkswap(path, *words)
    assert done.exit_code == code
    assert says in done.stderr and done.stdout == ""
    assert not os.path.exists(path)


def test_the_command_formats_over_data_only_with_force(path):
    Path(path).write_bytes(b"x" * MIB)
    os.chmod(path, 0o600)
    assert "--force" in mkswap(path).stderr
    assert mkswap(path, "--force").exit_code == 0


def test_progress_is_plain_lines_where_there_is_no_terminal(path, monkeypatch):
    no_fallocate(monkeypatch)
    monkeypatch.setattr("hotswap.cli.shown._EVERY", 0.0)
    done = mkswap(path, "--size", "2M")
    assert done.exit_code == 0
    assert "allocated 1.0 MiB of 2.0 MiB" in done.stderr and "s left" in done.stderr
    assert "\x1b" not in done.output and "allocated" not in done.stdout


def test_progress_is_a_bar_on_a_terminal(path):
    script = "from hotswap.cli.mkswap import mkswap; mkswap()"
    done, shown = on_terminal([sys.executable, "-c", script, path, "--size", "2M"], python_env())
    assert done.returncode == 0 and done.stdout.startswith("Setting up swapspace version 1, size = 2 MiB (2093056 bytes)")
    assert "allocating" in shown and "2.1/2.1 MB" in shown.replace("\xa0", " ") or "2.0/2.0 MiB" in shown
