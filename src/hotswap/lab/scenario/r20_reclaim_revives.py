"""Can reclaim bring an area back into use while swapoff empties it, by putting a page's old entry back?

Source: seed 001: a page in the swap cache still has its slot; reclaim duplicated that entry, unless acquire_swap_entry() refused.

    CPU 0 (reclaim)                       CPU 1 (swapoff)
    ---------------                       ---------------
    isolate()
      bit_trylock(ptes[1].state)
      load(ptes[0].state)                 // the page is clean: its slot holds it
                                          swapoff_start()
                                          swapoff_main() returns
      bit_trylock(ptes[0].state)
    drop_clean() returns
    put_back()                            <- the entry names a slot of an area that is off

A clean page keeps its slots, and reclaim drops it by putting its old entry back, without asking whether the area takes new
slots. That is right only since the count lasts as long as the page is clean, and since whoever makes it dirty (here swapoff, which
lets its slots go) and whoever drops it do so under the entry's lock: ``stale-victim`` believes what the entry said before it was
locked. A dirty page is given new slots: ``alloc-when-emptying`` leaves out that swap_alloc() refuses an area being emptied.
"""

from .contract import seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "stale-victim"): "sometimes",
    ("percpu_ref", "alloc-when-emptying"): "sometimes",
    ("mmlist", "alloc-when-emptying"): "sometimes",
}


def setup(world):
    world.off = world.area(16)
    world.array = world.space(2, limit=4)
    world.fill(world.array)
    world.evict(world.array, 1)
    world.alone(world.user_read(world.array, 0))  # in and clean; the other page is dirty


def actors(world):
    return {
        "reclaim": lambda: world.reclaim(world.array, 2),
        "swapoff": lambda: world.swapoff(world.off),
    }


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.array)
