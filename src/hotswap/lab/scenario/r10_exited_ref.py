"""What if a reference is exited at swapoff, or made anew at swapon, while somebody still tries it?

Source: seed 003: get_swap_device() is called at almost any time, so percpu_ref_exit() never, and resurrect rather than re-init.

    CPU 0 (forget)                    CPU 1 (off, on, off)
    --------------                    --------------------
                                      swapoff_main() returns
    cache_forget()
      enter()
        store(count)                                          // dead: it will find out, and take its one back
                                      area_publish()
                                        resurrect() returns   // re-init: the counts begin at zero
        load(live)                                            // live again: it is in, and not counted
                                      swapoff_main()
                                        area_free_tables() returns
      mutex_lock(lock)                                        <- behind the lock it looks at the cache's index, which is gone

A user of an old entry may try the reference while its area is off, even for the whole of a swapoff and a swapon. So its count has to
be there (``exit`` frees the counts at swapoff and makes new ones at swapon: the user counts in freed memory), and nobody may set it
(``re-init`` does, at swapon): the user's one is lost, and the next swapoff frees under it, as drawn, or the user takes back what is
not there any more, and the next swapoff waits for a sum that is never zero again. resurrect() says "live" and leaves the counts alone: a late
user's one is either taken back or real.
"""

BOUND = 3  # re-init does harm after three switches, one more than the others need
EXPECT: dict[tuple[str, ...], str] = {
    ("percpu_ref", ""): "never",
    ("percpu_ref", "", "weak"): "never",
    ("percpu_ref", "re-init"): "sometimes",
    ("percpu_ref", "exit"): "sometimes",
}


def setup(world):
    world.off = world.area(16)
    world.stale = world.twin.entry.make_entry(world.off, 1)
    world.array = world.space(1)


def actors(world):
    def off_on_off():
        yield from world.swapoff(world.off)
        yield from world.swapoff((yield from world.swapon(16)))

    forget = world.twin.cache.cache_forget
    return {"forget": lambda: forget(world.stale), "off, on, off": off_on_off}


def check(world):
    world.expect_off(world.off)
