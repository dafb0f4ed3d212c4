"""Can readahead look at the swap map and the cache's index of an area that swapoff frees?

Source: seed 000, the commit message of the 2019 patch: swapin_readahead() between choosing the entry and counting it.

    CPU 0 (readahead)                 CPU 1 (swapoff)
    -----------------                 ---------------
    read_window()
      gather() returns
      take_slots()
        cache_reserve()
          mutex_lock(lock) next
                                      swapoff_start()
                                      swapoff_main()
                                        guard_retire() returns
                                        area_free_tables()
                                          table_free(map)
          cache_flag_set()                                      <- the map is gone

Readahead looks at entries without locking them, so nothing but the guard keeps the area while it does.

Today's readahead refuses an area that is being emptied (R19) and an offset beyond its bounds (R04; an area that is off has none), both
after it has the area's lock. So the drawing is of ``none`` with these two left out, as it was in 2019. With them ``none`` fails all
the same, later: what was read is let go of when nobody refers to it any more, and the look-up for that has neither check.
"""

from .contract import seven

EXPECT: dict[tuple[str, ...], str] = {
    ("none", ""): "sometimes",
    ("none", "reserve-when-emptying+no-bounds"): "sometimes",
    **seven(),
    ("percpu_ref", "", "tso"): "never",
    ("percpu_ref", "reserve-when-emptying+no-bounds"): "never",
}


def setup(world):
    world.off = world.area(16)
    world.area(16, priority=-1)
    world.array = world.space(2)
    world.fill(world.array)
    world.evict(world.array, 2)


def actors(world):
    array = world.array
    return {
        "readahead": lambda: world.twin.readahead.read_window(array.mm, array.start, array.pages),
        "swapoff": lambda: world.swapoff(world.off),
    }


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.array)
