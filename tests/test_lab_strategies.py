"""The reductions leave nothing out: on small random programs they meet the outcomes that brute force meets, in fewer schedules."""

import pytest
from lab_programs import Everything, Program

from hotswap.lab.machine import Actor, Machine
from hotswap.lab.strategy.exhaustive import Exhaustive
from hotswap.lab.strategy.pct import Pct
from hotswap.lab.strategy.random_walk import RandomWalk
from hotswap.lab.strategy.replay import CannotReplay, Replay

KINDS = [
    None,  # all of them
    ["load", "store", "add", "cas"],
    ["mutex", "mutexes", "load", "store"],
    ["bit", "try", "read", "write", "store"],
    ["wait", "wake", "nap", "load", "cas"],
]
MOST = 3000  # schedules of brute force for one program


def programs(seeds):
    for seed in seeds:
        yield Program(seed, words=1, most=2 + seed % 3, kinds=KINDS[seed % len(KINDS)])


@pytest.mark.parametrize("group", range(5))
def test_partial_order_reduction_meets_every_outcome(group):
    compared, all_of_them, tried = 0, 0, 0
    for program in programs(range(group, 60, 5)):
        brute = Everything()
        wanted = program.outcomes(brute, MOST)
        if wanted is None:
            continue
        reduced = Exhaustive()
        assert program.outcomes(reduced) == wanted, program.text
        assert reduced.complete and reduced.coverage().bound is None
        compared, all_of_them, tried = compared + 1, all_of_them + brute.schedules, tried + reduced.schedules + reduced.pruned
    assert compared >= 5
    assert tried * 5 < all_of_them


@pytest.mark.parametrize("threads", [2, 3])
def test_who_waits_for_a_lock_in_a_deadlock_races_with_its_holder(threads):
    """Two locks in either order: some outcomes are reached only by turning round what a deadlock did not let happen."""
    for seed in range(4):
        program = Program(seed, words=1, most=2 if threads == 2 else 1, threads=threads, kinds=["mutexes"])
        wanted = program.outcomes(Everything(), 4 * MOST)
        assert wanted is not None
        assert program.outcomes(Exhaustive()) == wanted, program.text


@pytest.mark.parametrize("bound", [0, 1, 2])
def test_with_a_bound_it_meets_every_outcome_within_the_bound(bound):
    """It may meet more of them, never less; 92, 182 and 298 need somebody to come to a lock just before it is free."""
    compared = 0
    for program in programs([*range(40), 92, 182, 298]):
        brute = Everything(bound)
        wanted = program.outcomes(brute, MOST)
        if wanted is None:
            continue
        reduced = Exhaustive(bound)
        assert program.outcomes(reduced) >= wanted, program.text
        assert reduced.schedules <= brute.schedules
        compared += 1
    assert compared >= 30


RELAXED = [
    ["load", "store"],
    ["load", "store", "fence"],
    ["load", "store", "heavy"],
    ["store", "store_release", "load_acquire", "add"],
]


@pytest.mark.parametrize("model", ["tso", "weak"])
def test_what_a_memory_model_does_by_itself_is_varied_too(model):
    """Store buffers drain at any moment, loads return any value they may: with the reduction as without."""
    compared = all_of_them = tried = 0
    for seed in range(16):
        program = Program(seed, model=model, words=1 + seed % 2, most=2, threads=2, kinds=RELAXED[seed % 4])
        brute = Everything()
        wanted = program.outcomes(brute, MOST)
        if wanted is None:
            continue
        reduced = Exhaustive()
        assert program.outcomes(reduced) == wanted, program.text
        compared, all_of_them, tried = compared + 1, all_of_them + brute.schedules, tried + reduced.schedules + reduced.pruned
        for bound in (0, 1):
            wanted = program.outcomes(Everything(bound), MOST)
            assert wanted is None or program.outcomes(Exhaustive(bound)) >= wanted, program.text
    assert compared >= 12 and tried * 3 < all_of_them


def store_buffering(model):
    """Does each of two CPUs, having stored, miss the other's store?"""
    program = Program(0, model=model, threads=1)
    one, other = program.words
    read = []

    def cpu(mine, others):
        yield "store", mine, 1
        read.append((yield "load", others))

    machine = Machine(program.twin, [Actor("a", lambda: cpu(one, other)), Actor("b", lambda: cpu(other, one))])
    strategy, met = Exhaustive(), set()
    while strategy.begin():
        read.clear()
        machine.run(strategy)
        met.add(tuple(read))
    return (0, 0) in met


def test_a_missing_barrier_shows_where_stores_are_seen_late_and_not_elsewhere():
    assert store_buffering("tso") and store_buffering("weak")
    assert not store_buffering("sc")


def test_brute_force_tells_programs_apart():
    """The comparison above can fail: another program, other outcomes."""
    met = [program.outcomes(Everything(), MOST) for program in programs([1, 6, 11])]
    assert len({frozenset(outcomes) for outcomes in met if outcomes}) > 1


@pytest.mark.parametrize("seed", [2, 3, 5, 8, 92])
def test_a_search_in_pieces_meets_what_a_search_in_one_meets(seed):
    """Given away after every third schedule, with orders that belong to another piece asked for."""
    program = next(programs([seed]))
    for bound in (None, 2):
        whole = Exhaustive(bound)
        wanted = program.outcomes(whole)
        met, tried, left, searched = set(), {}, [()], 0
        while left:
            piece = Few(3, bound, left.pop())
            met |= program.outcomes(piece)
            roots, states = piece.export() if not piece.complete else ([], [])
            for state in states:
                tried.setdefault(state.path, set()).update(state.actors)
            left += roots
            for request in piece.requests:
                known = tried.setdefault(request.path, set())
                new = (
                    set(request.actors) - known if request.all else set() if known & set(request.actors) else {request.actors[0]}
                )
                known |= new
                left += [(*request.path, actor) for actor in new]
            searched += piece.schedules
        assert met == wanted, program.text
        assert searched >= whole.schedules if bound is None else searched == whole.schedules


class Few(Exhaustive):
    def __init__(self, most, bound, root):
        super().__init__(bound, root)
        self.most = most

    def begin(self):
        return (self.schedules < self.most or not self.path) and super().begin()


def broken_counter():
    program = Program(0, threads=1)
    word = program.words[0]

    def broken():
        value = yield "load", word
        yield "store", word, value + 1

    return Machine(program.twin, [Actor("a", broken), Actor("b", broken)]), word


@pytest.mark.parametrize("strategy", [RandomWalk(100, 1), Pct(100, 2, 1)], ids=["random walk", "pct"])
def test_random_strategies_find_the_broken_counter(strategy):
    machine, word = broken_counter()
    results = set()
    while strategy.begin():
        machine.run(strategy)
        results.add(word.v)
    assert results == {1, 2}
    coverage = strategy.coverage()
    assert coverage.schedules == 100 and coverage.steps == 600 and not coverage.complete


def test_a_seed_gives_the_same_walk():
    machine, _ = broken_counter()
    walks = []
    for seed in (1, 1, 2):
        strategy = RandomWalk(20, seed)
        walks.append([list(machine.run(strategy).choices) for _ in range(20) if strategy.begin()])
    assert walks[0] == walks[1] != walks[2]


def test_replay_makes_the_choices_it_is_given_and_refuses_others():
    machine, word = broken_counter()
    assert machine.run(Replay([0, 1, 0, 1])).choices == [0, 1, 0, 1, 1, 0]
    assert word.v == 1
    with pytest.raises(CannotReplay, match="actor 7 cannot act there"):
        machine.run(Replay([0, 7]))
