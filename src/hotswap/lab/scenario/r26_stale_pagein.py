"""Can swapoff put what it has read of a page over what the program has written there meanwhile?

Source: FreeBSD D23663: swapoff dropped the object's lock for the transfer, and paged in over pages that were newer.

    CPU 0 (program)                   CPU 1 (swapoff)
    ---------------                   ---------------
                                      swapoff_start()
                                      swapoff_main()
                                        collect() returns
                                        lock_found() returns
                                        area_read() returns        // the old bytes
    serve() returns                                                // the page is in
    user_write()
                                        load()
                                          mmu_copy()               <- over the new ones

The area that goes is the only one, so its pages go to memory. Two things keep this from happening. What was noted of an entry
without its lock is a hint: lock_found() looks again under the lock (the switch ``hint-believed`` believes the note). And from then
on the lock is held over the transfer until the new entry stands, so a fault waits, and there is nothing to look at again; the
switch ``unlocked-transfer`` lets go of it for the transfer and takes it again before the page is put in, without another look.
Then only the kernel is left, which does not copy onto a page that is there.
"""

from .contract import seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "", "weak"): "never",
    ("percpu_ref", "unlocked-transfer"): "sometimes",
    ("percpu_ref", "hint-believed"): "sometimes",
}
NEW = b"new word"


def setup(world):
    world.off = world.area(16)
    world.array = world.space(1, limit=4)
    world.fill(world.array)
    world.evict(world.array, 1)


def actors(world):
    return {
        "program": lambda: world.user_write(world.array, 0, NEW),
        "swapoff": lambda: world.swapoff(world.off),
    }


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.array, {0: NEW})
