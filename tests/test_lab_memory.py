"""Uncompiled source means what it means in C: widths, addresses, cycles; what C leaves undefined is found."""

import pytest

from hotswap.lab import declarations, twin
from hotswap.lab.findings import (
    AccessDenied,
    BusError,
    DoesNotFit,
    InvariantBroken,
    LockMisuse,
    NotInC,
    NullDereference,
    OutOfBounds,
    UnservedFault,
    UseAfterFree,
    WouldWaitForEver,
)
from hotswap.lab.mmu import PAGE
from hotswap.lab.seam import Seam

PXD = """
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from hotswap cimport arch
from hotswap.engine.{other} cimport Link

cdef enum:
    SMALL = 3
    NEXT
    SHIFTED = SMALL << 4 | 0x1
cdef struct Inner:
    int a
    uint8_t bytes[SMALL]
cdef struct Node:           # points to itself
    arch.word shared
    Node *next
    Inner inner
    uint8_t small
    int number
cdef Node *nodes
cdef Node single
cdef uint64_t total
cdef int grid[2][3]

cdef uint64_t below(uint64_t a, uint64_t b) noexcept nogil
cdef uint8_t narrow(int value) noexcept nogil
cdef int wide(long value) noexcept nogil
cdef void put(uint64_t *where, uint64_t value) noexcept nogil
cdef uint64_t through_a_pointer(uint64_t value) noexcept nogil
cdef int divided(int a, int b) noexcept nogil
cdef int forgets(int a) noexcept nogil
cdef uint64_t count_up() noexcept nogil
cdef int bumped(int a) noexcept nogil
cpdef int around(int turns) noexcept nogil
cdef int local_struct(int value) noexcept nogil
cdef int out_of_the_world() noexcept nogil
"""
PY = """
import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.{other} import Link, back, live
from cython.cimports.libc.stdint import uint32_t, uint64_t

nodes = cython.cast(cython.pointer(Node), arch.table(4, cython.sizeof(Node)))
total = -1


def below(a, b):
    c: uint64_t = a - b
    c += 0
    return c


def narrow(value):
    return value


def wide(value):
    return value


def put(where, value):
    where[0] = value


def through_a_pointer(value):
    result: uint64_t = 0
    put(cython.address(result), value)
    put(cython.address(value), result + 1)
    return result + value


def divided(a, b):
    return a // b * 100 + a % b


def forgets(a):
    if a:
        return a


def count_up():
    global total
    total += 2
    return total


def bumped(a):
    a += 1
    return a


def around(turns):
    return live + (back(turns - 1) if turns else 0)


def local_struct(value):
    inner: Inner
    inner.a = value
    nodes[0].inner = inner
    inner.a += 1
    return nodes[0].inner.a


def out_of_the_world():
    import os
    return os.getpid()
"""
OTHER_PXD = "cdef struct Link:\n    int to\ncdef int live\ncdef int back(int turns) noexcept nogil\ncdef void raise_live(int by) noexcept nogil\n"
OTHER_PY = """
from cython.cimports.hotswap.engine.probe import around

live = 1


def back(turns):
    return around(turns)


def raise_live(by):
    global live
    live += by
"""


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """A module of an engine of its own, which another one needs in turn."""
    engine = tmp_path / "hotswap" / "engine"
    engine.mkdir(parents=True)
    (tmp_path / "hotswap" / "arch").symlink_to(declarations.ENGINE.parent / "arch")
    for name, text in {"probe.pxd": PXD, "probe.py": PY, "other.pxd": OTHER_PXD, "other.py": OTHER_PY}.items():
        (engine / name).write_text(text.replace("{other}", "other"))
    monkeypatch.setattr(declarations, "ENGINE", engine)
    monkeypatch.setattr(declarations, "ROOT", tmp_path)
    return twin.load(["probe"])


def test_unsigned_numbers_wrap_and_signed_ones_must_fit(probe):
    assert probe.probe.below(1, 2) == (1 << 64) - 1
    assert probe.probe.narrow(300) == 44
    assert probe.probe.wide(5) == 5
    with pytest.raises(DoesNotFit, match="4294967296 does not fit a signed int"):
        probe.probe.wide(1 << 32)
    node = probe.probe.nodes[1]
    node.small = 256 + 7
    assert node.small == 7
    node.small -= 8
    assert node.small == 255
    with pytest.raises(DoesNotFit):
        node.number = 1 << 31
    node.inner.bytes[2] = -1
    assert node.inner.bytes[2] == 255


def test_constants_are_what_the_declarations_say(probe):
    assert (probe.probe.SMALL, probe.probe.NEXT, probe.probe.SHIFTED) == (3, 4, 49)


def test_module_variables_have_their_width_and_start_as_zeros(probe):
    assert probe.probe.total == (1 << 64) - 1  # assigned -1
    assert probe.probe.count_up() == 1
    assert probe.probe.single.number == 0
    assert probe.probe.grid[1][2] == 0
    with pytest.raises(OutOfBounds, match=r"grid\[1\]\[3\]"):
        probe.probe.grid[1][3]


def test_an_address_of_a_local_is_written_through(probe):
    assert probe.probe.through_a_pointer(20) == 20 + 21


def test_a_struct_is_copied_where_c_copies_it(probe):
    assert probe.probe.local_struct(4) == 4


def test_division_where_c_and_python_differ_is_refused(probe):
    assert probe.probe.divided(17, 5) == 302
    with pytest.raises(NotInC, match="-1 divided by 5"):
        probe.probe.divided(-1, 5)


def test_a_function_that_falls_off_its_end_is_found(probe):
    assert probe.probe.forgets(1) == 1
    with pytest.raises(NotInC, match=r"forgets\(\)"):
        probe.probe.forgets(0)


def test_modules_may_need_each_other_and_see_variables_live(probe):
    assert probe.probe.around(3) == 4
    probe.other.raise_live(10)
    assert probe.probe.around(0) == 11


def test_a_function_that_is_replaced_is_replaced_for_all(probe):
    probe.other.back = lambda turns: 1000
    assert probe.probe.around(3) == 1001


def test_the_engine_cannot_import_while_it_runs(probe):
    with pytest.raises(ImportError, match="nothing of the outside world"):
        probe.probe.out_of_the_world()


def test_structs_have_the_declared_fields_and_no_others(probe):
    node = probe.probe.nodes[0]
    with pytest.raises(AttributeError, match="no field 'colour'"):
        node.colour = 1
    with pytest.raises(AttributeError):
        node.colour  # noqa: B018
    with pytest.raises(NotInC, match=r"nodes\[0\].shared is touched only through the seam"):
        node.shared = 1
    with pytest.raises(NullDereference):
        node.next.number  # noqa: B018
    with pytest.raises(OutOfBounds, match=r"nodes\[4\], which has 4"):
        probe.probe.nodes[4]
    with pytest.raises(OutOfBounds):
        probe.probe.nodes[-1]
    assert probe.probe.nodes[2] - probe.probe.nodes == 2
    assert probe.probe.nodes[3] - probe.probe.nodes[1] == 2


def test_what_was_freed_refuses_every_access(probe):
    seam, nodes = probe.seam, probe.probe.nodes
    node, word, raw = nodes[1], nodes[1].shared, nodes[1].inner.bytes
    seam.table_free(nodes, True)
    for touch in (
        lambda: nodes[0],
        lambda: node.number,
        lambda: setattr(node, "number", 1),
        lambda: seam.load(word),
        lambda: seam.store(word, 1),
        lambda: raw[0],
        lambda: seam.table_free(nodes, True),
    ):
        with pytest.raises(UseAfterFree, match="freed at"):
            touch()
    assert nodes and node  # a dangling pointer is still not NULL
    seam.table_free(probe.probe.single.next, True)  # NULL


def words(count=1):
    seam = Seam()
    return seam, *(seam.word.make(f"w{number}") for number in range(count))


def test_words_have_64_bits():
    seam, w = words()
    assert seam.add(w, -1) == (1 << 64) - 1
    assert seam.add(w, 2) == 1
    assert seam.cas(w, 1, 5) and not seam.cas(w, 1, 6)
    assert seam.swap(w, 9) == 5
    seam.bump(w, -10)
    assert seam.load_acquire(w) == (1 << 64) - 1


def test_each_access_is_announced_before_it_is_made():
    seam, w = words()
    seen = []
    seam.on_access = lambda kind, target, *details: seen.append((kind, target, w.v))
    seam.store(w, 4)
    seam.bit_lock(w)
    assert seen == [("store", w, 0), ("bit_lock", w, 4)]


def test_what_nobody_ends_is_said_with_its_name():
    seam, w = words()
    mutex, lock = seam.mutex.make("m"), seam.rwlock.make("l")
    seam.bit_lock(w)
    assert not seam.bit_trylock(w)
    seam.mutex_lock(mutex)
    seam.read_lock(lock)
    for wait, name in (
        (lambda: seam.bit_lock(w), "w0"),
        (lambda: seam.mutex_lock(mutex), "m"),
        (lambda: seam.write_lock(lock), "l"),
        (lambda: seam.event_wait(w, seam.event_read(w), -1), "w0"),
        (lambda: [seam.nap_us(10) for _ in range(20_000)], "over and over"),
    ):
        with pytest.raises(WouldWaitForEver, match=name):
            wait()
    with pytest.raises(InvariantBroken, match="as said"):
        seam.check(False, b"as said")


def test_locks_are_let_go_by_who_holds_them():
    seam, w = words()
    mutex, lock = seam.mutex.make("m"), seam.rwlock.make("l")
    seam.mutex_lock(mutex)
    seam.current = 1
    for misuse in (
        lambda: seam.mutex_unlock(mutex),
        lambda: seam.read_unlock(lock),
        lambda: seam.write_unlock(lock),
        lambda: seam.bit_unlock(w, 0),
    ):
        with pytest.raises(LockMisuse):
            misuse()


def test_a_bit_lock_keeps_its_value_until_the_unlock():
    seam, w = words()
    seam.store(w, 12)
    seam.bit_lock(w)
    assert seam.load(w) & ~3 == 12
    seam.bit_unlock(w, 20)
    assert seam.load(w) == 20


def test_pages_are_zeroed_copied_moved_protected_and_dropped():
    seam = Seam()
    fd = seam.mmu_open()
    arena, staging = seam.reserve(8 * PAGE), seam.reserve(8 * PAGE)
    seam.mmu_register(fd, arena, 8 * PAGE, True)
    with pytest.raises(UnservedFault):
        seam.read_memory(arena, 1)
    assert seam.read_memory(staging, 8) == bytes(8)  # not registered for missing pages
    assert seam.mmu_zero(fd, arena, 2 * PAGE) == 0
    seam.write_memory(arena, b"A" * PAGE)
    assert seam.mmu_move(fd, arena + PAGE, arena, PAGE) == -17
    assert seam.mmu_move(fd, staging + 4 * PAGE, arena, 3 * PAGE) == 0  # the third is a hole
    assert seam.read_memory(staging + 4 * PAGE, PAGE) == b"A" * PAGE
    assert arena not in seam.pages and staging + 6 * PAGE not in seam.pages
    assert seam.mmu_copy(fd, arena, staging + 4 * PAGE, PAGE, True) == 0
    assert seam.mmu_copy(fd, arena, staging + 4 * PAGE, PAGE, True) == -17
    with pytest.raises(UnservedFault, match="flags 3"):
        seam.write_memory(arena, b"B")
    seam.on_fault = lambda address, flags: seam.mmu_protect(fd, arena, PAGE, False)
    seam.write_memory(arena, b"B")
    assert seam.read_memory(arena, 2) == b"BA"
    seam.fill(staging, PAGE, 0x0102030405060708)
    assert seam.same_filled(staging, PAGE) and seam.first_word(staging) == 0x0102030405060708
    seam.write_memory(staging + 9, b"x")
    assert not seam.same_filled(staging, PAGE)
    seam.mmu_drop(arena, PAGE)
    assert seam.mmu_poison(fd, arena, PAGE) == 0
    with pytest.raises(BusError):
        seam.touch(arena, PAGE)
    seam.mmu_forbid(staging, PAGE)
    with pytest.raises(AccessDenied):
        seam.read_memory(staging, 1)
    with pytest.raises(AccessDenied):
        seam.read_memory(arena + 8 * PAGE, 1)


def test_transfers_move_pages_and_fail_on_demand():
    seam = Seam()
    file, memory = seam.disk_file(4 * PAGE), seam.reserve(4 * PAGE)
    seam.write_memory(memory, b"1" * PAGE + b"2" * PAGE)
    assert seam.disk_transfer(file, True, [memory + PAGE, memory], 2, PAGE, PAGE) == 0
    assert seam.files[file] == bytes(PAGE) + b"2" * PAGE + b"1" * PAGE + bytes(PAGE)
    assert seam.disk_transfer(file, False, [memory], 1, PAGE, 4 * PAGE) == -5
    assert seam.disk_transfer(file, True, [memory], 1, PAGE, 4 * PAGE) == -28
    seam.inject("disk_read", after=1)
    results = [seam.disk_transfer(file, False, [memory + 2 * PAGE], 1, PAGE, PAGE) for _ in range(3)]
    assert results == [0, -5, 0]
    assert seam.read_memory(memory + 2 * PAGE, 1) == b"2"
