"""Compressed RAM: the bytes come back, what it holds counts in the limit, and it goes off under load as any other area does."""

import ctypes
import gc
import random
from types import SimpleNamespace

import numpy as np
import pytest
from support import MIB, PAGE, Crew, Pages, eventually, rss_anon

import hotswap
from hotswap.errors import AreaError
from hotswap.lab import twin
from hotswap.lab.native import Compiled

CONSTANT = 16 * MIB  # what a space may take beyond its limit, as the README has it
TYPE = 31  # a row that no test's own areas come to


@pytest.fixture
def ram(nothing_leaked):
    """``ram(size)``: compressed memory that is on; at the test's end it holds nothing and goes off."""
    names = []

    def make(size="256M", priority=0):
        name = f"ram:{len(names)}"
        names.append(hotswap.swapon(name, size=size, priority=priority).path)
        return name

    yield make
    gc.collect()
    for name in names:
        if any(swap.path == name for swap in hotswap.swaps()):
            assert eventually(lambda name=name: figures(name).held == 0), f"{figures(name)} still holds something"
            hotswap.swapoff(name)


def figures(name):
    return next(swap for swap in hotswap.swaps() if swap.path == name)


def smooth(numbers):
    """As measured: what lies in the last bits of each number is noise, so that less than two thirds go."""
    values = (np.sin(numbers / 5e4) * 1000).astype("f4")
    mixed = numbers.astype("u8") * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(31)) * np.uint64(0xBF58476D1CE4E5B9)
    values.view("u4")[...] ^= (mixed >> np.uint64(54)).astype("u4")  # 10 bits
    return values


def of_kind(kind, start, count):
    """Data that compresses well, in part, or not at all."""
    numbers = np.arange(start, start + count)
    if kind == "smooth":
        return smooth(numbers)
    noise = np.random.default_rng(start).random(count, "f4")
    return noise if kind == "noise" else np.where(numbers // 262144 % 2 == 0, smooth(numbers), noise)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "i8", "c16", "u4,f8"])
def test_a_page_comes_back_alone_out_of_a_packed_piece(ram, dtype):
    """Whatever filter the elements got, and where pages are no multiple of them."""
    ram()
    numbers = np.arange(24 * MIB // np.dtype(dtype).itemsize)
    made = np.zeros(numbers.size, dtype)
    for name in made.dtype.names or [...]:
        made[name] = numbers // 7 % 251 if dtype in ("u1", "i2") else numbers // 7
    with hotswap.Space("16M") as space:
        a = space.empty(made.size, dtype)
        a[...] = made
        before = space.stats()
        pages = np.random.default_rng(5).permutation(a.nbytes // PAGE)[:2000]
        there, wanted = a.view("u1"), made.view("u1")
        for page in pages.tolist():
            assert np.array_equal(there[page * PAGE : (page + 1) * PAGE], wanted[page * PAGE : (page + 1) * PAGE]), page
        after = space.stats()
        faults = after["faults_major"] - before["faults_major"]
        assert faults > 200 and after["pages_in"] - before["pages_in"] < 8 * faults
        del a, there


@pytest.mark.parametrize("folio", ["4K", "64K", "256K"])
@pytest.mark.parametrize("kind", ["smooth", "mixed", "noise"])
def test_the_bytes_come_back(ram, areas, kind, folio):
    ram("256M", priority=5)
    areas(1, "128M")
    with hotswap.Space("16M", folio) as space:
        a = space.empty(16 * MIB, "f4")  # 64 MiB
        for start in range(0, a.size, MIB):
            a[start : start + MIB] = of_kind(kind, start, MIB)
        swap = figures("ram:0")
        for start in range(0, a.size, MIB):
            assert np.array_equal(a[start : start + MIB], of_kind(kind, start, MIB))
        if kind == "noise":
            assert swap.held == 0 and figures("ram:0").used == 0  # all of it was sent on
        else:
            assert swap.held * 4 < swap.stored * 3
        del a


def test_what_it_holds_counts_in_the_limit(ram):
    ram("512M")
    block = smooth(np.arange(MIB))  # made once: what the C library keeps of temporary arrays is none of the area's
    before = rss_anon()
    limit = 64 * MIB
    with hotswap.Space(limit) as space:
        a = space.empty(24 * MIB, "f4")  # 96 MiB
        most = 0
        for start in range(0, a.size, MIB):
            block[0] = start
            a[start : start + MIB] = block
            most = max(most, rss_anon() - before)
            assert space.stats()["resident_bytes"] <= limit + 2 * MIB  # the books, before a batch's folios are counted out
        assert figures("ram:0").held > 8 * MIB
        assert most <= limit + CONSTANT
        del a


def test_it_keeps_a_share_of_the_limit_free(ram, areas):
    """What does not fit in three quarters of a limit goes to the next area, not in place of what is being worked with."""
    ram("512M", priority=5)
    (path,) = areas(1, "256M")
    with hotswap.Space("16M") as space:
        a = space.empty(32 * MIB, "f4")  # 128 MiB, which pack to more than the limit
        for start in range(0, a.size, MIB):
            a[start : start + MIB] = smooth(np.arange(start, start + MIB))
        assert figures("ram:0").held <= 13 * MIB
        assert figures(path).used > 8 * MIB
        for start in range(0, a.size, MIB):
            assert np.array_equal(a[start : start + MIB], smooth(np.arange(start, start + MIB)))
        del a


def test_it_goes_off_and_on_under_load(ram, areas):
    areas(1, "64M")
    name = ram("64M", priority=5)
    with hotswap.Space("4M") as space:
        pages = [Pages(space, 8 * MIB, number) for number in range(2)]
        crew = Crew()

        def work(mine, random):
            first = random.randrange(mine.count - 32)
            mine.check(first, 32)
            mine.stamp(first, 32, random.randrange(1, 1000))

        for number, mine in enumerate(pages):
            crew.start(work, mine, random.Random(number), name=f"worker-{number}")

        def flip():
            hotswap.swapoff(name)
            hotswap.swapon(name, size="64M", priority=5)

        crew.start(flip, name="flip")
        crew.work(2, each=5)
        crew.join()
        for mine in pages:
            mine.check()
        del pages, mine, crew


def test_a_snapshot_outlives_the_space_that_packed_its_pages(ram):
    ram("64M")
    space = hotswap.Space("4M")
    a = space.empty(4 * MIB, "u4")
    a[...] = np.arange(a.size)
    snapshot = space.snapshot()
    old = snapshot.array_of(a)
    del a
    space.close()
    with hotswap.Space("4M") as other:  # takes the closed one's row
        b = other.full(MIB, 1, "f4")
        b[::1024] = np.arange(1024)
        assert np.array_equal(old, np.arange(old.size))
        del b
    del old
    snapshot.close()


def test_it_needs_a_size(nothing_leaked):
    with pytest.raises(AreaError, match="ram: needs a size"):
        hotswap.swapon("ram:")
    with pytest.raises(AreaError, match="fewer than"):
        hotswap.swapon("ram:", size="4K")
    hotswap.swapon("ram:", size="1M")
    with pytest.raises(AreaError, match="is on already"):
        hotswap.swapon("ram:", size="1M")
    hotswap.swapoff("ram:")


# --- in front of a file -----------------------------------------------------------------------------------------------


@pytest.fixture
def front(nothing_leaked, scratch):
    """``front(compressed, size)``: a file with compressed memory in front; goes off at the test's end, when it holds nothing."""
    names = []

    def make(compressed, size="128M", priority=0):
        made = hotswap.swapon(scratch / f"front-{len(names)}.swap", size, priority, compressed=compressed)
        names.append(made.path)
        return made.path

    yield make
    gc.collect()
    for name in names:
        if any(swap.path == name for swap in hotswap.swaps()):
            assert eventually(lambda name=name: figures(name).held == 0), f"{figures(name)} still holds something"
            hotswap.swapoff(name)


@pytest.mark.parametrize("folio", ["4K", "256K"])
@pytest.mark.parametrize("kind", ["smooth", "mixed", "noise"])
def test_in_front_of_a_file_the_bytes_come_back_from_where_they_are(front, kind, folio):
    name = front("3M")
    with hotswap.Space("12M", folio) as space:
        a = space.empty(8 * MIB, "f4")  # 32 MiB: more than fits in front
        for _ in range(2):
            for start in range(0, a.size, MIB):
                a[start : start + MIB] = of_kind(kind, start, MIB)
            for start in range(0, a.size, MIB):
                assert np.array_equal(a[start : start + MIB], of_kind(kind, start, MIB))
        swap = figures(name)
        assert swap.held <= 4 * MIB and swap.packed <= swap.held and swap.overhead == swap.held - swap.packed
        if kind == "noise":
            assert swap.stored == 0 and swap.declined > 14 * MIB
        else:
            assert swap.stored > 2 * MIB and swap.written_back > 4 * MIB
        del a


def test_what_is_used_stays_in_front_and_the_coldest_goes_to_the_file(front):
    name = front("4M")
    with hotswap.Space("32M", "64K") as space:
        a = space.empty(24 * MIB, "f4")  # 96 MiB
        for start in range(0, a.size, MIB):
            a[start : start + MIB] = smooth(np.arange(start, start + MIB))
        assert eventually(lambda: figures(name).held * 16 <= figures(name).compressed * 15)
        swap = figures(name)
        assert swap.flags.endswith(" compressed") and swap.stored + swap.written_back > 40 * MIB
        del a


def test_a_front_goes_off_and_on_under_load(front, areas):
    areas(1, "64M", priority=-1)
    name = front("1M", "64M", priority=5)
    with hotswap.Space("4M") as space:
        pages = [Pages(space, 8 * MIB, number) for number in range(2)]
        crew = Crew()

        def work(mine, random):
            first = random.randrange(mine.count - 32)
            mine.check(first, 32)
            mine.stamp(first, 32, random.randrange(1, 1000))

        for number, mine in enumerate(pages):
            crew.start(work, mine, random.Random(number), name=f"worker-{number}")

        def flip():
            hotswap.swapoff(name)
            hotswap.swapon(name, priority=5, compressed="1M")

        crew.start(flip, name="flip")
        crew.work(2, each=5)
        crew.join()
        for mine in pages:
            mine.check()
        del pages, mine, crew


def test_a_swapoff_that_finds_no_room_leaves_the_front_as_it_was(front):
    name = front("2M", "32M")
    with hotswap.Space("4M") as space:
        pages = Pages(space, 16 * MIB)
        pages.stamp(0, pages.count, 1)
        with pytest.raises(AreaError, match="stays on, as usable as before"):
            hotswap.swapoff(name)
        swap = figures(name)
        assert swap.flags == "active direct compressed" or swap.flags == "active buffered compressed"
        pages.check()
        pages.stamp(0, pages.count, 2)
        pages.check()
        del pages


def test_a_full_ram_area_writes_its_coldest_back_to_the_next(ram, areas):
    ram("512M", priority=5)
    (path,) = areas(1, "256M")
    with hotswap.Space("16M") as space:
        a = space.empty(32 * MIB, "f4")  # 128 MiB, which pack to more than the limit
        for start in range(0, a.size, MIB):
            a[start : start + MIB] = smooth(np.arange(start, start + MIB))
        swap = figures("ram:0")
        assert swap.written_back > 8 * MIB and figures(path).used > 8 * MIB
        assert eventually(lambda: space.stats()["packed_bytes"] <= 12 * MIB)
        for start in range(0, a.size, MIB):
            assert np.array_equal(a[start : start + MIB], smooth(np.arange(start, start + MIB)))
        del a


def test_a_small_ram_area_that_is_full_makes_room_too(ram, areas):
    """Full of slots, not of memory."""
    ram("4M", priority=5)
    areas(1, "64M")
    with hotswap.Space("8M") as space:
        a = space.empty(8 * MIB, "f4")
        for start in range(0, a.size, MIB):
            a[start : start + MIB] = smooth(np.arange(start, start + MIB))
        assert eventually(lambda: figures("ram:0").used <= 4 * MIB * 15 // 16 and figures("ram:0").written_back > 0)
        for start in range(0, a.size, MIB):
            assert np.array_equal(a[start : start + MIB], smooth(np.arange(start, start + MIB)))
        del a


def test_a_ram_area_goes_off_and_on_while_it_writes_back(ram, areas):
    areas(2, "32M")
    name = ram("8M", priority=5)
    with hotswap.Space("2M", "4K") as space:
        pages = [Pages(space, 8 * MIB, number) for number in range(2)]
        crew = Crew()

        def work(mine, random):
            first = random.randrange(mine.count - 32)
            mine.check(first, 32)
            mine.stamp(first, 32, random.randrange(1, 1000))

        for number, mine in enumerate(pages):
            crew.start(work, mine, random.Random(number), name=f"worker-{number}")
        written = []

        def flip():
            written.append(eventually(lambda: figures(name).written_back > 0, 1))
            hotswap.swapoff(name)
            hotswap.swapon(name, size="8M", priority=5)

        crew.start(flip, name="flip")
        crew.work(2, each=3)
        crew.join()
        for mine in pages:
            mine.check()
        assert any(written)
        del pages, mine, crew


def test_how_it_is_packed_follows_the_element_of_the_array(ram, areas):
    """Not the shape of a buffer but what the numbers are made of."""
    ram("256M", priority=5)
    areas(1, "64M")

    def ratio(numbers, dtype):
        with hotswap.Space("32M", "64K") as space:
            a = space.empty(numbers.size, dtype)
            a[...] = numbers
            b = [space.zeros(2 * MIB, "f4") for _ in range(4)]
            for part in b:  # the rest of the limit; of one array it would be a scan that leaves in memory what was there before
                part[...] = np.random.default_rng(1).random(part.size, "f4")
            swap = figures("ram:0")
            assert np.array_equal(a, numbers)
            del a, b, part
            return swap.stored / swap.packed if swap.packed else 1.0

    walk = np.cumsum(np.random.default_rng(7).integers(-3, 4, 2 * MIB))
    assert ratio(walk.astype("i8"), "i8") > 6
    assert ratio(np.sin(np.arange(2 * MIB) / 5e4).astype("f8"), "f8") > 1.3
    assert ratio(np.sin(np.arange(4 * MIB) / 5e4).astype("f4"), "f4") > 6
    records = np.zeros(MIB, "u4,u2,u2,u4")  # 12 bytes
    records["f0"] = np.arange(MIB)
    records["f2"] = np.random.default_rng(7).integers(0, 9, MIB)
    assert ratio(records, records.dtype) > 4


def test_what_cannot_be_in_front_is_refused(nothing_leaked, scratch):
    with pytest.raises(AreaError, match="is compressed memory itself"):
        hotswap.swapon("ram:", size="2M", compressed="1M")
    with pytest.raises(AreaError, match="too little"):
        hotswap.swapon(scratch / "a.swap", size="2M", compressed="64K")
    with pytest.raises(hotswap.errors.SizeError):
        hotswap.swapon(scratch / "a.swap", size="2M", compressed="much")
    assert not (scratch / "a.swap").exists()


# --- the store itself, in both lives ---------------------------------------------------------------------------------


@pytest.fixture(params=["compiled", "uncompiled"])
def store(request, nothing_leaked):
    """The store with an address space to charge, and memory to write from: bytes in, bytes out."""
    if request.param == "compiled":
        with hotswap.Space("64M") as space:
            life, memory = Compiled(), ctypes.create_string_buffer(2 * 65536 + 4096)
            base = (ctypes.addressof(memory) + 4095) & ~4095
            one = (ctypes.c_uint64 * 1)(base)

            def put(data):
                ctypes.memmove(base, data, len(data))
                return ctypes.addressof(one)

            yield SimpleNamespace(
                ram=life.store.ram,
                mm=space._index,
                put=put,
                room=lambda: ctypes.addressof(one),
                get=lambda n: ctypes.string_at(base, n),
                packed=lambda: space.stats()["resident_bytes"],
            )
    else:
        life = twin.load()
        seam = life.seam
        base = seam.reserve(2 * 65536)
        mm = life.mm.mm_at(0)
        seam.store(mm.budget, 16384)

        def put(data):
            seam.write_memory(base, data)
            return [base]

        yield SimpleNamespace(
            ram=life.store.ram,
            mm=0,
            put=put,
            room=lambda: [base],
            get=lambda n: seam.read_memory(base, n),
            packed=lambda: seam.load(mm.resident) * 4096,
        )


def data_of(rng, pages):
    """Pages that pack to something between nothing and, now and then, all of it."""
    some = rng.randrange(20, 4096)
    return b"".join(rng.randbytes(some) + bytes(4096 - some) for _ in range(pages))


@pytest.mark.parametrize("seed", range(3))
def test_the_store_does_what_a_dictionary_does(store, seed):
    rng = random.Random(seed)
    slots = 800
    before = store.packed()
    assert store.ram.ram_setup(TYPE, slots, 0) == 0
    held: dict[int, bytes] = {}
    pieces: list[tuple[int, int]] = []
    written = refused = 0
    try:
        for _ in range(400):
            what = rng.random()
            if what < 0.5:
                pages = rng.choice([1, 1, 2, 4, 16, 32])
                slot = rng.randrange(1, slots - pages)
                if any(slot + k in held for k in range(pages)):
                    continue
                data = data_of(rng, pages)
                done = store.ram.ram_write(TYPE, store.mm, store.put(data), 1, pages, slot, rng.choice([0, 1, 2, 4, 8, 16]))
                if done == 1:
                    written += 1
                    pieces.append((slot, pages))
                    for k in range(pages):
                        held[slot + k] = data[k * 4096 : (k + 1) * 4096]
                else:
                    refused += 1
                    for k in range(pages):  # as who took the slots gives them back
                        store.ram.ram_discard(TYPE, slot + k)
            elif what < 0.75 and pieces:
                slot, pages = rng.choice(pieces)
                first = rng.randrange(pages)
                count = rng.randrange(1, pages - first + 1)
                assert store.ram.ram_read(TYPE, store.room(), 1, count, slot + first) == 0
                assert store.get(count * 4096) == b"".join(held[slot + first + k] for k in range(count))
            elif pieces:
                slot, pages = pieces.pop(rng.randrange(len(pieces)))
                for k in range(pages):
                    store.ram.ram_discard(TYPE, slot + k)
                    del held[slot + k]
        assert written > 50 and refused > 5
        for slot, data in held.items():
            assert store.ram.ram_read(TYPE, store.room(), 1, 1, slot) == 0
            assert store.get(4096) == data
        for slot in list(held):
            store.ram.ram_discard(TYPE, slot)
        assert store.packed() == before
    finally:
        store.ram.ram_teardown(TYPE, False)


def test_a_slot_that_holds_nothing_cannot_be_read(store):
    assert store.ram.ram_setup(TYPE, 100, 0) == 0
    try:
        assert store.ram.ram_read(TYPE, store.room(), 1, 1, 7) == -5
    finally:
        store.ram.ram_teardown(TYPE, False)
