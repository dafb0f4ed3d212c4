"""What waking a thread costs is measured once, and ends, under every order of steps: no wake-up is lost on the way there or back."""

import pytest
from support import searched

from hotswap.lab.machine import Actor, Machine
from hotswap.lab.strategy.exhaustive import Exhaustive
from hotswap.lab.strategy.random_walk import RandomWalk
from hotswap.lab.world import World

STRATEGIES = {"two preemptions": lambda: Exhaustive(bound=2), "seed 3": lambda: RandomWalk(300, seed=3)}


@pytest.mark.parametrize("model", ["sc", "tso"])
@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_the_measurement_ends_and_is_made_once(strategy, model):
    world = World(model=model, TURNS=3, PAUSE_NS=0)  # no time passes here but in naps
    waking = world.twin.waking
    before = waking.waking.answered.v
    world.ready()

    def at_the_end():
        assert waking.waking.begun.v == 1
        assert waking.waking.answered.v - before == 2 * (1 + 3)  # "I listen", and an answer each turn; events go in steps of two

    machine = Machine(world.twin, [Actor("one", waking.waking_ask), Actor("other", waking.waking_ask)], at_the_end)
    finding, tried = searched(machine, strategy())
    assert finding is None, finding
    assert tried > 20
