"""Can a process that let go of its slots still look at them when another has reclaimed them and swapoff has ended?

Source: seed 002, the discussion of free_swap_and_cache() in 2024: "What stops swapoff to succeed after process 2 reclaimed the swap cache
but before process 1 finished?"

    CPU 0 (exit 1)              CPU 1 (exit 2)              CPU 2 (swapoff)
    --------------              --------------              ---------------
    mm_unmap()
      swap_free() returns
      cache_forget()
        mutex_lock(lock) next
                                cache_sweep() returns
                                                            swapoff_main()
                                                              guard_retire() returns
                                                              area_free_tables() returns
        index_find()                                                                    <- the index is gone

Two address spaces share a folio of two slots (a fork), and a frame of process 2 has it in the swap cache. Process 1 drops the last
count, and means to take the folio out of the cache, too. Process 2, whose own count has gone, goes on with its exit: its frames go, and
with them the last owner of the slots.
Nothing is in use, so swapoff is done without having visited anybody.

In 2024 the two held counts on different slots of one large folio, each of which looked free by itself. Here a folio's slots are counted
together, and the last look at counts and cache (cache_forget) is a section of its own, made on an entry that may be stale. What
keeps the area is the guard over that look; the switch enters, and leaves before it looks. Three CPUs: the bound is one preemption,
which is all that the race needs; it was met in the 15th schedule.
"""

BOUND = 1

EXPECT = {
    ("none", ""): "sometimes",
    ("percpu_ref", "free-swap-unguarded"): "sometimes",
    ("percpu_ref", ""): "never",
    ("mmlist", ""): "never",
    ("stop_machine", ""): "never",
    ("stop_machine_work", ""): "never",
    ("rcu", ""): "never",
    ("srcu", ""): "never",
    ("rcu_pointer", ""): "never",
}


def setup(world):
    world.off = world.area(16)
    world.two = world.space(2, order=1)
    world.one = world.child(world.two)
    world.fill(world.two)
    world.alone(world.twin.reclaim.shrink(world.two.mm, 2, True))
    assert world.cached(), "a frame has the folio"
    assert world.alone(world.fork(world.two, world.one)) == 0
    world.alone(world.twin.mmap.mm_unmap(world.two.index, world.two.start))


def actors(world):
    mmap, cache = world.twin.mmap, world.twin.cache

    return {
        "exit 1": lambda: mmap.mm_unmap(world.one.index, world.one.start),
        "exit 2": lambda: cache.cache_sweep(world.two.mm, cache.EVERY_AREA),
        "swapoff": lambda: world.swapoff(world.off),
    }


def check(world):
    world.expect_off(world.off)
