"""What bad input gets: one clear sentence, nothing lost, nothing half done. (Bad area files are in test_areafile.py.)"""

import errno
import platform
import re

import numpy as np
import pytest
from support import MIB, Pages, passes, run_python

import hotswap
from hotswap import AreaError, DtypeError, HotswapError, OutOfSwap, SizeError, Space, SpaceError, control

pytestmark = pytest.mark.usefixtures("nothing_leaked")


def one_sentence(error):
    text = str(error.value)
    assert text.strip() and text.endswith(".") and "\n" not in text, text
    assert isinstance(error.value, HotswapError)


# --- spaces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, -1, "-4M", "", "much", "4X", "4M4", 1.5, None, True, [], b"4M", "nan", "1e9"])
def test_a_limit_that_is_no_size_is_refused(limit):
    with pytest.raises(SizeError, match="limit") as caught:
        Space(limit)
    one_sentence(caught)


@pytest.mark.parametrize(("limit", "folio"), [(4096, "4K"), ("1M", "64K"), ("64M", "2M"), (1, "4K")])
def test_a_limit_below_what_faults_need_is_refused_and_the_sentence_says_what_would_do(limit, folio):
    with pytest.raises(SizeError, match="below what faults need") as caught:
        Space(limit, folio)
    one_sentence(caught)
    number, unit = re.search(r"give at least ([0-9.]+) (\w)iB", str(caught.value)).groups()
    Space(f"{number}{unit}", folio).close()


@pytest.mark.parametrize("folio", [0, 1, 4095, 4097, "12K", "4M", "2K", -4096, "big", 2.0, ()])
def test_a_folio_that_is_none_is_refused(folio):
    with pytest.raises(SizeError, match="folio") as caught:
        Space("16M", folio)
    one_sentence(caught)


def test_an_array_with_a_folio_larger_than_its_spaces_is_refused(space):
    with pytest.raises(SizeError, match="larger than the space's") as caught:
        space.empty(MIB, "u1", folio="2M")
    one_sentence(caught)
    with pytest.raises(SizeError, match="folio"):
        space.empty(MIB, "u1", folio="5K")
    assert space.empty(MIB, "u1", folio="32K").nbytes == MIB


@pytest.mark.parametrize("limit", [0, -5, "x", "256K", None])
def test_a_bad_new_limit_leaves_the_old_one(areas, space, limit):
    areas()
    pages = Pages(space, 6 * MIB)
    pages.stamp(0, pages.count, 1)
    with pytest.raises(SizeError, match="limit") as caught:
        space.limit = limit
    one_sentence(caught)
    assert space.limit == 4 * MIB
    pages.check()
    del pages


def test_a_limit_that_the_areas_have_no_room_for_is_refused_and_nothing_is_lost(areas):
    areas(1, "2M")
    with Space("12M") as space:
        pages = Pages(space, 11 * MIB)
        pages.stamp(0, pages.count, 1)
        with pytest.raises(OutOfSwap, match="no room") as caught:
            space.limit = "4M"
        one_sentence(caught)
        assert space.limit == 12 * MIB
        pages.check()
        pages.stamp(0, pages.count, 2)
        pages.check()
        del pages


def test_a_limit_below_what_is_pinned_is_refused(space):
    space.limit = "8M"
    array = space.zeros(3 * MIB, "u1")
    with space.resident(array), pytest.raises(SizeError, match="pinned") as caught:
        space.limit = "3M"
    one_sentence(caught)
    space.limit = "3M"


def test_a_sixty_fifth_space_is_refused():
    spaces = [Space("512K", "4K") for _number in range(64)]
    with pytest.raises(SpaceError, match="64 exist") as caught:
        Space("512K", "4K")
    one_sentence(caught)
    spaces.pop().close()
    spaces.append(Space("512K", "4K"))
    for space in spaces:
        space.close()


def test_a_space_with_live_arrays_is_not_closed(areas, space):
    areas()
    pages = Pages(space, 6 * MIB)
    pages.stamp(0, pages.count, 1)
    with pytest.raises(SpaceError, match="1 arrays that are still in use") as caught:
        space.close()
    one_sentence(caught)
    pages.check()
    del pages
    space.close()
    space.close()


def test_a_closed_space_makes_no_arrays(space):
    space.close()
    for make in (
        lambda: space.empty(3),
        lambda: space.zeros(3),
        lambda: space.full(3, 1),
        lambda: space.array([1]),
        lambda: space.empty_like([1]),
    ):
        with pytest.raises(SpaceError, match="closed") as caught:
            make()
        one_sentence(caught)


@pytest.mark.parametrize("use", ["space.stats()", "space.limit", "space.limit = '8M'", "space.resident(np.ones(3)).__enter__()"])
def test_using_a_closed_space_is_an_error_and_not_the_end_of_the_process(use):
    outcome = run_python(
        f"""
        import numpy as np, hotswap
        space = hotswap.Space("4M")
        space.close()
        try:
            {use}
        except hotswap.SpaceError as error:
            assert "closed" in str(error), error
        else:
            raise SystemExit("no error")
        """
    )
    assert outcome.code == 0, outcome


# --- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["O", object, [("a", "i4"), ("b", "O")], [("a", [("b", "O", (2,))])], np.dtypes.StringDType()], ids=str
)
def test_dtypes_with_python_objects_are_refused(space, dtype):
    with pytest.raises(DtypeError, match="Python objects") as caught:
        space.empty(10, dtype)
    one_sentence(caught)
    with pytest.raises(TypeError):
        space.zeros(0, dtype)


def test_values_that_are_objects_are_refused(space):
    with pytest.raises(DtypeError):
        space.array([1, None, "three"])
    with pytest.raises(DtypeError):
        space.full(3, None)
    with pytest.raises(DtypeError):
        space.empty_like(np.array([{}]))


@pytest.mark.parametrize("shape", [-1, (3, -1), (0, -5)])
def test_a_negative_shape_is_refused(space, shape):
    with pytest.raises(SpaceError, match="negative") as caught:
        space.empty(shape)
    one_sentence(caught)


@pytest.mark.parametrize("shape", ["3", 2.5, (2.5,), None, ("a",)])
def test_a_shape_that_is_none_is_refused_and_nothing_stays(space, shape):
    with pytest.raises((TypeError, ValueError)):
        space.empty(shape)
    space.close()


@pytest.mark.parametrize("shape", [1 << 40, (1 << 40, 1 << 40), 1 << 200])
def test_an_array_larger_than_anything_is_a_memory_error(space, shape):
    with pytest.raises(OutOfSwap, match="is refused") as caught:
        space.empty(shape, "f8")
    one_sentence(caught)
    space.close()


def test_an_array_that_cannot_be_made_gives_its_range_back(areas, space):
    areas()
    with pytest.raises(ValueError):
        space.empty(100_000, order="no order")
    with pytest.raises(ValueError):
        space.empty((1,) * 70, "u1")
    with pytest.raises(ValueError):
        space.full(100_000, "text", "f8")
    with pytest.raises(TypeError):
        space.empty(3, "no dtype")
    space.close()


def test_pinning_what_is_not_of_the_space_is_refused(space):
    with Space("4M") as other:
        foreign = other.zeros(100)
        for array in (np.zeros(100_000), foreign):
            with pytest.raises(SpaceError, match=r"not one of this space; .*\.$"), space.resident(array):
                pass
        del foreign, array


# --- areas -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", [-2, 32768, 1.0, "1", None, True])
def test_a_priority_that_is_none_is_refused_before_a_file_is_made(scratch, priority):
    with pytest.raises(AreaError, match="priority") as caught:
        hotswap.swapon(scratch / "area", size="1M", priority=priority)
    one_sentence(caught)
    assert not (scratch / "area").exists()


@pytest.mark.parametrize("size", [0, -1, "x", 1.5, True])
def test_an_area_size_that_is_none_is_refused(scratch, size):
    with pytest.raises(SizeError) as caught:
        hotswap.swapon(scratch / "area", size=size)
    one_sentence(caught)
    assert not (scratch / "area").exists()


def test_an_area_too_small_is_refused(scratch):
    with pytest.raises(AreaError, match="fewer than 10 pages") as caught:
        hotswap.swapon(scratch / "area", size=9 * 4096)
    one_sentence(caught)
    assert not (scratch / "area").exists()
    hotswap.swapon(scratch / "area", size=10 * 4096)
    hotswap.swapoff(scratch / "area")


def test_an_area_that_does_not_exist_is_refused(scratch):
    with pytest.raises(AreaError, match="does not exist") as caught:
        hotswap.swapon(scratch / "none")
    one_sentence(caught)
    assert caught.value.errno == errno.ENOENT


def test_an_area_that_is_on_already_is_refused_and_stays_as_it_is(areas, space):
    (path,) = areas()
    pages = Pages(space, 6 * MIB)
    pages.stamp(0, pages.count, 1)
    for size in (None, "16M"):
        with pytest.raises(AreaError, match="already|in use") as caught:
            hotswap.swapon(path, size=size)
        one_sentence(caught)
    outcome = run_python(
        "import sys, hotswap\ntry:\n    hotswap.swapon(sys.argv[1])\nexcept hotswap.AreaError as error:\n    print(error)\n", path
    )
    assert re.search("already|in use", outcome.out), outcome
    pages.check()
    del pages


def test_a_thirty_third_area_is_refused_and_the_thirty_two_stay(areas, scratch):
    areas(32, "64K")
    (scratch / "more").mkdir()
    with pytest.raises(AreaError, match="32 areas are on already; switch one off") as caught:
        hotswap.swapon(scratch / "more" / "area", size="64K")
    one_sentence(caught)
    assert len(hotswap.swaps()) == 32
    assert list((scratch / "more").iterdir()) == [], "a file was made and left for an area that was refused"


def test_a_swapoff_of_what_is_not_on_is_refused(areas, scratch):
    areas()
    for path in (scratch / "none", scratch, "", "/dev/null"):
        with pytest.raises(AreaError, match="is not on") as caught:
            hotswap.swapoff(path)
        one_sentence(caught)
    with pytest.raises(TypeError):
        hotswap.swapoff(None)


def test_an_unknown_guard_is_refused():
    with pytest.raises(HotswapError, match="percpu_ref") as caught:
        hotswap.configure(guard="best")
    one_sentence(caught)
    before = control.guard_in_use()
    hotswap.configure(guard="percpu_ref")
    hotswap.configure()
    hotswap.configure(guard=before)


def test_an_unknown_guard_in_the_environment_is_said_when_an_area_goes_on(scratch):
    script = """
        import sys, hotswap
        try:
            hotswap.swapon(sys.argv[1], size="1M")
        except hotswap.HotswapError as error:
            print(error)
        hotswap.configure(guard="rcu")
        hotswap.swapon(sys.argv[1], size="1M")
        hotswap.swapoff(sys.argv[1])
    """
    out = passes(script, scratch / "a.swap", env={"HOTSWAP_GUARD": "best"})
    assert out.startswith("HOTSWAP_GUARD='best' is unknown; choose one of none, mmlist,")
    assert len(out.splitlines()) == 1


def test_the_guard_is_not_changed_while_an_area_is_on(areas):
    areas()
    with pytest.raises(HotswapError, match="while areas are on") as caught:
        hotswap.configure(guard="none")
    one_sentence(caught)


# --- a kernel that does not play along ---------------------------------------------------------------------------------

# A filter that answers one system call with an errno, as container runtimes have it; installed in the child.
FORBID = """
import ctypes, errno, hotswap, struct
libc = ctypes.CDLL(None, use_errno=True)
def forbid(calls):
    ops = [struct.pack("HBBI", 0x20, 0, 0, 0)]  # load the call's number
    for number, answer in calls:
        ops += [struct.pack("HBBI", 0x15, 0, 1, number), struct.pack("HBBI", 0x06, 0, 0, 0x50000 | answer)]
    ops.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
    code = ctypes.create_string_buffer(b"".join(ops))
    program = struct.pack("HxxxxxxQ", len(ops), ctypes.addressof(code))
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges
    assert libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) == 0, ctypes.get_errno()
"""
USERFAULTFD = 323  # x86-64
OPENAT = 257


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter is for x86-64")
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (
            errno.EPERM,
            ["userfaultfd is refused here", "administrator", "seccomp", "/dev/userfaultfd", "vm.unprivileged_userfaultfd=1"],
        ),
        (errno.ENOSYS, ["no userfaultfd", "administrator", "CONFIG_USERFAULTFD", "seccomp"]),
    ],
)
def test_a_policy_without_userfaultfd_is_named_with_what_to_ask_for(scratch, number, words):
    out = passes(
        FORBID
        + f"""
import os, sys
hotswap.Space, hotswap.UnsupportedError  # loaded before their files may not be readable any more
if os.path.exists("/dev/userfaultfd") and os.access("/dev/userfaultfd", os.W_OK):
    os.setgid(65534), os.setuid(65534)
forbid([({USERFAULTFD}, {number})])
before = sorted(os.listdir("/proc/self/fd"))
for _time in range(2):
    try:
        hotswap.Space("4M")
    except hotswap.UnsupportedError as error:
        text = str(error)
    else:
        raise SystemExit("a space without userfaultfd")
assert sorted(os.listdir("/proc/self/fd")) == before
print(text)
"""
    )
    for word in words:
        assert word in out
    assert out.strip().endswith(".") and "\n" not in out.strip()


def test_a_process_without_addresses_to_spare_gets_a_smaller_space_or_a_sentence(scratch):
    """Under a limit on address space (ulimit -v)."""
    passes(
        """
        import os, resource, sys, hotswap, numpy as np
        from support import *
        have = int(open("/proc/self/statm").read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (have + (900 << 20),) * 2)
        hotswap.swapon(sys.argv[1], size="16M")
        space = hotswap.Space("4M")
        pages = Pages(space, 8 << 20)
        for first in range(0, pages.count, 64):
            pages.stamp(first, 64, 1)
        pages.check()
        del pages
        space.close()
        have = int(open("/proc/self/statm").read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (have + (100 << 20), resource.getrlimit(resource.RLIMIT_AS)[1]))
        before = descriptors()
        try:
            hotswap.Space("4M").close()
        except hotswap.UnsupportedError as error:
            assert "cannot be made" in str(error), error
        assert eventually(lambda: not engine_threads())
        assert descriptors() == before
        """,
        scratch / "area",
        env={"MALLOC_ARENA_MAX": "1"},
    )


def test_a_child_of_fork_that_cannot_be_set_up_is_told_and_the_parent_goes_on(scratch):
    """Here for want of descriptors."""
    passes(
        """
        import os, resource, signal, sys, hotswap, numpy as np
        from support import *
        hotswap.swapon(sys.argv[1], size="16M")
        space = hotswap.Space("4M")
        pages = Pages(space, 6 << 20)
        pages.stamp(0, pages.count, 1)
        before = used()
        most = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(3)]
        highest = max(taken)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, most[1]))
        child = os.fork()
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
        if child == 0:
            try:
                hotswap.Space("4M")
            except hotswap.UnsupportedError as error:
                assert "fork" in str(error), error
                pages.check()
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGSEGV
        pages.check()
        pages.stamp(0, pages.count, 2)
        pages.check()
        del pages
        assert eventually(lambda: used() == 0)
        hotswap.swapoff(sys.argv[1])
        """,
        scratch / "area",
    )
