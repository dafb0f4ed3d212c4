"""Can a fault in shared memory and swapoff both delete a page from the swap cache?

Source: seed 001 (4): shm_nopage() deletes the page after it has read it in, "at the same time swapoff does the same".

    CPU 0 (fault)                     CPU 1 (swapoff)
    -------------                     ---------------
                                      swapoff_main()
                                        cache_sweep()
                                          mutex_lock(frame_lock) next
    serve_view()
      cache_take()
        standby_claim()
          mutex_lock(frame_lock) next                           // the frame is on standby
                                          mutex_lock(lock) waits // and is swapoff's own from here on
      cache_take() returns                                      // the frame has left the cache
                                          index_remove()        <- it has left the cache

A page of a shared object is out, and a frame of the cache still has it. Whichever view is touched, the fault takes the frame out of
the cache; swapoff sweeps the area's frames out. In 2000 the page lock was put over it and the page looked at again under it: is it still
in the swap cache? Here that is the lock of the object's frames. ``unlocked-claim`` is the fault, ``unlocked-sweep`` swapoff looking at the
frame before it has the lock, and not again.
"""

from .contract import seven

CONSTANTS = {"MMS": 3, "FRAMES_LEAST": 2}
EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "", "weak"): "never",
    ("percpu_ref", "unlocked-claim"): "sometimes",
    ("percpu_ref", "unlocked-sweep"): "sometimes",
    ("mmlist", "unlocked-claim"): "sometimes",
}


def setup(world):
    world.off = world.area(16)
    world.area(16, priority=-1)
    world.object = world.shared(1)
    world.one, world.two = world.view(world.object), world.view(world.object)
    world.fill(world.one)
    assert world.alone(world.twin.reclaim.shrink(world.object.mm, 1, True)) == 1
    assert world.cached(), "a frame of the object has the page"


def actors(world):
    return {"fault": lambda: world.user_read(world.two, 0), "swapoff": lambda: world.swapoff(world.off)}


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.one)
