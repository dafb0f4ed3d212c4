"""Does swapoff miss the entries that a fork copies while it walks the list of address spaces?

Source: seed 001, race 1: "all new mm's are put on the list at the tail", so that swapoff visits parent or child after the copy.

    CPU 0 (fork)                      CPU 1 (swapoff)
    ------------                      ---------------
    mm_dup()
      swap_duplicate() returns
                                      swapoff_main()
                                        collect() waits
      write_unlock(mmap_lock)

A child that is on the list when it gets its entries is met after its parent. Here the walk is repeated until no slot is in use, and a
copied entry is a count more, so a child that is met late is met all the same. One that is on no list is not: the switch leaves
it out, and swapoff goes round for ever.
"""

from .contract import seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "child-unlisted"): "sometimes",
    ("mmlist", "child-unlisted"): "sometimes",
}


def setup(world):
    world.off = world.area(16)
    world.area(16, priority=-1)
    world.array = world.space(1)
    world.fill(world.array)
    world.evict(world.array, 1)
    world.copy = world.child(world.array)


def actors(world):
    return {"fork": lambda: world.fork(world.array, world.copy), "swapoff": lambda: world.swapoff(world.off)}


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.array)
    world.expect_bytes(world.copy)
