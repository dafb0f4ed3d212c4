"""Does an entry of a large area count as one of the smaller area that took its place?

Source: seed 000 (V6: "bounds check swap_info accesses"): the offset of a stale entry lies beyond the new area's map.

    CPU 0 (count)                     CPU 1 (off and on)
    -------------                     ------------------
    swap_count()
                                      swapoff_main() returns
                                      area_publish() returns
      mutex_lock(lock)                                        <- the offset is none of the new area's slots

An entry that somebody read without its lock outlives the area it names. The guard is entered again, on whatever area has the
row by then; only the bounds check inside the section sees that the offset is none of its slots.
"""

EXPECT = {("percpu_ref", ""): "never", ("none", ""): "sometimes", ("percpu_ref", "no-bounds"): "sometimes"}


def setup(world):
    world.off = world.area(32)
    world.array = world.space(1)
    world.fill(world.array)
    # The area's last cluster, so that the slot is beyond those of the area to come.
    taken = world.alone(world.twin.swap_map.swap_alloc(world.off, 0, 16))
    assert taken & 0xFFFF == 15
    world.evict(world.array, 1)
    for slot in range(1, 16):
        entry = world.twin.entry.make_entry(world.off, slot)
        world.alone(world.twin.swap_map.swapcache_free(entry, 1))
        world.alone(world.twin.swap_map.swap_free(entry, 1))
    world.stale = world.array.pte(0) >> world.twin.mm.PTE_ENTRY_SHIFT


def actors(world):
    def off_and_on():
        yield from world.swapoff(world.off)
        yield from world.swapon(16)

    return {"count": lambda: world.twin.swap_map.swap_count(world.stale), "off and on": off_and_on}


def check(world):
    world.expect_bytes(world.array)
