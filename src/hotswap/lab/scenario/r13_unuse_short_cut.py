"""Do the locks of page tables keep an area on for who holds them?

Source: seed 002: try_to_unuse() is done as soon as nothing is in use, and looks at no page table then.

    CPU 0 (unmap)                     CPU 1 (reclaim, swapoff)
    -------------                     ------------------------
    mm_unmap()                                                // takes the mmap lock for writing
      unmap_folio()                                           // and the entry's lock
        swap_free() returns                                   // the last reference; the cache still has the slot
                                      cache_remove() returns  // and now nobody has: nothing is in use
                                      swapoff_main() returns  // so no page table is visited, no lock waited for
        cache_forget()
          mutex_lock(lock)                                    <- it looks up the slot in the cache's index, which is gone

What the last reference and the cache's last hold keep on is the slot, not who is still busy with it. swapoff_main() asks whether slots are in
use before it visits anybody, so that an area that is empty already costs nothing; whoever holds an mmap lock and an entry's lock, both
of which a visit would take, is not met then. Every helper that looks at an area therefore has to be inside the guard by itself or say who
is for it: the audit stands at the top of engine/swap_map.py. (In 2024 it was folio_free_swap() and swp_swapcount() that relied on the
page-table lock.) mmlist is the design whose guard is the mmap lock: there the swapoff takes it after all, in retire().
"""

DESIGNS = ("percpu_ref", "mmlist", "stop_machine", "stop_machine_work", "rcu", "srcu", "rcu_pointer")
EXPECT: dict[tuple[str, ...], str] = {
    ("none", ""): "sometimes",
    **{(guard, ""): "never" for guard in DESIGNS},
    ("percpu_ref", "", "weak"): "never",
}


def setup(world):
    world.off = world.area(16)
    world.array = world.space(1)
    world.fill(world.array)
    # Out, and its frame on standby: the cache has the slot, too.
    assert world.alone(world.twin.reclaim.shrink(world.array.mm, 1, True)) == 1


def actors(world):
    frames, array = world.twin.frames, world.array

    def reclaim():
        frame = yield from frames.frame_take(array.mm, False, 0)
        yield from frames.frame_put(array.mm, frame, world.twin.mm.FRAME_READY)

    def reclaim_and_swapoff():
        yield from world.outside(reclaim(), array)
        yield from world.swapoff(world.off)

    return {
        "unmap": lambda: world.twin.mmap.mm_unmap(array.index, array.start),
        "reclaim, swapoff": reclaim_and_swapoff,
    }


def check(world):
    world.expect_off(world.off)
