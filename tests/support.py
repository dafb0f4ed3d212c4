"""What the tests share: a watchdog that shows every stack of a hang, children that run a script, pages that know what they
hold, and areas that go off and on while others work.

The watchdog is a process of its own, started before any test: a hang may hold the interpreter's lock, so nothing inside the
hung process can be trusted to speak. Run as a script, this file is that process.
"""

import contextlib
import gc
import os
import pty
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SOURCES = TESTS.parent / "src"
ROOT = os.geteuid() == 0
MIB = 1 << 20
PAGE = 4096
WORDS = PAGE // 8
sys.setswitchinterval(0.0005)  # ten times as often as usual: more interleavings, and no thread waits long for its turn


# --- hangs -----------------------------------------------------------------------------------------------------------


def native_stacks(pid, *, seconds=60):
    """Every thread's native stack as gdb sees it; a sentence where gdb is missing or not allowed."""
    gdb = shutil.which("gdb")
    if gdb is None:
        return "gdb is not installed: no native stacks"
    words = [gdb, "-p", str(pid), "-batch", "-nx", "-ex", "set pagination off", "-ex", "thread apply all bt 24"]
    environment = {**os.environ, "DEBUGINFOD_URLS": ""}
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        return f"gdb said nothing in {seconds} s"
    if "Thread " not in done.stdout:
        return f"gdb could not attach: {done.stderr.strip() or done.stdout.strip()}"
    return done.stdout[done.stdout.index("Thread ") :]


def group_stacks(group):
    """The same of every process of a group: a script's own, and those that it forked."""
    said = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            name, _, fields = stat.read_text().rpartition(")")
            if int(fields.split()[2]) == group:
                said.append(f"--- {name})\n{native_stacks(int(stat.parent.name))}")
    return "\n".join(said)


class Watchdog:
    """Kills this process when a test takes longer than it may, after all its stacks were written to ``stderr``."""

    def __init__(self, stderr):
        words = [sys.executable, str(Path(__file__)), "--watch", str(os.getpid())]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=stderr, stderr=stderr, start_new_session=True)

    def arm(self, seconds, name):
        self._tell(f"{seconds} {name}\n")

    def disarm(self):
        self._tell("\n")

    def close(self):
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line):
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()


def watch(pid, commands=0):
    """The watchdog's own life: a line arms it (seconds and a name) or disarms it (empty); the end of input ends it."""
    import select

    until, name, pending = None, "", b""
    while True:
        wait = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([commands], [], [], wait)[0]:
            break
        got = os.read(commands, 4096)
        if not got:
            return
        *lines, pending = (pending + got).split(b"\n")
        if lines:
            seconds, _, name = lines[-1].decode().partition(" ")
            until = time.monotonic() + float(seconds) if seconds else None
    say(f"\n\nWATCHDOG: {name} is not over in time. The stacks of process {pid}; then it is killed, and the run has FAILED.\n")
    # The handler of faulthandler is C and needs no lock, so it speaks for a process whose interpreter is stuck.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGUSR2)
        time.sleep(1)
        say(f"\n{native_stacks(pid)}\nWATCHDOG: {name} is not over in time: killed.\n")
        os.kill(pid, signal.SIGKILL)


def say(text):
    os.write(2, text.encode())


# --- children --------------------------------------------------------------------------------------------------------


class Outcome:
    """How a child ended: its exit code (negative: the signal), and what it wrote."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def run_python(script, *arguments, timeout=30, env=None, hangs=False, **options):
    """Runs a script in a child that can import hotswap and this module; its ``Outcome``.

    A child that is not over in time is an error that carries all its stacks and those of what it forked, or where the test expects it
    ``None``. It is a process group of its own, which goes with it.
    """
    if not options.get("start_new_session"):
        options["process_group"] = 0
    environment = {**os.environ, "PYTHONPATH": f"{SOURCES}{os.pathsep}{TESTS}", **(env or {})}
    words = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    child = subprocess.Popen(
        words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        stacks = "" if hangs else group_stacks(child.pid)
        os.killpg(child.pid, signal.SIGKILL)  # whoever is left of it has the ends of the pipes
        out, err = child.communicate()
        if hangs:
            return None
        raise AssertionError(
            f"the child is not over after {timeout} s\n{Outcome(child.returncode, out, err)}\n{stacks}"
        ) from None
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    return Outcome(child.returncode, out, err)


def passes(script, *arguments, **options):
    """The same for a script that checks things itself: its exit code must be 0. What it printed."""
    outcome = run_python(script, *arguments, **options)
    assert outcome.code == 0, outcome
    return outcome.out


# --- what must not stay behind ---------------------------------------------------------------------------------------


def engine_threads():
    """Names of the engine's threads that live, without those that serve commands and other processes: they stay to the end."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            name = Path(f"/proc/self/task/{task}/comm").read_text().strip()
            if name.startswith("hotswap") and name not in ("hotswap-steer", "hotswap-family"):
                found.append(name)
    return sorted(found)


def descriptors():
    """What this process has open: number and name each."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


def eventually(holds, seconds=5.0):
    """Whether it comes true in time; for what the kernel does a moment after the call that asked for it."""
    until = time.monotonic() + seconds
    while not (result := holds()):
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return result


def on_terminal(words, environment):
    """Runs a command whose standard error is a terminal; what came of it, with what it printed elsewhere, and what the terminal was sent."""
    terminal, side = pty.openpty()
    sent = []

    def read():
        # A read gives as much as the terminal holds, 4 KiB at most; once nobody has the other side open it fails.
        with contextlib.suppress(OSError):
            while part := os.read(terminal, 65536):
                sent.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        done = subprocess.run(
            words,
            env={**environment, "TERM": "xterm"},
            stdout=subprocess.PIPE,
            stderr=side,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(side)
        reader.join()
        os.close(terminal)
    return done, b"".join(sent).decode()


def settled(space):
    """Has reclaim in the background done what it wanted to? Until then it may write to any area that goes on."""
    before = space.stats()["pages_out"]
    time.sleep(0.1)
    return space.stats()["pages_out"] == before


def used(path=None):
    """Bytes in use in one area, or in all that are on."""
    import hotswap

    return sum(swap.used for swap in hotswap.swaps() if path is None or swap.path == str(path))


def rss_anon(pid="self"):
    """The kernel's own figure for a process's anonymous memory, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc")


def give_everything_back():
    """After a test that failed half way: areas off as far as they go, so that the next test does not fail for this one's sake."""
    import hotswap

    gc.collect()
    for swap in hotswap.swaps():
        with contextlib.suppress(Exception):
            hotswap.swapoff(swap.path)


# --- pages that know what they hold ----------------------------------------------------------------------------------

_MIX = 0x9E3779B97F4A7C15
_RAMP = None


def pattern(numbers, generations):
    """The words of pages, each by its number and generation: no two alike, none filled with one value. Shape (pages, 512)."""
    import numpy as np

    global _RAMP
    if _RAMP is None:
        _RAMP = np.arange(WORDS, dtype="u8") * np.uint64(0xD1B54A32D192ED03)
    seeds = (np.asarray(numbers, "u8") << np.uint64(32) | np.asarray(generations, "u8")) * np.uint64(_MIX)
    return seeds[:, None] + _RAMP[None, :]


class Pages:
    """An array as pages that are stamped with (number, generation) and checked on each look, as stress-ng does.

    Pages that were never stamped must read as zeros. A page is one thread's at a time: callers part them among themselves.
    """

    def __init__(self, space, nbytes, name=0, **options):
        import numpy as np

        self.array = space.empty(nbytes, "u1", **options)
        self.words = self.array.view("u8").reshape(-1, WORDS)
        self.count = len(self.words)
        self.generation = np.zeros(self.count, "u8")
        self.name = name << 24

    def stamp(self, first, count, generation):
        import numpy as np

        numbers = np.arange(first, first + count)
        self.words[first : first + count] = pattern(numbers + self.name, np.full(count, generation))
        self.generation[first : first + count] = generation

    def check(self, first=0, count=None):
        """Compares a range with what was last written there; a difference is an AssertionError that names the page."""
        import numpy as np

        end = self.count if count is None else min(first + count, self.count)
        for start in range(first, end, 256):
            stop = min(start + 256, end)
            got = self.words[start:stop]
            want = pattern(np.arange(start, stop) + self.name, self.generation[start:stop])
            want[self.generation[start:stop] == 0] = 0
            if not np.array_equal(got, want):
                page = start + int(np.flatnonzero((got != want).any(axis=1))[0])
                wrong = np.flatnonzero(self.words[page] != want[page - start])
                raise AssertionError(
                    f"page {page} of generation {self.generation[page]}: {len(wrong)} words differ, the first at {wrong[0]}: "
                    f"{self.words[page][wrong[0]]:#x}, not {want[page - start][wrong[0]]:#x} (a second look)"
                )


class Crew:
    """Threads that work until told to stop; what one of them raises is raised by ``join``."""

    def __init__(self):
        self.stop = threading.Event()
        self.failure = None
        self.rounds = {}
        self._threads = []

    def start(self, work, *arguments, name=None):
        """``work(*arguments)`` again and again; ``rounds[name]`` counts how often."""
        name = name or f"{work.__name__}-{len(self._threads)}"
        self.rounds[name] = 0

        def run():
            try:
                while not self.stop.is_set():
                    work(*arguments)
                    self.rounds[name] += 1
            except BaseException as error:
                if self.failure is None:
                    self.failure = error
                self.stop.set()

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return name

    def steps(self):
        """How many steps all of them have made."""
        return sum(self.rounds.values())

    def work(self, seconds, each=0):
        """Lets them work for a while, or until one fails; on a busy machine longer, until each has made so many rounds."""
        self.stop.wait(seconds)
        late = time.monotonic() + 20
        while min(self.rounds.values()) < each and time.monotonic() < late and not self.stop.wait(0.05):
            pass
        self.join()
        assert min(self.rounds.values()) >= each, self.rounds

    def join(self):
        self.stop.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        if self.failure is not None:
            raise self.failure


def toucher(pages, first, count, random, length=32):
    """A step of work for a Crew: checks a stretch of ``pages`` within its own range and, half of the time, stamps it anew."""

    def touch():
        many = int(random.integers(1, min(length, count) + 1))
        start = first + int(random.integers(0, count - many + 1))
        pages.check(start, many)
        if random.random() < 0.5:
            pages.stamp(start, many, int(pages.generation[start : start + many].max()) + 1)

    return touch


def flipper(paths):
    """A step of work for a Crew: switches the next of the areas off and on again."""
    import hotswap

    turn = iter(range(1 << 60))

    def flip():
        path = paths[next(turn) % len(paths)]
        hotswap.swapoff(path)
        hotswap.swapon(path)

    return flip


if __name__ == "__main__" and sys.argv[1:2] == ["--watch"]:
    watch(int(sys.argv[2]))


def searched(machine, strategy):
    """What the first schedule of the race lab's finds that ends badly, or None; and how many were tried."""
    tried = 0
    while strategy.begin():
        outcome = machine.run(strategy)
        strategy.ended(machine, outcome)
        tried += 1
        if outcome.finding:
            return outcome.finding, tried
    return None, tried
