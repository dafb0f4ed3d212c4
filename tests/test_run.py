"""``hotswap run``: a program that knows nothing of hotswap. Each test is a process of its own, compared with what it does without."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support import SOURCES, TESTS, Outcome

from hotswap.__main__ import _OPTIONS, run_words
from hotswap.cli.run import run as command
from hotswap.config import AreaSpec
from hotswap.run import exits, launch, plan

RUN = [sys.executable, "-m", "hotswap", "run"]

# What the scripts below know: whether memory is swappable, and a way to have all that is older written out.
HELP = """
import ctypes, errno, os, sys
import numpy as np
from hotswap.run import inside
_ours = ctypes.PyDLL(None).hotswap_preload_ours
def swappable(address):
    return bool(_ours(ctypes.c_void_p(address)))
def word(thing, number):
    return ctypes.c_void_p.from_address(id(thing) + 8 * number).value or 0
def push():
    np.ones(4 << 20)
N = 8 << 20
def numbers():
    return np.arange(N // 8, dtype="u8")
"""


def run(script, *arguments, limit="16M", python=(), env=None, timeout=50, under=True, options=(), help=HELP, **more):
    """A script under hotswap run (or as it is); its ``Outcome``."""
    words = [sys.executable, *python, "-c", help + textwrap.dedent(script), *map(str, arguments)]
    if under:
        words = [*RUN, "--limit", limit, *options, "--", *words]
    environment = {**os.environ, "PYTHONPATH": f"{SOURCES}{os.pathsep}{TESTS}", **(env or {})}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=timeout, check=False, **more)
    return Outcome(done.returncode, done.stdout, done.stderr)


def passes(script, *arguments, **options):
    outcome = run(script, *arguments, **options)
    assert outcome.code == 0, outcome
    return outcome.out


# --- what is swappable, and what is not -------------------------------------------------------------------------------


def test_arrays_of_every_thread_context_and_library_are_swappable():
    passes(
        """
        import contextvars, pickle, threading
        from concurrent.futures import ThreadPoolExecutor
        def address(array): return array.__array_interface__["data"][0]
        assert swappable(address(np.empty(1 << 20))) and swappable(address(np.zeros(1 << 20)))
        assert not swappable(address(np.empty(100)))
        seen = []
        thread = threading.Thread(target=lambda: seen.append(np.ones(1 << 20)))
        thread.start(); thread.join()
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(np.ones, 1 << 20).result())
        seen.append(contextvars.Context().run(np.ones, 1 << 20))
        seen.append(pickle.loads(pickle.dumps(np.arange(1 << 20), 5)))
        seen.append(np.frombuffer(pickle.loads(pickle.dumps(bytearray(1 << 20), 5)), "u1"))
        seen.append(np.random.default_rng(1).standard_normal(1 << 20))
        seen.append(np.linalg.qr(np.ones((600, 600)))[0])
        assert all(swappable(address(array)) for array in seen), [swappable(address(array)) for array in seen]
        """
    )


def test_bytes_bytearray_and_str_are_swappable_and_pythons_tables_are_not():
    passes(
        """
        grown = bytearray()
        for _ in range(64):
            grown += bytes(32 << 10)
        assert swappable(np.frombuffer(grown, "u1").ctypes.data)
        assert swappable(id(bytes(1 << 20))) and swappable(id("x" * (1 << 20)))
        many = list(range(200_000))
        tables = {"list": word(many, 3), "tuple": id(tuple(many)), "set": word(set(many), 4)}
        keep = [dict.fromkeys(many), {n: n for n in many}, dict(zip(map(str, many), many)), set(many)]
        keep.append(keep[0].copy())
        tables |= {f"dict {number}": word(keep[number], 4) for number in (0, 1, 2, 4)}
        assert not any(swappable(at) for at in tables.values()), tables
        assert inside.notes == []
        """
    )


def test_arrays_of_objects_stay_in_memory_on_every_thread():
    passes(
        """
        import threading
        def look():
            for make in (np.empty, np.zeros, np.ones):
                if swappable(make(1 << 18, object).ctypes.data) or not swappable(make(1 << 18).ctypes.data):
                    wrong.append(make)
            record = np.zeros(1 << 16, [("a", object), ("b", "f8")])
            if swappable(record.ctypes.data) or swappable(np.arange(1 << 18).astype(object).ctypes.data):
                wrong.append("record")
        wrong = []
        threads = [threading.Thread(target=lambda: [look() for _ in range(5)]) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert not wrong, wrong
        """
    )


def test_arrays_of_objects_are_known_while_other_threads_make_thousands():
    passes(
        """
        import threading
        on = True
        def others():
            while on:
                keep = [np.empty(1) for _ in range(5000)]
        threads = [threading.Thread(target=others) for _ in range(3)]
        for thread in threads: thread.start()
        wrong = [n for n in range(300) if swappable(np.empty(1 << 16, object).ctypes.data)]
        on = False
        for thread in threads: thread.join()
        assert not wrong, wrong
        """
    )


def test_what_does_not_fit_in_memory_is_written_out_and_comes_back():
    out = passes(
        """
        arrays = [numbers() + n for n in range(6)]
        text = bytes(range(256)) * (N // 256)
        assert all(np.array_equal(array, np.arange(N // 8, dtype="u8") + n) for n, array in enumerate(arrays))
        assert text == bytes(range(256)) * (N // 256)
        stats = inside.heap.stats()
        assert stats["resident_bytes"] <= stats["limit_bytes"] == 16 << 20, stats
        print(stats["pages_out"] > 4 * N // 4096)
        """
    )
    assert out == "True\n"


def test_memory_is_refused_when_limit_and_areas_could_not_hold_it(scratch):
    passes(
        """
        try:
            np.empty(1 << 28)
        except MemoryError:
            pass
        else:
            raise SystemExit("made")
        small = [np.ones(1 << 17) for _ in range(20)]
        assert all(array.sum() == 1 << 17 for array in small)
        del small
        assert np.ones(1 << 21).sum() == 1 << 21  # all came back
        """,
        options=["--swap", f"{scratch / 'a'}:32M"],
    )


def test_the_smallest_swappable_allocation_is_chosen():
    passes(
        """
        assert swappable(np.empty(32 << 10, "u1").ctypes.data)
        assert not swappable(np.empty(31 << 10, "u1").ctypes.data)
        """,
        options=["--min-size", "32K"],
    )


# --- realloc ----------------------------------------------------------------------------------------------------------


def test_a_block_that_grows_or_shrinks_is_not_read_back():
    passes(
        """
        array = np.arange(1 << 20, dtype="u8")  # 8 MiB
        other = np.arange(1 << 20, dtype="u8")  # behind it: no room to grow in place
        push()
        before = inside.heap.stats()["pages_in"]
        array.resize(1 << 21, refcheck=False)
        after = inside.heap.stats()["pages_in"]
        assert after - before <= 64, (before, after)  # not its 2048 pages
        assert np.array_equal(array[: 1 << 20], np.arange(1 << 20)) and not array[1 << 20 :].any()
        push()
        before = inside.heap.stats()["pages_in"]
        array.resize(1 << 19, refcheck=False)
        assert inside.heap.stats()["pages_in"] - before <= 64
        assert np.array_equal(array, np.arange(1 << 19)) and np.array_equal(other, np.arange(1 << 20))
        """
    )


def test_realloc_in_all_directions_keeps_the_bytes():
    passes(
        """
        import random
        libc = ctypes.PyDLL(None)
        libc.realloc.restype = libc.malloc.restype = ctypes.c_void_p
        libc.realloc.argtypes = ctypes.c_void_p, ctypes.c_size_t
        libc.free.argtypes = (ctypes.c_void_p,)
        libc.malloc_usable_size.argtypes, libc.malloc_usable_size.restype = (ctypes.c_void_p,), ctypes.c_size_t
        seed = random.randrange(1 << 32)
        print("seed", seed)
        choose = random.Random(seed)
        blocks = []
        for number in range(8):
            blocks.append([libc.malloc(ctypes.c_size_t(100)), b"x" * 100])
            ctypes.memmove(blocks[-1][0], blocks[-1][1], 100)
        for step in range(300):
            block = choose.choice(blocks)
            size = int(2 ** choose.uniform(6, 22))
            block[0] = libc.realloc(block[0], size)
            assert libc.malloc_usable_size(block[0]) >= size
            kept = min(size, len(block[1]))
            assert ctypes.string_at(block[0], kept) == block[1][:kept], step
            block[1] = block[1][:kept] + choose.randbytes(size - kept)
            ctypes.memmove(block[0] + kept, block[1][kept:], size - kept)
            assert swappable(block[0]) == (size >= 256 << 10) or not swappable(block[0])
        for block in blocks:
            libc.free(block[0])
        """
    )


def test_the_rest_of_the_family_is_aligned_and_can_be_freed():
    passes(
        """
        libc = ctypes.PyDLL(None)
        size = ctypes.c_size_t
        for name, arguments in {"memalign": (64, 1 << 20), "aligned_alloc": (4096, 1 << 20), "valloc": (1 << 20,), "pvalloc": (1 << 20,),
                                "calloc": (1 << 10, 1 << 10), "reallocarray": (0, 1 << 10, 1 << 10)}.items():
            call = getattr(libc, name)
            call.restype = ctypes.c_void_p
            at = call(*map(size, arguments))
            assert at % 4096 == 0 and swappable(at), name
            assert ctypes.string_at(at, 1 << 20).count(0) == 1 << 20 or name != "calloc"
            libc.free(ctypes.c_void_p(at))
        at = ctypes.c_void_p()
        assert libc.posix_memalign(ctypes.byref(at), size(64), size(1 << 20)) == 0 and swappable(at.value)
        libc.free(at)
        assert libc.posix_memalign(ctypes.byref(at), size(3), size(1 << 20)) == errno.EINVAL
        libc.calloc.restype = ctypes.c_void_p
        assert libc.calloc(size(1 << 40), size(1 << 40)) is None
        """
    )


# --- system calls on what is out --------------------------------------------------------------------------------------


@pytest.fixture(params=["served", "wrapped"])
def faults(request):
    """Both ways: the kernel serves faults inside system calls (for who may ask for that), or they are wrapped."""
    if request.param == "served" and Path("/proc/sys/vm/unprivileged_userfaultfd").read_text().strip() != "1" and os.geteuid():
        pytest.skip("the kernel serves no faults inside system calls here")
    return {"HOTSWAP_MMU": "user"} if request.param == "wrapped" else {}


def test_files_of_numpy_and_python(faults, scratch):
    passes(
        """
        os.chdir(sys.argv[1])
        array = numbers()
        want = array.tobytes()
        push(); array.tofile("a"); push()
        assert np.array_equal(np.fromfile("a", "u8"), array)
        push(); np.save("b.npy", array); push()
        assert np.array_equal(np.load("b.npy"), array)
        np.savez("c.npz", array); assert np.array_equal(np.load("c.npz")["arr_0"], array)
        buffer = bytearray(N)
        push()
        with open("a", "rb", buffering=0) as file: assert file.readinto(buffer) == N
        assert buffer == want; push()
        with open("d", "wb", buffering=0) as file: assert file.write(memoryview(buffer)) == N
        push()
        with open("e", "wb") as file: assert file.write(memoryview(array)) == N
        push()
        with open("e", "rb") as file: assert file.read() == want
        fd = os.open("d", os.O_RDWR)
        halves = [memoryview(buffer)[: N // 2], memoryview(buffer)[N // 2 :]]
        push(); assert os.preadv(fd, halves, 0) == N
        push(); assert os.pwritev(fd, halves, N) == N
        push(); assert os.readv(fd, halves) == N and buffer == want
        push(); assert os.writev(fd, halves) == N
        push(); assert os.pread(fd, N, 0) == want
        push(); assert os.pwrite(fd, buffer, 3) == N and os.pread(fd, N, 3) == want
        assert len(os.urandom(4 << 20)) == 4 << 20
        """,
        scratch,
        env=faults,
    )


def test_sockets_pipes_children_and_databases(faults, scratch):
    passes(
        """
        import socket, sqlite3, subprocess, threading, zlib
        array, buffer = numbers(), bytearray(N)
        want = array.tobytes()
        def beside(work):
            thread = threading.Thread(target=work); thread.start(); return thread
        one, two = socket.socketpair()
        def receive():
            view, at = memoryview(buffer), 0
            while at < N:
                at += two.recv_into(view[at:])
        push(); thread = beside(receive); one.sendall(array); thread.join(); assert buffer == want
        push(); thread = beside(lambda: one.sendall(buffer)); assert two.recv(N, socket.MSG_WAITALL) == want; thread.join()
        push(); thread = beside(lambda: one.sendall(buffer))
        view, at = memoryview(buffer), 0
        other = bytearray(N)
        while at < N:
            at += two.recvmsg_into([memoryview(other)[at:]])[0]
        thread.join(); assert other == want
        udp, peer = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
        peer.bind(sys.argv[1] + "/peer"); udp.connect(sys.argv[1] + "/peer")
        push(); assert udp.send(memoryview(buffer)[:50_000]) == 50_000
        push(); assert peer.recv_into(memoryview(other)) == 50_000 and other[:50_000] == want[:50_000]
        push(); assert subprocess.run(["cat"], input=buffer, capture_output=True).stdout == want
        push(); assert zlib.decompress(zlib.compress(memoryview(array), 1)) == want
        base = sqlite3.connect(sys.argv[1] + "/base"); base.execute("create table t(b blob)")
        push(); base.execute("insert into t values(?)", (memoryview(array),)); base.commit()
        push(); assert base.execute("select b from t").fetchone()[0] == want
        """,
        scratch,
        env=faults,
    )


def test_advice_and_locks_on_swappable_memory_change_nothing():
    passes(
        """
        libc = ctypes.CDLL(None, use_errno=True)
        array = numbers()
        at, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(N)
        assert libc.madvise(at, size, 14) == 0  # huge pages
        assert libc.madvise(at, size, 4) == -1 and ctypes.get_errno() == errno.EINVAL  # DONTNEED
        assert libc.mlock(at, size) == -1 and libc.mprotect(at, size, 1) == -1
        push()
        assert np.array_equal(array, numbers())
        """
    )


# --- exit, exec, fork -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(7)", 7),
        ("raise ValueError('x')", 1),
        ("os._exit(9)", 9),
        ("os.kill(os.getpid(), 9)", -9),
        ("os.kill(os.getpid(), 15)", -15),
        ("os.abort()", -6),
    ],
)
def test_every_way_to_exit_is_the_programs_own_and_leaves_an_area_that_goes_on_again(scratch, script, status):
    area = scratch / "a.swap"
    for size in (":32M", ""):
        outcome = run(f"kept = [numbers() for _ in range(3)]\n{script}", options=["--swap", f"{area}{size},pri=3"])
        assert outcome.code == status, outcome
    assert os.listdir(scratch) == ["a.swap"]


def test_a_private_area_is_said_and_has_no_name(scratch):
    outcome = run(
        "numbers(); print(os.readlink('/proc/self/fd/' + max(os.listdir('/proc/self/fd'), key=int)) and 1)",
        env={"TMPDIR": str(scratch)},
    )
    assert outcome.code == 0, outcome
    said = outcome.err.splitlines()
    assert len(said) == 1 and said[0].startswith("hotswap: swapping to a private temporary file of "), outcome
    assert os.listdir(scratch) == []


def test_arguments_options_modules_and_standard_input_pass_through(tmp_path):
    def both(*words, **more):
        for under in ([], [*RUN, "--limit", "16M", "--"]):
            environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
            yield subprocess.run([*under, *words], capture_output=True, text=True, env=environment, check=False, **more)

    script = tmp_path / "script.py"
    script.write_text("import sys; print(sys.argv, sys.flags.isolated, __name__); sys.exit(len(sys.argv))")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__main__.py").write_text("import sys; print(sys.argv[1:], __name__)")
    executable = tmp_path / "tool"
    executable.write_text(f"#!{sys.executable}\nimport sys; print(sys.argv[1:], sys.executable)")
    executable.chmod(0o755)
    python = sys.executable
    for words in (
        [python, script, "--limit", "-x", "a b"],
        [python, "-I", "-S", script, "--"],
        [python, "-m", "json.tool", "--help"],
        [python, tmp_path / "pack", "1"],
        [python, "-c", "import os; print(sorted(k for k in os.environ if 'HOTSWAP_RUN' in k or 'PRELOAD' in k))"],
        [executable, "--help"],
        ["env", "A=1", python, script],
    ):
        plain, under = both(*words)
        assert (under.returncode, under.stdout) == (plain.returncode, plain.stdout), words
        assert [line for line in under.stderr.splitlines() if "private temporary" not in line] == plain.stderr.splitlines()
    plain, under = both(python, "-", input="print(input.__name__, __name__)")
    assert under.stdout == plain.stdout == "input __main__\n"


def test_a_program_is_started_without_loading_what_reads_command_lines():
    started = subprocess.run([sys.executable, "-X", "importtime", *RUN[1:], "true"], capture_output=True, text=True, check=True)
    assert "hotswap.run.launch" in started.stderr and " click" not in started.stderr


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("python a.py --limit 1", ([], ["python", "a.py", "--limit", "1"])),
        ("--limit 1M --swap=a --swap b:1M -- -x", ([("--limit", "1M"), ("--swap", "a"), ("--swap", "b:1M")], ["-x"])),
        ("--config= x", ([("--config", "")], ["x"])),
        *(
            (words, None)
            for words in ("", "--", "--limit", "--limit 1M", "--limit -- x", "--help", "-h", "--lim 1M x", "--unknown x")
        ),
    ],
)
def test_options_that_are_plain_are_read_and_others_are_left_to_click(words, found):
    assert run_words(words.split()) == found


def test_the_options_that_are_read_are_those_of_the_command():
    assert sorted(_OPTIONS) == sorted(option for given in command.params[:-1] for option in given.opts)


def test_ctrl_c_is_the_programs_own(tmp_path):
    script = (
        "import time\ntry:\n    print('up', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    raise SystemExit(42)"
    )
    with subprocess.Popen(
        [*RUN, "--limit", "16M", "--", sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    ) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 42


def test_a_forked_child_has_what_its_parent_had_and_its_new_arrays_are_swappable_too():
    out = passes(
        """
        import gc
        array, table = numbers(), dict.fromkeys(range(100_000))
        child = os.fork()
        if child == 0:
            gc.collect()  # walks tables, which stay in memory
            assert np.array_equal(array, numbers()) and len(table) == 100_000
            fresh = [numbers() + n for n in range(4)]  # twice the limit
            assert all(swappable(some.ctypes.data) for some in fresh) and inside.heap.stats()["resident_bytes"] <= 16 << 20
            assert inside.heap.stats()["writeback_bytes"] > 8 << 20
            array[::2] = 0
            assert not array[::2].any() and np.array_equal(array[1::2], numbers()[1::2])
            assert all(np.array_equal(some, numbers() + n) for n, some in enumerate(fresh))
            grandchild = os.fork()
            if grandchild == 0:
                fresh += [numbers() + n for n in range(4, 6)]
                assert all(np.array_equal(some, numbers() + n) for n, some in enumerate(fresh))
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 7
            os.write(1, b"child works\\n")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(array, numbers())
        """
    )
    assert out == "child works\n"


def test_a_forked_child_frees_and_resizes_what_its_parent_had():
    passes(
        """
        libc = ctypes.CDLL(None)
        for name in ("malloc", "realloc"):
            getattr(libc, name).restype = ctypes.c_void_p
        libc.realloc.argtypes, libc.free.argtypes = (ctypes.c_void_p, ctypes.c_size_t), (ctypes.c_void_p,)
        def block():
            p, some = libc.malloc(N), numbers()
            ctypes.memmove(p, some.ctypes.data, N)
            return p
        def holds(p, bytes):
            return ctypes.string_at(p, bytes) == numbers().tobytes()[:bytes]
        array, blocks = numbers(), [block() for _ in range(4)]
        child = os.fork()
        if child == 0:
            del array
            libc.free(blocks.pop())
            grown, shrunk, out = libc.realloc(blocks[0], 2 * N), libc.realloc(blocks[1], N // 2), libc.realloc(blocks[2], 1000)
            assert swappable(grown) and swappable(shrunk) and not swappable(out)
            assert holds(grown, N) and holds(shrunk, N // 2) and holds(out, 1000)
            for p in (grown, shrunk, out):
                libc.free(p)
            os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
        assert np.array_equal(array, numbers()) and all(holds(p, N) for p in blocks)
        """
    )


@pytest.mark.parametrize("who", ["main", "thread"])
def test_threads_may_allocate_while_another_forks(who):
    passes(
        """
        import threading
        stop, failures = threading.Event(), []
        def work(n):
            while not stop.is_set():
                some = np.full(1 << 17, n)
                if not (some == n).all():
                    failures.append(n)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        def fork(turn):
            child = os.fork()
            if child == 0:
                some = np.full(1 << 18, turn)
                os._exit(0 if (some == turn).all() else 1)
            if os.waitpid(child, 0)[1]:
                failures.append(child)
        for turn in range(8):
            if sys.argv[1] == "main":
                fork(turn)
            else:
                thread = threading.Thread(target=fork, args=(turn,))
                thread.start()
                thread.join()
        stop.set()
        for thread in threads:
            thread.join()
        assert not failures
        """,
        who,
    )


def test_a_child_that_has_no_engine_has_ordinary_memory():
    """No descriptor is left for it."""
    passes(
        """
        import resource
        array = numbers()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
        child = os.fork()
        if child == 0:
            fresh = np.ones(1 << 20)
            del array
            os._exit(0 if not swappable(fresh.ctypes.data) and fresh.sum() == 1 << 20 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(array, numbers())
        """
    )


POOLS = """
from support import eventually, used
array = numbers() * 3

def work(n):
    fresh = np.arange(N // 8) + n
    assert swappable(fresh.ctypes.data)
    return os.getpid(), int(fresh[:-n].sum()), int(array[n::8].sum()), np.full(1 << 17, n)

def check(found):
    assert {pid for pid, *_ in found} - {os.getpid()} and os.getpid() not in {pid for pid, *_ in found}
    for n, (_, fresh, part, whole) in enumerate(found, 1):
        assert fresh == int((np.arange(N // 8) + n)[:-n].sum()) and part == int(array[n::8].sum())
        assert whole.nbytes == 1 << 20 and (whole == n).all()
"""


@pytest.mark.parametrize(
    "pool",
    [
        "multiprocessing.get_context('fork').Pool(3)",
        "concurrent.futures.ProcessPoolExecutor(3, multiprocessing.get_context('fork'))",
    ],
)
def test_pools_of_forked_workers(pool):
    passes(
        POOLS
        + f"""
import concurrent.futures, multiprocessing
for turn in range(2):
    with {pool} as pool:
        check(list(pool.map(work, range(1, 13))))
assert np.array_equal(array, numbers() * 3)
del array
""",
    )


def test_an_area_goes_off_and_on_while_the_program_computes(scratch):
    passes(
        """
        import hotswap, threading, time
        stop, flips = threading.Event(), [0]
        def flip():
            path = hotswap.swaps()[0].path
            while not stop.is_set():
                hotswap.swapoff(path); hotswap.swapon(path); flips[0] += 1
        thread = threading.Thread(target=flip); thread.start()
        until = time.monotonic() + 2
        while time.monotonic() < until or flips[0] < 3:
            arrays = [numbers() * 3 + n for n in range(4)]
            assert all(np.array_equal(array, np.arange(N // 8, dtype="u8") * 3 + n) for n, array in enumerate(arrays))
        stop.set(); thread.join()
        """,
        options=[word for name in "abc" for word in ("--swap", f"{scratch / name}:48M")],
    )


def test_a_part_of_numpys_own_tests_counts_the_same_while_an_area_goes_off_and_on(scratch):
    """All of it is `make numpy-suite`."""
    tool = TESTS.parent / "tools" / "numpy_suite.py"
    words = [sys.executable, str(tool), "--parts", "lib.tests.test_shape_base"]
    done = subprocess.run(
        words, env={**os.environ, "HOTSWAP_TEST_DIR": str(scratch)}, capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0 and done.stdout.startswith("numpy.lib.tests.test_shape_base: the same\n"), Outcome(
        done.returncode, done.stdout, done.stderr
    )
    assert " passed" in done.stdout and " times off and on" in done.stdout


# --- bad input --------------------------------------------------------------------------------------------------------


def refused(*words, env=None):
    done = subprocess.run(
        [*RUN, *words], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(SOURCES), **(env or {})}, check=False
    )
    assert done.stdout == "" and done.stderr.startswith("hotswap: ") and done.stderr.count("\n") == 1, done
    return done.returncode, done.stderr


def test_a_program_that_is_missing_or_is_none(tmp_path):
    assert refused("--", "no-such-program")[0] == exits.MISSING
    assert refused("--", str(tmp_path / "none"))[0] == exits.MISSING
    (tmp_path / "text.py").write_text("print(1)")
    code, said = refused("--", str(tmp_path / "text.py"))
    assert code == exits.NOT_EXECUTABLE and "python " in said
    (tmp_path / "odd").write_text("#!/no/such/interpreter\n")
    (tmp_path / "odd").chmod(0o755)
    assert refused("--", str(tmp_path / "odd"))[0] == exits.NOT_EXECUTABLE


def test_a_program_that_cannot_be_interposed(tmp_path):
    static = tmp_path / "static"
    head = bytearray(Path(sys.executable).resolve().read_bytes()[:64])
    head[56:58] = (0).to_bytes(2, "little")  # no program headers: no dynamic linker is asked for
    static.write_bytes(head)
    static.chmod(0o755)
    assert refused("--", str(static))[0] == exits.STATIC
    other = tmp_path / "setuid"
    other.write_bytes(Path("/bin/true").read_bytes())
    if os.geteuid() == 0:
        os.chown(other, 65534, 65534)
        other.chmod(0o4755)
        assert refused("--", str(other))[0] == exits.PRIVILEGED
        script = tmp_path / "script"
        script.write_text(f"#!{other}\n")
        script.chmod(0o755)
        assert refused("--", str(script))[0] == exits.PRIVILEGED


def test_sizes_limits_and_areas_that_are_none(tmp_path):
    assert refused("--limit", "many", "--", sys.executable)[0] == exits.BAD_SIZE
    code, said = refused("--limit", "512K", "--", sys.executable)
    assert code == exits.BAD_SIZE and "below what faults need" in said
    assert refused("--min-size", "1K", "--", sys.executable)[0] == exits.BAD_SIZE
    assert refused("--swap", "a:8Q", "--", sys.executable)[0] == exits.BAD_SIZE
    assert refused("--swap", "a:8M,pri=x", "--", sys.executable)[0] == exits.BAD_SIZE
    assert refused("--limit", "16M", "--swap", str(tmp_path / "none"), "--", sys.executable, "-c", "1")[0] == exits.NO_AREA
    assert refused("--limit", "16M", "--swap", f"{tmp_path}:8M", "--", sys.executable, "-c", "1")[0] == exits.NO_AREA


def test_a_program_that_is_no_python_is_told_at_its_end():
    done = subprocess.run(
        [*RUN, "--limit", "16M", "--", "true"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        check=False,
    )
    assert done.returncode == 0 and "without having run Python" in done.stderr


def test_the_environment_is_taken_where_no_option_is_given(monkeypatch):
    monkeypatch.setenv("HOTSWAP_LIMIT", "1G")
    monkeypatch.setenv("HOTSWAP_SWAP", "a:1G 'b c:2G,pri=2'")
    monkeypatch.setenv("HOTSWAP_MIN_SIZE", "1M")
    assert plan.make() == plan.Plan(1 << 30, 1 << 20, [AreaSpec("a", 1 << 30, 0), AreaSpec("b c", 2 << 30, 2)], 1 << 30)
    assert plan.make("2G", ["d"], "64K") == plan.Plan(2 << 30, 64 << 10, [AreaSpec("d", None, 0)], 2 << 30)


def test_what_was_preloaded_before_comes_after(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "other.so")
    added = launch.additions(plan.make("64M"))
    assert added["LD_PRELOAD"] == f"{launch.preload_library()}:other.so"
