"""Can two swapoffs at once move pages into each other's area?

Source: kernel b56a2d8 and its fix: two swapoffs at once, each waits for the other, or swaps into what the other empties.

    CPU 0 (swapoff)                       CPU 1 (other swapoff)
    ---------------                       ---------------------
    move_elsewhere()
      areas_by_priority() returns         // the other area takes slots
                                          swapoff_start()
                                          swapoff_main()
                                            guard_retire()          // nothing is in use
      swap_alloc() returns                // until now
                                          swapoff_main() returns
      area_write() returns
      swapcache_free()                    <- HAS_CACHE did not keep the area

The list of areas that take new slots is looked at once and may be old; swap_alloc() looks at WRITEOK under the lock under which a
swapoff clears it, which ``alloc-when-emptying`` leaves out. An area that is being emptied leaves the list, too; that alone is an
economy (``stays-on-the-list``). With both left out already one swapoff moves pages round and round its own
area and never ends. There is no third area: what is on the two goes to memory.

A schedule of two whole swapoffs is long, so two preemptions are searched for the default design only (1,752 schedules, 1.5 minutes on a
busy machine), one for the others (about 100 schedules each): the fix has no part in the guard.
"""

from .contract import SEVEN, seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "stays-on-the-list"): "never",
    ("percpu_ref", "alloc-when-emptying"): "sometimes",
    ("percpu_ref", "stays-on-the-list+alloc-when-emptying"): "sometimes",
}
BOUNDS = {guard: 1 for guard in SEVEN if guard != "percpu_ref"}


def setup(world):
    world.one = world.area(16)
    world.array = world.space(2, limit=4)
    world.fill(world.array)
    world.evict(world.array, 1)
    world.other = world.area(16, priority=1)
    world.evict(world.array, 1)


def actors(world):
    return {
        "swapoff": lambda: world.swapoff(world.one),
        "other swapoff": lambda: world.swapoff(world.other),
    }


def check(world):
    world.expect_off(world.one)
    world.expect_off(world.other)
    world.expect_bytes(world.array)
