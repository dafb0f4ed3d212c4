"""Does swapoff miss an address space that has left the mmlist and still lets go of its entries?

Source: seed 001, race 2: an exiting mm must be found, or hold nothing. "Swapoff is made to visit mms that are being torn down."

    CPU 0 (exit)                      CPU 1 (swapoff)
    ------------                      ---------------
    mm_exit()
      unmap_range()
        swap_free() returns
        cache_forget()
          mutex_lock(lock) next
                                      swapoff_main()
                                        guard_retire() returns
                                        area_free_tables() returns
          index_find()                                              <- the index is gone

An exit drops its entries one by one. The last count may be what swapoff waits for, which takes the folio out of the cache by itself: a
frame of another address space has it, of the parent that the folio was shared with. Under the design ``mmlist`` nothing but the mm's
lock keeps the area then, and swapoff can only take the lock of an mm that it finds. So mm_exit() lets go of everything under
that lock, and mm_destroy() takes the mm off the list when it holds nothing; the switch marks it gone first. Without any guard the
walk of the emptying alone waits for the exit, if it finds it; designs whose guard knows who is inside need the list for nothing here.
"""

from .contract import seven

BOUND = 1
EAGER = 1  # the emptying naps after a round in which it moved nothing, and looks again while the exit goes on

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("mmlist", "gone-first"): "sometimes",
    ("none", "gone-first"): "sometimes",
    ("none", ""): "never",
    ("percpu_ref", "gone-first"): "never",
}


def setup(world):
    world.off = world.area(16)
    world.parent = world.space(1)
    world.leaver = world.child(world.parent)
    world.fill(world.parent)
    world.alone(world.twin.reclaim.shrink(world.parent.mm, 1, True))
    assert world.cached(), "a frame of the parent has the folio"
    assert world.alone(world.fork(world.parent, world.leaver)) == 0
    world.alone(world.twin.mmap.mm_unmap(world.parent.index, world.parent.start))
    world.leaver.mm.thread_count = 0  # its threads are no CPUs here, so nobody has to wait for them


def actors(world):
    return {"exit": lambda: world.twin.fork.mm_exit(world.leaver.index), "swapoff": lambda: world.swapoff(world.off)}


def check(world):
    world.expect_off(world.off)
