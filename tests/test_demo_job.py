"""The demo's job, its page sums, its churn and its verdict, with plain NumPy in hotswap's place."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hotswap.demo import command, job, sorting
from hotswap.demo import run as demo_run
from hotswap.demo.churn import Churn
from hotswap.demo.corpus import Corpus, standard_library
from hotswap.demo.engine import AreaView, Moved
from hotswap.demo.job import GRAM, Work, build, digest
from hotswap.demo.pagesums import Ledger, PageSums
from hotswap.demo.progress import Stopped
from hotswap.demo.residency import EXTRA, Residency
from hotswap.demo.run import Options, Run
from hotswap.demo.scratch import scratch
from hotswap.demo.verdict import OK, Outcome, judge, sentence
from hotswap.errors import AreaError, HotswapError
from hotswap.sizes import PAGE


def corpus_of(tmp_path: Path, *texts: bytes) -> Corpus:
    files = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.py"
        path.write_bytes(text)
        files.append((str(path), len(text)))
    return Corpus(tuple(files), sum(map(len, texts)) + len(texts))


class PlainEngine:
    """RAM behind the demo's interface; ``areas`` always hold something, so that the churn has work."""

    def __init__(self, refuse: str = "", moved: int = 1000, spoil: bool = False) -> None:
        self.refuse, self.moved, self.spoil = refuse, moved, spoil
        self.on: dict[Path, int] = {}
        self.opened = self.closed = 0

    def swapon(self, path: Path, size: int, priority: int) -> None:
        path.touch()
        self.on[path] = size

    def swapoff(self, path: Path) -> Moved:
        if self.refuse and self.closed == 0:
            raise AreaError(self.refuse)
        time.sleep(0.002)
        del self.on[path]
        return Moved(self.moved, 0.002)

    def areas(self) -> list[AreaView]:
        return [AreaView(str(path), size, PAGE, "") for path, size in list(self.on.items())]

    def open(self, limit: int, folio: int) -> None:
        self.opened += 1

    def make(self, shape: tuple[int, ...], dtype: object) -> np.ndarray:
        return demo_run.mapped(shape, dtype)

    def stats(self) -> dict[str, int]:
        return {"faults_major": 1}

    def close(self) -> None:
        self.closed += 1


# The job


@pytest.fixture(scope="module")
def library() -> Corpus:
    return standard_library()


def test_index_is_what_a_dictionary_of_all_grams_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    texts = [bytes(rng.choice([32, 32, 97, 98, 255], size).astype(np.uint8)) for size in (30_000, 0, 1, 70_000)]
    corpus = corpus_of(tmp_path, *texts)
    work = Work(np.empty, 3)
    index = build(corpus, work)

    whole = b"".join(text + b"\0" for text in texts)
    places = defaultdict(list)
    for place in range(len(whole)):
        places[whole[place : place + GRAM].ljust(GRAM, b"\0")].append(place)
    grams = sorted(places)
    assert [int(gram).to_bytes(GRAM, "big") for gram in index.grams.read(0, index.grams.size)] == grams
    assert index.counts.read(0, len(grams)).tolist() == [len(places[gram]) for gram in grams]
    assert index.positions.read(0, len(whole)).tolist() == [place for gram in grams for place in places[gram]]
    assert index.lookup(grams[7]).tolist() == places[grams[7]]
    assert index.lookup(b"absent!!").size == 0
    assert index.wrong_probes == 0 and work.ledger.lost == 0
    assert int(index.hits.read(0, index.hits.size).sum()) == index.found.size
    digest(index, work)
    index.drop()
    assert work.ledger.live == 0
    assert work.ledger.checked > 0


def test_merging_in_parts_and_passes_keeps_equal_grams_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "FAN_IN", 3)
    monkeypatch.setattr(sorting, "PART", 8192)
    monkeypatch.setattr(sorting, "BLOCK", 4096)  # TASK, in job, stays a multiple of it
    corpus = corpus_of(tmp_path, b"        if x:\n" * 5000, b" " * 40_000)
    assert len(sorting.passes(corpus.size)) >= 3
    work = Work(np.empty, 4)
    keys, positions = sorting.sort_grams(job.load(corpus, work), work)
    text = np.append(corpus.read(0, corpus.size), np.zeros(GRAM - 1, np.uint8))
    packed = sorting.pack(text, corpus.size)
    order = np.argsort(packed, kind="stable")
    assert np.array_equal(positions.read(0, corpus.size), order)
    assert np.array_equal(keys.read(0, corpus.size), packed[order])
    assert work.ledger.unread == 0


@pytest.mark.parametrize("size", [8, 9, 4096, 100_000, 400_001])
def test_digest_does_not_depend_on_the_number_of_threads(library: Corpus, size: int) -> None:
    found = set()
    for threads in (1, 4):
        work = Work(np.empty, threads)
        index = build(library.cut(size), work)
        found.add(digest(index, work))
        now = work.progress.snapshot()
        assert now.phase_number == now.phases and now.done == now.total
        index.drop()
        assert (work.ledger.lost, work.ledger.unread, index.wrong_probes) == (0, 0, 0)
    assert len(found) == 1


def test_digest_tells_two_texts_apart(library: Corpus, tmp_path: Path) -> None:
    text = bytearray(library.read(0, 50_000))
    digests = []
    for change in (0, 1):
        text[40_000] ^= change
        work = Work(np.empty, 2)
        digests.append(digest(build(corpus_of(tmp_path, bytes(text)), work), work))
    assert digests[0] != digests[1]


def test_working_set_is_what_the_areas_are_sized_for(library: Corpus) -> None:
    work = Work(np.empty)
    build(library.cut(1_000_000), work)
    assert work.ledger.peak / 1_000_000 == pytest.approx(demo_run.BYTES_PER_BYTE, rel=0.02)


def test_a_stopped_job_ends_soon_and_a_failing_one_tells_the_failure(library: Corpus) -> None:
    work = Work(np.empty)
    work.progress.stop()
    with pytest.raises(Stopped):
        build(library.cut(500_000), work)

    def fail() -> None:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        Work(np.empty).phase("x", 1, [fail, fail])


def test_corpus_reads_the_same_in_any_pieces(library: Corpus) -> None:
    whole = library.read(0, 200_000)
    edges = [0, 1, 4095, 50_000, 50_001, 131_072, 200_000]
    assert np.array_equal(whole, np.concatenate([library.read(a, b) for a, b in pairwise(edges)]))
    path, length = library.files[0]
    assert bytes(whole[:length]) == Path(path).read_bytes()[:200_000]


def test_corpus_refuses_a_file_that_shrank(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, b"x" * 100)
    (tmp_path / "0.py").write_bytes(b"x" * 50)
    with pytest.raises(HotswapError, match="became shorter"):
        corpus.read(0, 100)


# The sums


@pytest.mark.parametrize("dtype", ["u1", "u4", "u8"])
def test_a_changed_byte_is_a_lost_page_counted_once(dtype: str) -> None:
    ledger = Ledger()
    sums = PageSums(np.empty, ledger, "keys", 5 * PAGE, dtype)
    data = np.random.default_rng(2).integers(0, 200, 5 * PAGE).astype(dtype)
    for a, b in zip([0, 1, 777, 4096, 9999], [1, 777, 4096, 9999, 5 * PAGE]):  # pieces that end within pages
        sums.write(a, data[a:b])
    assert np.array_equal(sums.read(0, sums.size), data) and ledger.lost == 0
    sums.array.view("u1")[2 * PAGE + 17] ^= 1
    sums.read(0, sums.size)
    sums.pick(np.array([3 * PAGE // sums.dtype.itemsize - 1]))
    assert ledger.lost == 1
    assert str(ledger.first_lost[0]) == "page 2 of array 'keys'"


@pytest.mark.parametrize("harm", ["zeroed", "swapped", "stale", "shifted"])
def test_every_way_to_lose_a_page_is_seen(harm: str) -> None:
    ledger = Ledger()
    sums = PageSums(np.empty, ledger, "keys", 2048, np.uint64)
    old, new = np.random.default_rng(3).integers(0, 2**64, (2, 2048), np.uint64)
    sums.write(0, old)
    sums.read(0, 2048)
    sums.restart()
    sums.write(0, new)
    pages = sums.array.reshape(4, 512)
    if harm == "zeroed":
        pages[1] = 0
    elif harm == "swapped":
        pages[[1, 2]] = pages[[2, 1]]
    elif harm == "stale":
        pages[1] = old[512:1024]
    else:
        pages[1] = np.roll(pages[1], 1)
    sums.read(0, 2048)
    assert ledger.lost == (2 if harm == "swapped" else 1)


def test_sums_follow_scattered_additions() -> None:
    ledger = Ledger()
    sums = PageSums(np.empty, ledger, "hits", 3000, np.uint32)
    sums.write(0, np.zeros(3000, np.uint32))
    where = np.random.default_rng(4).integers(0, 3000, 10_000)
    sums.add_at(where, 3)
    assert np.array_equal(sums.read(0, 3000), 3 * np.bincount(where, minlength=3000)) and ledger.lost == 0


def test_pages_that_nobody_read_back_are_told() -> None:
    ledger = Ledger()
    sums = PageSums(np.empty, ledger, "text", 3 * PAGE, np.uint8)
    sums.write(0, np.ones(3 * PAGE, np.uint8))
    sums.read(0, PAGE + 1)
    sums.drop()
    assert ledger.unread == 1 and ledger.live == 0


def test_a_page_spoilt_while_the_job_runs_is_lost_and_named(library: Corpus) -> None:
    work = Work(np.empty)
    arrays: list[np.ndarray] = []

    def make(shape: tuple[int, ...], dtype: object) -> np.ndarray:
        arrays.append(np.empty(shape, dtype))
        return arrays[-1]

    def begin(phase: str, total: int) -> None:
        if phase == "runs":
            arrays[0][5000] ^= 1  # the text, after it was loaded

    work.make, work.progress.begin = make, begin  # type: ignore[method-assign]
    build(library.cut(100_000), work)
    assert work.ledger.lost == 1 and str(work.ledger.first_lost[0]) == "page 1 of array 'text'"


# The verdict


def good() -> Outcome:
    return Outcome(
        limit_bytes=100 << 20,
        peak_resident_bytes=105 << 20,
        working_set_bytes=1200 << 20,
        rounds=2,
        swapoffs=3,
        pages_moved=1000,
        swapoff_seconds=1.0,
        pages_checked=5000,
        digest="ab",
        ram_digest="ab",
    )


def test_a_good_run_is_ok() -> None:
    assert judge(good()) == OK
    assert sentence(good()).startswith("ok: 3 swapoffs, 1,000 pages moved at 4 MB/s, none lost")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ({"pages_lost": 1, "lost": ["page 7 of array 'text'"]}, "page 7 of array 'text'"),
        ({"error": "it ended with ValueError: x"}, "ValueError"),
        ({"rounds": 0}, "no round"),
        ({"digests_differ": 1}, "differs from the one built in RAM in 1 of 2 rounds"),
        ({"digest": "cd"}, "not shown to be"),
        ({"digest": "", "ram_digest": ""}, "not shown to be"),
        ({"wrong_probes": 2}, "2 places"),
        ({"pages_unread": 4}, "never read back"),
        ({"pages_checked": 0}, "no page was checked"),
        ({"failures": ["swapoff a.swap: AreaError: no room"]}, "AreaError: no room"),
        ({"swapoffs": 0}, "too short"),
        ({"peak_resident_bytes": (100 << 20) + EXTRA + 1}, "more than the limit"),
        ({"peak_resident_bytes": 0}, "not measured"),
    ],
)
def test_each_thing_that_is_not_true_fails_the_run(harm: dict[str, object], says: str) -> None:
    bad = replace(good(), **harm)  # type: ignore[arg-type]
    assert says in judge(bad)
    assert sentence(bad).startswith("FAILED: ")


def test_a_run_that_never_began_tells_only_why() -> None:
    assert sentence(Outcome(error="no userfaultfd here")) == "FAILED: no userfaultfd here."


# The run around it


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of about a second: a small text, and an allowance that lets RAM stand in for the space."""
    monkeypatch.setattr(demo_run, "SMALLEST_LIMIT", 1 << 20)
    monkeypatch.setattr(demo_run, "RATE", 300_000)
    monkeypatch.setattr("hotswap.demo.verdict.EXTRA", 64 << 20)


def test_a_run_ends_with_one_json_object_and_leaves_no_file(
    short: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = PlainEngine()
    code = command.run_demo(Options(seconds=1.5, scratch=tmp_path), lambda: engine, as_json=True)
    out = capfd.readouterr().out
    saw = json.loads(out)
    assert out.count("\n") == 1 and code == 0 and saw["verdict"] == "ok"
    assert saw["swapoffs"] > 0 and saw["pages_moved"] == 1000 * saw["swapoffs"] and saw["pages_lost"] == 0
    assert saw["working_set_bytes"] >= 10 * saw["limit_bytes"] > 0 and saw["peak_resident_bytes"] > 0
    assert saw["seconds"] > 0 and saw["digest"] == saw["ram_digest"] != ""
    assert list(tmp_path.iterdir()) == [] and engine.on == {}
    assert engine.opened == engine.closed == 1


@pytest.mark.parametrize(
    ("engine", "says"),
    [(PlainEngine(refuse="a.swap has nowhere to go."), "nowhere to go"), (PlainEngine(moved=0), "no swapoff")],
)
def test_a_run_whose_swapoffs_fail_exits_1(
    short: None, tmp_path: Path, capfd: pytest.CaptureFixture[str], engine: PlainEngine, says: str
) -> None:
    code = command.run_demo(Options(seconds=1, scratch=tmp_path), lambda: engine, as_json=False)
    assert code == 1
    assert says in capfd.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_memory_over_the_limit_exits_1(
    short: None, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hotswap.demo.verdict.EXTRA", 1 << 20)  # the arrays are in RAM: some 12 MiB
    code = command.run_demo(Options(seconds=1, scratch=tmp_path), PlainEngine, as_json=True)
    assert code == 1 and "were resident at the peak" in json.loads(capfd.readouterr().out)["verdict"]


def test_a_stopped_run_cleans_up(short: None, tmp_path: Path) -> None:
    engine = PlainEngine()
    run = Run(Options(seconds=3, scratch=tmp_path), lambda: engine)
    run.start()
    while not run.engine:
        assert not run.wait(0.01)
    assert list(tmp_path.iterdir())
    run.stop()
    assert run.wait(10)
    assert list(tmp_path.iterdir()) == [] and engine.on == {} and engine.closed == 1
    assert judge(run.outcome) != OK
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("demo-")]


INTERRUPTED = """
import sys
sys.path.insert(0, sys.argv[1])
from test_demo_job import Options, Path, PlainEngine, command, demo_run
demo_run.SMALLEST_LIMIT, demo_run.RATE = 1 << 20, 300_000
sys.exit(command.run_demo(Options(seconds=3, scratch=Path(sys.argv[2])), PlainEngine, as_json=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_no_file(tmp_path: Path, number: int) -> None:
    arguments = [sys.executable, "-c", INTERRUPTED, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        while not list(tmp_path.glob("*/*")):
            assert child.poll() is None, child.communicate()
            time.sleep(0.02)
        child.send_signal(number)
        out, _ = child.communicate(timeout=60)
    assert (child.returncode, out, list(tmp_path.iterdir())) == (130, b"", [])


def test_churn_takes_the_areas_in_turn(tmp_path: Path) -> None:
    engine, paths = PlainEngine(), [tmp_path / name for name in "abc"]
    for path in paths:
        engine.swapon(path, PAGE, 10)
    churn = Churn(engine, paths, PAGE)
    churn.start()
    while len(churn.done) < 6:
        time.sleep(0.01)
    churn.finish()
    assert [swapoff.path for swapoff in churn.done[:6]] == paths * 2
    assert set(engine.on) == set(paths) and churn.failures == []


def test_residency_sees_memory_that_was_only_briefly_there() -> None:
    residency = Residency()
    np.ones(48 << 20, np.uint8)
    assert residency.finish() >= 46 << 20


def test_scratch_is_refused_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(HotswapError, match="--scratch"), scratch(tmp_path, 1 << 60):
        pass
    with pytest.raises(HotswapError, match="not a directory"), scratch(tmp_path / "absent", 1):
        pass
    with pytest.raises(ZeroDivisionError), scratch(tmp_path, 1) as directory:
        (directory / "a.swap").touch()
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--limit", "-1"], ["--limit", "much"], ["--threads", "0"]])
def test_bad_options_are_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(command.demo, arguments)
    assert result.exit_code == 2 and "Error: Invalid value" in result.output
