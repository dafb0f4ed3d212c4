"""Is the swap cache's index freed while somebody looks an entry up in it, or takes one out of it?

Source: seed 000: lookup_swap_cache() and delete_from_swap_cache(), the address space of an area that swapoff frees.

    CPU 0 (write)                     CPU 1 (swapoff)
    -------------                     ---------------
    serve_once()
      write_clean()
        release_entry()
          swap_free() returns
                                      swapoff_start()
                                      swapoff_main()
                                        guard_retire() returns
                                        area_free_tables()
                                          table_free(buckets)
          cache_forget()                                          <- the index is gone

The first write to a clean page drops the page's reference to its slot. Readahead was late for that page: a frame of the cache holds
the slot too, nobody refers to it now, so the frame is looked up to be given back. Between the two swapoff sweeps the frame out of
the cache itself. Nothing is in use then, it ends (nobody waits for the writer, who has the entry's lock), and the look-up is in what
it freed.

The other half: who takes a frame out of the cache clears HAS_CACHE, which may be what swapoff waits for. The section therefore lasts
until the index is left for good.
"""

from .contract import seven

EAGER = 1  # swapoff takes a nap after a round that only swept
EXPECT: dict[tuple[str, ...], str] = {
    ("none", ""): "sometimes",
    **seven(),
}


def setup(world):
    world.off = world.area(16)
    world.array = world.space(1)
    world.fill(world.array)
    world.evict(world.array, 1)
    world.alone(world.user_read(world.array, 0))
    world.late_readahead(world.array)


def actors(world):
    return {
        "write": lambda: world.user_write(world.array, 0, b"new word"),
        "swapoff": lambda: world.swapoff(world.off),
    }


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.array, {0: b"new word"})
