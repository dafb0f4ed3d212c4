"""One limit for a family: shares that together never exceed it, and move to who needs more; a child's, and that of one who has gone."""

from test_family import family

MORE = """
MIB = 1 << 20

def shares():
    return hotswap.family_stats()

def within(limit=8 << 20):
    now = shares()
    assert now["given_bytes"] <= limit and now["resident_bytes"] <= limit, now
    return now

def busy(array, until, seed=0):
    "Touches pages here and there: all of them come back too soon."
    numbers, total = np.random.default_rng(seed), 0
    while not until():
        total += int(array[numbers.integers(0, array.size // 512, 50) * 512].sum())
        within()
    return total

hotswap.configure(family_limit="8M")
"""


def limited(script, scratch, **options):
    lines = script.splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    family(MORE + "\n".join(line[indent:] for line in lines), scratch, **options)


def test_a_space_that_needs_more_gets_it_from_one_that_does_not(scratch):
    limited(
        """
        one, first = make(limit="8M", folio="4K")
        assert one.limit == 8 * MIB
        two, second = make(limit="8M", folio="4K")
        within()
        assert two.limit >= 3 * MIB  # what it gave at once
        for space, array in [(one, first), (two, second)] * 2:
            late = time.monotonic() + 20
            busy(array, lambda: space.limit > 5 * MIB or time.monotonic() > late)
            assert space.limit > 5 * MIB, (one.limit, two.limit)
        assert same(first) and same(second)
        within()
        """,
        scratch,
    )


def test_a_child_has_a_share_and_gives_it_back_when_it_ends(scratch):
    limited(
        """
        space, array = make(limit="8M", folio="4K")
        ready, tell = os.pipe()
        go, told = os.pipe()

        def main():
            within()
            assert shares()["members"] == 2
            os.write(tell, b"r")
            assert same(array)
            late = time.monotonic() + 20
            busy(array, lambda: space.limit > 5 * MIB or time.monotonic() > late)
            assert space.limit > 5 * MIB
            array[::512] = 1
            within()
            os.write(tell, b"r")
            signal.alarm(20)
            os.read(go, 1)

        for end in (0, -signal.SIGKILL):
            pid = child(main)
            os.read(ready, 1)
            os.read(ready, 1)
            assert space.limit < 3 * MIB + 4096, space.limit  # the child needed it
            within()
            os.kill(pid, signal.SIGKILL) if end else os.write(told, b"g")
            ends(pid, end)
            assert eventually(lambda: shares()["members"] == 1)
            late = time.monotonic() + 20
            busy(array, lambda: space.limit == 8 * MIB or time.monotonic() > late)
            assert space.limit == 8 * MIB, space.limit
        assert same(array)
        """,
        scratch,
    )


def test_a_shared_array_has_a_share_and_limits_are_wishes(scratch):
    limited(
        """
        space, array = make(limit="4M", folio="4K")
        shared = hotswap.SharedArray(space, 1 << 20, "u8", limit="4M", folio="4K")
        within()
        shared.array[:] = 3
        assert same(array)
        space.limit = "2M"
        assert space.limit == 2 * MIB
        shared.limit = "6M"
        late = time.monotonic() + 20
        busy(shared.array, lambda: shared.limit == 6 * MIB or time.monotonic() > late)
        assert shared.limit == 6 * MIB and space.limit == 2 * MIB
        space.limit = "8M"
        assert space.limit < 8 * MIB
        within()
        """,
        scratch,
    )


def test_what_there_is_no_room_for_is_refused(scratch):
    limited(
        """
        def refused(call, words):
            try:
                call()
            except hotswap.HotswapError as error:
                assert words in str(error), error
            else:
                raise AssertionError(words)

        refused(lambda: hotswap.configure(family_limit="4K"), "below what one space needs")
        spaces = []
        try:
            while len(spaces) < 60:
                spaces.append(hotswap.Space("1M"))
        except hotswap.SpaceError as error:
            assert "family's limit" in str(error)
        assert 4 <= len(spaces) <= 8
        within()
        refused(lambda: hotswap.configure(family_limit="1M"), "lower their limits first")
        for space in spaces[1:]:
            space.close()
        hotswap.configure(family_limit="2M")
        within(2 << 20)
        hotswap.configure(family_limit=0)
        assert hotswap.Space("16M").limit == 16 * MIB
        """,
        scratch,
    )
