"""Can readahead look at the swap map and the cache's index of an area that swapoff frees?

Source: seed 000, the commit message of the 2019 patch: swapin_readahead() between choosing the entry and counting it.

    CPU 0 (readahead)                 CPU 1 (swapoff)
    -----------------                 ---------------
    read_window()
      gather() returns
      take_slots()
        load(flags)
                                      swapoff_start()
                                      swapoff_main()
                                        guard_retire() returns
                                        area_free_tables()
                                          table_free(map)
        cache_reserve()                                       <- the map is gone

Readahead looks at entries without locking them, so nothing but the guard keeps the area while it does.
"""

EXPECT = {("none", ""): "sometimes", ("percpu_ref", ""): "never"}


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
