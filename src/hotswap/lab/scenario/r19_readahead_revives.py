"""Can readahead bring slots of an area back into use while swapoff empties it?

Source: seed 001 (6): readahead makes new references to an area, and its swapoff never ends, or frees what is in use.

    CPU 0 (readahead)                 CPU 1 (swapoff)
    -----------------                 ---------------
    read_window()
      gather() returns                                       // by the entry, the page is out
                                      swapoff_start()
                                      swapoff_main()
                                        empty_mm() returns   // the slot is free
      cache_reserve() returns                                // and the cache has it
                                      swapoff_main() returns
      cache_settle()                                         <- HAS_CACHE did not keep the area

Two refusals stand against this in the engine, and one alone is enough: cache_reserve() leaves an area alone that is not WRITEOK
(without it, ``reserve-when-emptying``, slots that are still counted get a frame, which delays swapoff by a transfer), and the cache
never takes a slot that nobody refers to (without it: ``cache-takes-free-slots``), so what swapoff has emptied stays empty.
Only without both it happens. In 2000 the reference itself was made by readahead; here only the cache's flag is.
"""

from .contract import seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "reserve-when-emptying"): "never",
    ("percpu_ref", "cache-takes-free-slots"): "never",
    ("percpu_ref", "reserve-when-emptying+cache-takes-free-slots"): "sometimes",
    ("mmlist", "reserve-when-emptying+cache-takes-free-slots"): "sometimes",
}


def setup(world):
    world.off = world.area(16)
    world.array = world.space(1, limit=4)
    world.fill(world.array)
    world.evict(world.array, 1)


def actors(world):
    array = world.array
    return {
        "readahead": lambda: world.twin.readahead.read_window(array.mm, array.start, array.pages),
        "swapoff": lambda: world.swapoff(world.off),
    }


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.array)
