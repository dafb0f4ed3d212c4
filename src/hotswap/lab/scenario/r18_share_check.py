"""Can a write and swapoff both take a page's frame out of the swap cache, since each decided by itself that nobody else needs it?

Source: seed 001 (5): do_wp_page() and free_page_and_swap_cache() ask "is it shared?" of counts that change while swapoff deletes pages.

    CPU 0 (write)                     CPU 1 (swapoff)
    -------------                     ---------------
                                      swapoff_main()
                                        release_entry() returns   // the parent's page has moved: one reference less
    write_clean()
      swap_free() returns                                         // the last one: nobody but the cache has the slot
      cache_forget()
        mutex_lock(frame_lock) next                               // a frame is on standby for it
                                        sweep() returns           // of the parent
                                        sweep()                   // of the child
                                          mutex_lock(lock) waits  // swapoff has made the frame its own
    user_write()
                                        index_remove()            <- the frame has left the cache

A parent and its child share a page's slot, the child has it in memory, clean, and a frame of the cache holds it too. The child
writes: it needs its own copy from then on, so its reference goes, and with the last one the frame. Whether that was the last changes
while swapoff lets go of the parent's, and whether the frame may be taken out changes while it sweeps. In 2000 both were looked at first
and done afterwards, and the page lock was put over the two. Here cache_forget() and standby_drop() look again at the
count under the area's lock and at the frame under its lock, and act before they let go of either; ``frame-seen-before`` looks at the frame
before it takes the frame's lock. That the count is looked at again is an economy (``count-believed``): a frame that goes although somebody still
refers to its slots costs that one a read, since what is in the cache is in the slots as well, and no slot is ever written in place.
"""

from .contract import seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "", "weak"): "never",
    ("percpu_ref", "count-believed"): "never",
    ("percpu_ref", "frame-seen-before"): "sometimes",
    ("mmlist", "frame-seen-before"): "sometimes",
}
NEW = b"new word"


def setup(world):
    world.off = world.area(16)
    world.area(16, priority=-1)
    world.parent = world.space(1)
    world.fill(world.parent)
    world.evict(world.parent, 1)
    world.copy = world.child(world.parent)
    assert world.alone(world.fork(world.parent, world.copy)) == 0
    world.alone(world.user_read(world.copy, 0))
    world.late_readahead(world.copy)


def actors(world):
    return {
        "write": lambda: world.user_write(world.copy, 0, NEW),
        "swapoff": lambda: world.swapoff(world.off),
    }


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.parent)
    world.expect_bytes(world.copy, {0: NEW})
