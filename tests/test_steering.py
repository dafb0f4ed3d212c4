"""Processes are looked at and steered from outside: while they compute, by nobody but their user, and with nothing left behind."""

import contextlib
import errno
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import MIB, PAGE, ROOT, SOURCES, TESTS, eventually, on_terminal

import hotswap
from hotswap import areafile, cli, steering
from hotswap.cli.show import proc_swaps
from hotswap.cli.shown import human
from hotswap.cli.top import picture
from hotswap.control import GUARDS
from hotswap.engine import api
from hotswap.errors import AreaError, SteeringError
from hotswap.lab import twin
from hotswap.lab.native import Compiled
from hotswap.steering import Exit
from hotswap.steering import channel as messages
from hotswap.steering.metrics import text

NOBODY, STRANGER = 65534, 65533
SEED = 20260

START = """
import ctypes, os, re, signal, sys, time
import numpy as np, hotswap
from support import *
directory = sys.argv[1]
libc = ctypes.PyDLL(None)  # calls hold the interpreter's lock

def tell(*words):
    print(*words, flush=True)

def hold():
    "Not a moment for Python until the test says so."
    tell("holding")
    assert libc.read(0, ctypes.create_string_buffer(1), 1) == 1

def make(size="32M", limit="4M", folio="64K", data=16 << 20):
    hotswap.swapon(directory + "/a.swap", size=size, priority=5)
    space = hotswap.Space(limit, folio)
    pages = Pages(space, data)
    return space, pages
"""
ORDINARY = """
space, pages = make()
pages.stamp(0, pages.count, 1)
hold()
pages.check()
tell("checked", sorted(swap.path for swap in hotswap.swaps()), space.limit)
"""


class Job:
    """A process that runs a script beside the test; its lines as they come."""

    def __init__(self, script, *arguments):
        words = [sys.executable, "-c", START + textwrap.dedent(script), *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": f"{SOURCES}{os.pathsep}{TESTS}"}
        self.process = subprocess.Popen(
            words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid

    def line(self, seconds=40):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        said = self.process.stdout.readline() if ready else "(nothing in time)"
        assert said, self.process.stderr.read()
        return said.strip()

    def go_on(self):
        self.process.stdin.write("x")
        self.process.stdin.flush()

    def end(self):
        """Lets it go on to its end, which must be a good one."""
        self.go_on()
        out, err = self.process.communicate(timeout=40)
        assert self.process.returncode == 0, err
        return out.strip()


@pytest.fixture
def job(scratch):
    """``job(script)`` starts one; it is killed at the end if it still runs."""
    started = []

    def start(script=ORDINARY, *arguments):
        started.append(Job(script, *(arguments or [scratch])))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            stream.close()


@pytest.fixture
def holding(job):
    """A job that holds the interpreter's lock in a call of C until it is told to go on, with 12 MiB and more swapped out."""
    one = job()
    assert one.line() == "holding"
    assert eventually(lambda: at_rest(one), 10)
    return one


def at_rest(one):
    """Has reclaim in the background done what it was woken for?"""
    before = looked(one).areas
    time.sleep(0.05)
    return looked(one).areas == before


def command(*words):
    return CliRunner().invoke(cli.main, [str(word) for word in words])


def looked(one, cells=0):
    with steering.connect(one.pid) as channel:
        return steering.look(channel, cells)


def refused(call, *arguments):
    with pytest.raises(SteeringError) as raised:
        call(*arguments)
    assert str(raised.value).endswith(".") and "\n" not in str(raised.value)
    return raised.value.exit_code, str(raised.value)


def names_of(pid):
    return [name for name, _, claimed in messages.names() if claimed == pid]


# --- while it computes -----------------------------------------------------------------------------------------------


def test_figures_are_told_and_on_off_and_limit_act_while_the_program_never_yields_to_python(holding, scratch):
    first, second = str(scratch / "a.swap"), str(scratch / "b.swap")
    look = looked(holding)
    assert (look.pid, look.guard) == (holding.pid, look.guard) and look.guard in GUARDS
    (area,), (space,) = look.areas, look.spaces
    assert (area.path, area.kind, area.priority) == (first, "file", 5) and area.used > 10 * MIB
    assert space.stats["limit_bytes"] == 4 * MIB >= space.stats["resident_bytes"] > MIB
    with steering.connect(holding.pid) as channel:
        on = steering.on(channel, second, "32M", 1)
        assert (on.path, on.priority) == (second, 1) and os.stat(second).st_mode & 0o777 == 0o600
        told = []
        done = steering.off(channel, first, told.append)
        assert done.pages == done.moved + done.loaded and done.moved * PAGE > 10 * MIB
        assert steering.limit(channel, "6M") == (space.number, 6 * MIB)
        assert steering.limit(channel, "3M") == (space.number, 3 * MIB)
    look = looked(holding)
    assert [area.path for area in look.areas] == [second] and look.spaces[0].stats["resident_bytes"] <= 3 * MIB
    areafile.open_area(first).close()  # its lock is free, so its descriptor is closed
    with pytest.raises(AreaError, match="in use"):
        areafile.open_area(second)
    assert holding.end() == f"checked {[second]} {3 * MIB}"


FAULTING = """
space, pages = make()
pages.stamp(0, pages.count, 1)
tell("begins")
re.search(rb"(?s).*never", pages.array)  # one call of C that holds the lock, touches every page, and again, for hours
"""


def test_a_program_that_faults_without_ever_yielding_is_steered_and_its_death_leaves_nothing(job, scratch):
    one = job(FAULTING)
    assert one.line() == "begins"
    second = str(scratch / "b.swap")
    with steering.connect(one.pid) as channel:

        def faults():
            stats = steering.look(channel).spaces[0].stats
            return stats["faults_major"] + stats["faults_minor"]

        for seen in (faults(), faults() + 100):
            assert eventually(lambda seen=seen: faults() > seen, 20)
        steering.on(channel, second, "32M")
        steering.off(channel, str(scratch / "a.swap"))
        assert [area.path for area in steering.look(channel).areas] == [second]
        assert len(names_of(one.pid)) == 1
        one.process.kill()
        assert eventually(lambda: not names_of(one.pid))
        assert refused(steering.look, channel)[0] == Exit.ENDED
        one.process.wait()
    assert refused(steering.connect, one.pid)[0] == Exit.UNKNOWN
    assert sorted(os.listdir(scratch)) == ["a.swap", "b.swap"]
    areafile.open_area(second).close()


UNMODIFIED = """
import ctypes, numpy as np
array, buffer = np.arange(2 << 20), bytearray(b"x") * (8 << 20)
array += 1
print("holding", flush=True)
assert ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1) == 1
print("checked", bool((array == np.arange(1, (2 << 20) + 1)).all()), buffer.count(b"x"))
"""


def test_an_unmodified_program_with_settings_from_a_file_is_steered(job, scratch):
    (scratch / "mine.toml").write_text('[tool.hotswap]\nlimit = "8M"\nswap = ["a.swap:96M,pri=3"]\n')
    words = ["run", "--config", scratch / "mine.toml", "--", sys.executable, "-c", UNMODIFIED]
    one = job(f"import os\nos.execv(sys.executable, [sys.executable, '-m', 'hotswap', *{[str(word) for word in words]!r}])")
    assert one.line() == "holding"
    look = looked(one)
    assert [(area.path, area.priority) for area in look.areas] == [(f"{scratch}/a.swap", 3)] and look.areas[0].used > 8 * MIB
    assert look.spaces[0].stats["limit_bytes"] == 8 * MIB
    assert command("on", one.pid, f"{scratch}/b.swap:96M").exit_code == 0
    assert command("off", one.pid, scratch / "a.swap").exit_code == 0
    assert command("limit", one.pid, "6M").exit_code == 0
    assert one.end() == f"checked True {8 * MIB}"


# --- both doors ------------------------------------------------------------------------------------------------------


def test_what_comes_and_goes_from_outside_is_seen_inside(areas, space, scratch):
    """By swaps(), swapon(), swapoff(), by what arrays are promised, and by descriptors."""
    path, other = str(scratch / "outside"), str(scratch / "0.swap")
    with pytest.raises(hotswap.OutOfSwap):
        space.empty(20 * MIB, "u1")
    with steering.connect(os.getpid()) as channel:
        steering.on(channel, path, "32M", 3)
        assert [(swap.path, swap.priority) for swap in hotswap.swaps()] == [(path, 3)]
        array = space.full(20 * MIB, 7, "u1")
        with pytest.raises(AreaError, match="in use"):
            hotswap.swapon(path)
        with pytest.raises(AreaError, match="in use"):
            steering.on(channel, path)
        areas(1, "32M")
        steering.limit(channel, "5M")
        assert space.limit == 5 * MIB
        hotswap.swapoff(path)  # it came from outside and goes from inside,
        assert refused(steering.off, channel, path)[0] == Exit.NOT_ON
        steering.on(channel, path)
        steering.off(channel, other)  # and the other way round
        with pytest.raises(AreaError, match="is not on"):
            hotswap.swapoff(other)
        assert (array == 7).all()
        del array
        steering.off(channel, path)
    assert hotswap.swaps() == []


def test_a_failed_on_leaves_nothing(areas, space, scratch):
    (path,) = areas()
    os.rename(path, path + ".old")
    with steering.connect(os.getpid()) as channel:
        with pytest.raises(AreaError, match="is on already"):
            steering.on(channel, path, "16M")
        assert not os.path.exists(path)
        with pytest.raises(AreaError, match="symbolic link"):
            os.symlink(path + ".old", path)
            steering.on(channel, path)
    os.unlink(path)
    os.rename(path + ".old", path)


def test_bad_slots_of_an_area_from_outside_stay_unused(areas, space, scratch):
    path = scratch / "bad"
    bad = list(range(3, 253, 2))
    areafile.format_area(path, "1M", badpages=bad)
    with steering.connect(os.getpid()) as channel:
        assert steering.on(channel, str(path)).size == (255 - len(bad)) * PAGE
    hotswap.swapoff(path)


def test_compressed_memory_comes_and_goes_from_outside(holding, scratch):
    assert command("on", holding.pid, "ram:32M,pri=9").exit_code == 0
    assert command("off", holding.pid, scratch / "a.swap").exit_code in (0, Exit.NO_ROOM)  # its memory counts in the limit
    (area,) = [area for area in looked(holding).areas if area.path == "ram:"]
    assert (area.kind, area.priority) == ("ram", 9) and 0 < area.held and area.stored <= area.used
    assert f'hotswap_area_held_bytes{{pid="{holding.pid}",area="ram:",type="ram"}}' in command("metrics", holding.pid).stdout

    def top_agrees():  # while the coldest is written back, the next look is another
        (area,) = [area for area in looked(holding).areas if area.path == "ram:"]
        return f"{human(area.stored)} in {human(area.held)}" in command("top", holding.pid, "--once", "-d", "0.1").stdout

    assert eventually(top_agrees)
    assert command("limit", holding.pid, "64M").exit_code == 0
    assert command("off", holding.pid, "ram:").exit_code == 0
    assert holding.end().startswith("checked")


def test_messages_are_the_same_at_both_ends():
    engine = Compiled().steer
    calls, tells = ("LOOK", "ON", "BAD", "OFF", "CANCEL", "LIMIT"), ("PROCESS", "AREA", "PICTURE", "SPACE", "PROGRESS", "DONE")
    for prefix, names in (("CALL", calls), ("TELL", tells)):
        assert all(getattr(messages, name) == getattr(engine, f"{prefix}_{name}") for name in names)
    assert (messages.VERSION, messages.VALUES) == (engine.STEER_VERSION, engine.VALUES)
    assert messages._MESSAGE.size == 8 * (engine.VALUES + 3) + engine.TEXT_BYTES
    assert 4 + api.COUNTED + len(api.LEVELS) <= messages.VALUES


def test_several_spaces_are_told_apart(areas, space):
    areas()
    with hotswap.Space("8M"), steering.connect(os.getpid()) as channel:
        assert refused(steering.limit, channel, "5M")[0] == Exit.SEVERAL
        numbers = {entry.stats["limit_bytes"]: entry.number for entry in steering.look(channel).spaces}
        assert steering.limit(channel, "5M", numbers[4 * MIB]) == (numbers[4 * MIB], 5 * MIB)
        assert refused(steering.limit, channel, "5M", 63)[0] == Exit.NOT_ON
    assert space.limit == 5 * MIB


# --- interruption and conflict ---------------------------------------------------------------------------------------

SLUGGISH = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>
#define SLOWLY(name) \\
    ssize_t name(int fd, const struct iovec *v, int n, off_t at) { \\
        if (!access(getenv("SLOWLY"), F_OK)) usleep(60000); \\
        return ((ssize_t (*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, #name))(fd, v, n, at); }
SLOWLY(preadv) SLOWLY(preadv64) SLOWLY(pwritev) SLOWLY(pwritev64)
"""
TWO_AREAS = """
space, pages = make("32M", "4M", "64K", 24 << 20)
pages.stamp(0, pages.count, 1)
hotswap.swapon(directory + "/b.swap", size="32M", priority=1)
hold()
os.unlink(os.environ["SLOWLY"])
pages.check()
tell("checked", len(hotswap.swaps()))
"""


@pytest.fixture
def slow(job, scratch, monkeypatch):
    """A job with two areas whose disk takes 60 ms for each transfer: emptying one takes a second."""
    source, library, flag = scratch / "slow.c", scratch / "slow.so", scratch / "slowly"
    source.write_text(SLUGGISH)
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    monkeypatch.setenv("SLOWLY", str(flag))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    one = job(TWO_AREAS)
    monkeypatch.delenv("LD_PRELOAD")
    assert one.line() == "holding"
    flag.touch()
    return one


class Told(BaseException):
    """A test has seen what it waited for."""


def used_of(one, path):
    return next(area.used for area in looked(one).areas if area.path == path)


def test_a_caller_who_hangs_up_has_cancelled_his_swapoff(slow, scratch):
    path = str(scratch / "a.swap")
    before = used_of(slow, path)

    def hang_up(far):
        raise Told

    with steering.connect(slow.pid) as channel, pytest.raises(Told):
        steering.off(channel, path, hang_up)

    def active():
        return next(area for area in looked(slow).areas if area.path == path).flags.startswith("active")

    assert eventually(active, 20)
    assert 0 < used_of(slow, path) < before
    assert slow.end() == "checked 2"


def test_two_swapoffs_of_an_area_conflict_and_ctrl_c_ends_the_first_with_the_area_in_use(slow, scratch):
    path = str(scratch / "a.swap")
    words = [sys.executable, "-m", "hotswap", "off", str(slow.pid), path]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with (
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first,
        steering.connect(slow.pid) as channel,
    ):
        assert eventually(lambda: steering.look(channel).areas[0].flags.startswith("emptying"), 20)
        code, sentence = refused(steering.off, channel, path)
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=20)
    assert (code, "being switched off already" in sentence) == (Exit.BUSY, True)
    assert (first.returncode, out) == (Exit.INTERRUPTED, "")
    assert "it was cancelled with" in err and "the area stays on, as usable as before." in err
    assert slow.end() == "checked 2"


def test_off_shows_a_bar_on_a_terminal_and_a_sentence_elsewhere(slow, scratch):
    words = [sys.executable, "-m", "hotswap", "off", str(slow.pid), str(scratch / "a.swap")]
    done, shown = on_terminal(words, {**os.environ, "PYTHONPATH": str(SOURCES)})
    assert done.returncode == 0 and "emptying" in shown and "MB" in shown
    assert re.fullmatch(r".*a\.swap is off: .* moved to other areas, .* kept in memory, in .* s \(.*/s\)\n", done.stdout)
    assert slow.end() == "checked 1"


def test_off_prints_lines_with_rate_and_time_left_where_there_is_no_terminal(slow, scratch, monkeypatch):
    monkeypatch.setattr("hotswap.cli.shown._EVERY", 0.0)
    done = command("off", slow.pid, scratch / "a.swap")
    assert done.exit_code == 0 and "\x1b" not in done.output
    lines = done.stderr.splitlines()
    assert len(lines) > 2 and all(re.fullmatch(r"emptied .*B of .*B, .*B/s, \d+ s left", line) for line in lines)
    assert slow.end() == "checked 1"


def test_an_area_whose_data_fits_nowhere_stays_on(holding, scratch):
    done = command("off", holding.pid, scratch / "a.swap")
    assert done.exit_code == Exit.NO_ROOM and "fit neither in the other areas nor in memory" in done.stderr
    done = command("limit", holding.pid, "64M")
    assert (done.exit_code, done.stdout) == (0, f"the limit of process {holding.pid} is 64 MiB\n")
    done = command("off", "--json", holding.pid, scratch / "a.swap")
    assert done.exit_code == 0 and json.loads(done.stdout)["loaded_bytes"] > 10 * MIB
    assert command("limit", holding.pid, "4M").exit_code == Exit.LIMIT_NOT_REACHED
    assert holding.end() == f"checked [] {64 * MIB}"


# --- bad input -------------------------------------------------------------------------------------------------------


def test_each_refusal_has_a_sentence_and_an_exit_code_of_its_own(holding, scratch):
    pid = holding.pid
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert command("show", other.pid).exit_code == Exit.NOT_HOTSWAP
        other.stdin.close()
        assert eventually(lambda: Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2][1] == "Z")
        assert command("show", other.pid).exit_code == Exit.ENDED  # and was not waited for
    wanted = {
        ("show", 1 << 22): (Exit.UNKNOWN, "there is no process 4194304"),
        ("off", pid, scratch / "x"): (Exit.NOT_ON, f"x is not on in process {pid}"),
        ("limit", pid, "2M"): (Exit.LIMIT_TOO_LOW, "staging frames and faults need 3.0 MiB now"),
        ("limit", pid, "0.5K"): (Exit.LIMIT_TOO_LOW, "refused"),
        ("limit", pid, "5M", "--space", 9): (Exit.NOT_ON, "no address space 9"),
        ("limit", pid, "much"): (1, "limit 'much' is not a size"),
        ("on", pid, scratch / "new"): (1, "new does not exist; give a size to make it"),
        ("on", pid, f"{scratch}/new:1K"): (1, "fewer than 10 pages"),
        ("on", pid, f"{scratch}/new:1M,pri=x"): (1, "priority 'x'"),
        ("on", pid, scratch / "a.swap"): (1, "already in use"),
        ("off", pid): (Exit.USAGE, "Missing argument 'FILE'"),
        ("top", "me"): (Exit.USAGE, "is not a valid integer"),
        ("metrics", "--listen", "x"): (Exit.USAGE, "is not an address"),
        ("metrics", "--every", "3"): (Exit.USAGE, "belongs to --output"),
    }
    for words, (code, said) in wanted.items():
        done = command(*words)
        assert (done.exit_code, said in done.stderr, done.stdout) == (code, True, ""), (words, done.stderr)
    assert not (scratch / "new").exists()
    assert holding.end().startswith("checked")


def test_a_limit_below_what_is_pinned_is_refused(areas, space):
    areas()
    array = space.empty(MIB, "u1")
    with space.resident(array), steering.connect(os.getpid()) as channel:
        code, sentence = refused(steering.limit, channel, "1M")
        assert code == Exit.LIMIT_TOO_LOW and "need 1.4 MiB now" in sentence
    del array
    with steering.connect(os.getpid()) as channel:
        assert steering.limit(channel, "1M")[1] == MIB


def test_a_stopped_process_is_told_from_one_that_ended(holding, monkeypatch):
    monkeypatch.setattr(messages, "PATIENCE", 0.3)
    os.kill(holding.pid, signal.SIGSTOP)
    try:
        assert command("show", holding.pid).exit_code == Exit.NO_ANSWER
        done = command("ps")
        assert done.exit_code == 0 and "does not answer; it may be stopped" in done.stderr
    finally:
        os.kill(holding.pid, signal.SIGCONT)
    assert holding.end().startswith("checked")


def test_percentages_are_of_what_the_steered_process_may_have(holding, monkeypatch):
    asked = []
    monkeypatch.setattr(steering.machine, "memory", lambda group: asked.append(group) or 400 * MIB)
    assert command("limit", holding.pid, "1.5%").exit_code == 0
    assert asked == [Path(f"/proc/{holding.pid}/cgroup").read_text().strip()]
    assert looked(holding).spaces[0].stats["limit_bytes"] == 6 * MIB


# --- who may ---------------------------------------------------------------------------------------------------------

AS_NOBODY = """
import hotswap.steering, hotswap.cli, hotswap.cli.top, hotswap.cli.ps, hotswap.cli.on, hotswap.cli.off, hotswap.cli.limit, hotswap.cli.show
import hotswap.cli.metrics, difflib, encodings.idna, rich.live, json, socket  # before they may not be readable any more

def be_nobody():
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    os.chdir(directory)
    libc.prctl(4, 1, 0, 0, 0)  # dumpable again: /proc/self is its own

def command(*words):
    "Its exit code."
    try:
        hotswap.cli.main([str(word) for word in words], standalone_mode=True)
    except SystemExit as end:
        return end.code
"""
ALONE = (
    AS_NOBODY
    + """
ready, begun = os.pipe()
if os.fork() == 0:  # commands come from here: from another process of the same user
    be_nobody()
    pid, line = os.getppid(), os.read(ready, 1)
    codes = [command("ps"), command("show", pid), command("on", pid, "b.swap:32M"), command("off", pid, "a.swap")]
    codes += [command("limit", pid, "6M"), command("top", pid, "--once", "-d", "0.1"), command("metrics", pid)]
    print("codes", codes, os.stat("b.swap").st_uid, flush=True)
    os._exit(0)
be_nobody()
space, pages = make()
pages.stamp(0, pages.count, 1)
os.write(begun, b"x")
assert os.wait()[1] == 0
pages.check()
tell("checked", sorted(swap.path for swap in hotswap.swaps()), space.limit)
"""
)
THEIRS = (
    AS_NOBODY
    + """
be_nobody()
pid = int(sys.argv[2])
tell("code", command("show", pid))
line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
line.settimeout(20)
line.connect(f"\\0hotswap-0-{pid}")  # whoever knows the name may knock,
try:
    line.send(b"x" * 100)
    tell("heard", line.recv(10000))  # and is not heard
except ConnectionError:
    tell("heard", b"")
"""
)
NOBODYS = (
    AS_NOBODY
    + """
be_nobody()
"""
    + ORDINARY
)


@pytest.mark.skipif(not ROOT, reason="needs root, to become nobody")
def test_nobody_steers_processes_of_nobody(job, scratch):
    scratch.chmod(0o755)
    own = scratch / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    out = job(ALONE, own).process.communicate(timeout=40)
    assert f"codes {[0] * 7} {NOBODY}" in out[0], out
    assert out[0].endswith(f"checked ['{own}/b.swap'] {6 * MIB}\n"), out


@pytest.mark.skipif(not ROOT, reason="needs root, to become nobody")
def test_a_process_of_another_user_is_refused_by_both_ends(holding, job, scratch):
    scratch.chmod(0o755)
    out, err = job(THEIRS, scratch, holding.pid).process.communicate(timeout=40)
    assert out == f"code {int(Exit.NOT_OURS)}\nheard b''\n", (out, err)
    assert f"Error: process {holding.pid} belongs to root, not to you" in err


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_root_steers_everybody_and_opens_areas_as_their_user(job, scratch):
    scratch.chmod(0o755)
    own = scratch / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    one = job(NOBODYS, own)
    assert one.line() == "holding"
    assert command("on", one.pid, f"{own}/b.swap:32M").exit_code == 0
    assert (own / "b.swap").stat().st_uid == NOBODY and os.geteuid() == 0
    assert command("on", one.pid, f"{scratch}/roots:1M").exit_code == 1  # where nobody may not write
    assert command("off", one.pid, own / "a.swap").exit_code == 0
    assert one.end() == f"checked ['{own}/b.swap'] {4 * MIB}"


def test_a_name_that_somebody_else_has_is_no_hindrance_and_deceives_nobody(job, scratch):
    one = job("""
        tell("waits")
        libc.read(0, ctypes.create_string_buffer(1), 1)
        space, pages = make()
        hold()
        """)
    assert one.line() == "waits"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as squatter,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as pretender,
    ):
        squatter.bind(f"\0hotswap-{os.geteuid()}-{one.pid}")
        squatter.listen()
        pretender.bind(f"\0hotswap-{STRANGER}-{one.pid}")  # of a user who is not ours
        pretender.listen()
        one.go_on()
        assert one.line() == "holding"
        assert looked(one).pid == one.pid
        assert messages.call(f"@hotswap-{STRANGER}-{one.pid}", STRANGER) is None
        assert one.pid in steering.processes()


# --- fork, exec, many callers, nonsense ------------------------------------------------------------------------------


def test_a_forked_child_answers_for_itself_and_not_for_its_parent(job):
    """Python's child has a door of its own, one of C's has none; the parent's goes with the parent."""
    one = job("""
        space, pages = make()
        first = os.fork()
        if first == 0:
            assert len(hotswap.swaps()) == 1
            signal.pause()
        second = libc.fork()
        if second == 0:
            libc.pause()
        tell(first, second)
        libc.read(0, ctypes.create_string_buffer(1), 1)
        """)
    children = [int(word) for word in one.line().split()]
    try:
        assert looked(one).pid == one.pid
        with steering.connect(children[0]) as line:
            assert steering.look(line).pid == children[0]
        assert refused(steering.connect, children[1])[0] == Exit.NOT_HOTSWAP
        one.process.kill()
        one.process.wait()
        assert eventually(lambda: not names_of(one.pid))
        assert all(Path(f"/proc/{child}").exists() for child in children)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)


def test_after_exec_nobody_answers(job):
    one = job("""
        space, pages = make()
        tell("made")
        libc.read(0, ctypes.create_string_buffer(1), 1)
        os.execv("/bin/sleep", ["sleep", "30"])
        """)
    assert one.line() == "made"
    assert names_of(one.pid)
    one.go_on()
    assert eventually(lambda: not names_of(one.pid))
    assert refused(steering.connect, one.pid)[0] == Exit.NOT_HOTSWAP


def test_callers_beyond_those_there_is_room_for_are_told_so_and_seats_come_free(holding):
    lines = []

    def seated():  # somebody before may not have left yet
        line = steering.connect(holding.pid)
        try:
            assert steering.look(line).pid == holding.pid
        except SteeringError:
            line.__exit__()
            return False
        lines.append(line)
        return True

    assert all(eventually(seated) for _ in range(16))
    with steering.connect(holding.pid) as late:
        code, sentence = refused(steering.look, late)
        assert code == Exit.NO_ANSWER and "too many callers" in sentence
    for line in lines:
        line.__exit__()

    def room():
        try:
            return looked(holding).pid == holding.pid
        except SteeringError:
            return False

    assert eventually(room)
    assert holding.end().startswith("checked")


def test_nonsense_is_refused_and_does_no_harm(holding):
    print("seed", SEED)
    draw = random.Random(SEED)
    null = os.open("/dev/null", os.O_RDONLY)
    for _round in range(60):
        with steering.connect(holding.pid) as channel:
            kind, length = draw.choice([0, 1, 2, 3, 4, 6, 7, 99, -1]), draw.choice([0, 5, 4096, -1, 1 << 40])
            values = [draw.choice([-1, 0, 1, 5, 1 << 33, -(1 << 62)]) for _ in range(48)]
            if kind == messages.ON:
                values[0] = draw.choice([-1, 0, 1, 1 << 33])  # else it could be an area of compressed memory
            if kind == messages.LIMIT:
                values[1] = draw.choice([-1, 0, -(1 << 62)])
            packed = messages._MESSAGE.pack(kind, draw.choice([1, 1, 1, 2]), *values, length, draw.randbytes(4096))
            packed = packed[: draw.choice([0, 7, len(packed), len(packed), len(packed)])]
            passed = [null] * draw.choice([0, 0, 1, 1, 2, 3])
            socket.send_fds(channel._line, [packed], passed)
            channel._line.settimeout(0.05)  # a call for bad slots that never come would be waited for
            try:
                answer = channel._line.recv(10000)
                assert not answer or messages._MESSAGE.unpack(answer)[0] >= messages.PROCESS
            except OSError:
                pass
    os.close(null)
    look = looked(holding)
    assert len(look.areas) == 1 and look.spaces[0].stats["limit_bytes"] == 4 * MIB

    def nulls():
        found = []
        for fd in Path(f"/proc/{holding.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed by now
                if os.readlink(fd) == "/dev/null":
                    found.append(fd)
        return found

    assert eventually(lambda: not nulls(), 20)
    assert holding.end().startswith("checked")


def test_looks_and_changes_from_many_sides_do_not_disturb_each_other(job, scratch):
    """Callers look all the time while areas go off and on from outside and from inside."""
    one = job("""
        space, pages = make()
        for name in "bc":  # c stays: what the others hold always has a place
            hotswap.swapon(f"{directory}/{name}.swap", size="32M")
        crew = Crew()
        tell("works")
        crew.start(toucher(pages, 0, pages.count, np.random.default_rng(5)))
        crew.start(flipper([directory + "/b.swap"]))
        crew.work(1.5, 5)
        pages.check()
        tell("checked")
        hold()
        """)
    assert one.line() == "works"
    stop, counts = threading.Event(), [0, 0]

    def watch():
        while not stop.is_set():
            look = looked(one, 100)
            assert {area.path.rpartition("/")[2] for area in look.areas} <= {"a.swap", "b.swap", "c.swap"}
            counts[0] += 1

    def flip():
        while not stop.is_set():
            with steering.connect(one.pid) as channel:
                steering.off(channel, str(scratch / "a.swap"))
                steering.on(channel, str(scratch / "a.swap"), priority=5)
            counts[1] += 1

    failures = []

    def guarded(work):
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (watch, watch, flip)]
    for thread in threads:
        thread.start()
    said = one.line(30)
    stop.set()
    for thread in threads:
        thread.join()
    assert said == "checked" and failures == []
    assert min(counts) >= 3, counts


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_show_has_the_columns_of_swapon_and_of_proc_swaps(holding, scratch):
    path = f"{scratch}/a.swap"
    (area,) = looked(holding).areas
    shown = command("show", holding.pid).stdout.splitlines()
    assert shown[0].split() == ["NAME", "TYPE", "SIZE", "USED", "PRIO"]
    assert shown[1].split()[:3] == [path, "file", "32M"] and shown[1].split()[4] == "5"
    exact = command("show", holding.pid, "--bytes", "--noheadings").stdout.split()
    assert exact == [path, "file", str(area.size), str(area.used), "5"]
    lines = command("show", "-s", holding.pid).stdout.splitlines(keepends=True)
    assert lines[0] == Path("/proc/swaps").read_text().splitlines(keepends=True)[0]
    assert lines[1].split() == [path, "file", str(area.size >> 10), str(area.used >> 10), "5"]
    told = json.loads(command("show", holding.pid, "--json").stdout)
    assert told["areas"] == [area._asdict()]
    assert told["spaces"][0]["limit_bytes"] == 4 * MIB and told["spaces"][0]["least_limit_bytes"] == 3 * MIB
    assert "\\040" in proc_swaps([area._replace(path="a b")])[1]


def test_ps_lists_processes_with_what_they_use(holding):
    lines = command("ps").stdout.splitlines()
    assert lines[0].split() == ["PID", "USER", "RESIDENT", "LIMIT", "USED", "SWAP", "AREAS", "COMMAND"]
    mine = next(line.split() for line in lines if line.split()[0] == str(holding.pid))
    assert (mine[3], mine[5], mine[6]) == ("4M", "32M", "1")
    assert holding.pid in [entry["pid"] for entry in json.loads(command("ps", "--json").stdout)]


def test_top_once_tells_rates_hit_rates_and_a_map(holding):
    told = json.loads(command("top", holding.pid, "--once", "--json", "-d", "0.1").stdout)
    (area,), (space,) = told["areas"], told["spaces"]
    full = sum(cell for cell in area["map"]) / 255 / len(area["map"])
    assert len(area["map"]) == 64 and full == pytest.approx(area["used"] / area["size"], abs=0.05)
    assert 0.05 < told["seconds"] < 30 and space["rates"]["faults_major"] == 0
    assert set(space["hit_rates"]) == {"cache", "readahead"}
    lines = command("top", holding.pid, "--once", "-d", "0.1").stdout.splitlines()
    assert lines[0].startswith(f"process {holding.pid}, ")
    assert re.match(r"space 0 {2}\[#{20,}\.*\] .* of 4 MiB resident", lines[1])
    assert [line.split()[0] for line in lines[2:5]] == ["faults/s", "moved/s", "hits"]
    assert lines[6] == f"  |{picture(bytes(area['map']))}|"
    assert picture(bytes([0, 1, 128, 254, 255])) == " ▁▅█" + "█"


def test_top_is_a_screen_on_a_terminal_until_ctrl_c(holding):
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        environment = {**os.environ, "PYTHONPATH": str(SOURCES), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        os.execve(sys.executable, [sys.executable, "-m", "hotswap", "top", str(holding.pid), "-d", "0.1"], environment)
    shown = b""
    until = time.monotonic() + 30
    while shown.count(b"faults/s") < 3 and time.monotonic() < until:
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536)
    os.write(terminal, b"\x03")
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass  # the terminal's other side is closed
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == Exit.INTERRUPTED
    assert b"a.swap" in shown and b"resident" in shown and shown.count(b"faults/s") >= 3
    assert holding.end().startswith("checked")


SAMPLE = re.compile(r'hotswap_[a-z_]+\{[a-z]+="(?:[^"\\]|\\.)*"(?:,[a-z]+="(?:[^"\\]|\\.)*")*\} [0-9.e+-]+')


def test_metrics_are_in_the_format_of_prometheus(holding, scratch):
    lines = command("metrics", holding.pid).stdout.splitlines()
    kinds = {}
    for line in lines:
        if line.startswith("# TYPE"):
            kinds[line.split()[2]] = line.split()[3]
        elif not line.startswith("# HELP"):
            assert SAMPLE.fullmatch(line) and line.partition("{")[0] in kinds, line
    assert all((kind == "counter") == name.endswith("_total") for name, kind in kinds.items())
    assert f'hotswap_limit_bytes{{pid="{holding.pid}",space="0"}} {4 * MIB}' in lines
    look = looked(holding)
    odd = look._replace(areas=[look.areas[0]._replace(path='a"b\\c\nd')])
    assert 'area="a\\"b\\\\c\\nd"' in text([odd])
    output = scratch / "hotswap.prom"
    assert command("metrics", holding.pid, "--output", output).exit_code == 0
    assert len(output.read_text().splitlines()) == len(lines) and not list(scratch.glob(".hotswap.prom*"))


def test_metrics_are_served_until_the_process_ends(holding):
    import urllib.error
    import urllib.request

    words = [sys.executable, "-m", "hotswap", "metrics", str(holding.pid), "--listen", "0"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            address = server.stderr.readline().split()[1].rstrip(",")
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(address, timeout=20) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                assert f'hotswap_resident_bytes{{pid="{holding.pid}"' in answer.read().decode()
            holding.end()
            with pytest.raises(urllib.error.HTTPError) as gone:
                opener.open(address, timeout=20)
            assert gone.value.code == 503 and b"there is no process" in gone.value.read()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)
    assert server.returncode == Exit.INTERRUPTED


def test_the_pages_of_the_documentation_name_every_exit_code():
    page = (TESTS.parent / "docs/steering.md").read_text()
    told = dict(re.findall(r"^\| (\d+) \| `?(\w+)`? \|", page, re.MULTILINE))
    assert {int(code): name for code, name in told.items() if int(code) > 1} == {code.value: code.name for code in Exit}


# --- the same source on the lab's seam -------------------------------------------------------------------------------


def test_the_server_answers_on_the_labs_seam():
    lab = twin.load(["steer"])
    fd = lab.seam.disk_file(600 << 12)
    version = lab.steer.STEER_VERSION

    def call(*said):
        caller = lab.seam.calls([{"version": version, **one} if isinstance(one, dict) else one for one in said])
        seat = lab.steer.seat_take()
        lab.steer.callers[seat].fd = lab.seam.channel_accept(0)
        lab.steer.serve_main(seat)
        lab.steer.callers[seat].busy.v = 0
        return [(answer["kind"], answer["value"][0], bytes(answer["text"])) for answer in lab.seam.answers[caller]]

    done = lab.steer.TELL_DONE
    on = {"kind": lab.steer.CALL_ON, "version": version, "value": [600, 7, 2, 2], "text": b"name"}
    assert call((on, fd), {"kind": lab.steer.CALL_BAD, "value": [5, 8]})[0] == (done, 0, b"")
    assert call((on, fd), {"kind": lab.steer.CALL_LOOK})[0] == (done, -errno.EBUSY, b"name")
    lab.swap_map.swapcache_free(lab.swap_map.swap_alloc(0, 0, 4) >> 16, 4)
    told = call({"kind": lab.steer.CALL_LOOK, "value": [4]})
    assert [kind for kind, _, _ in told] == [lab.steer.TELL_PROCESS, lab.steer.TELL_AREA, lab.steer.TELL_PICTURE, done]
    assert told[1][2] == b"name" and told[2][2] == bytes([0, 0, 0, 1 + 4 * 254 // 150])
    assert call({"kind": lab.steer.CALL_OFF, "text": b"other"}) == [(done, -errno.EINVAL, b"other")]
    assert call({"kind": lab.steer.CALL_LIMIT, "value": [-1, 500]}) == [(done, -errno.ENOENT, b"")]
    assert call({"kind": lab.steer.CALL_LOOK, "version": version + 1})[0][:2] == (done, -errno.EPROTO)
    assert call((dict(on, text=b"second", value=[0, 0, 0, 0]), fd))[0][:2] == (done, -errno.EINVAL)
