"""Can a fault fail because swapoff has put the page in memory already?

Source: seed 001 (3): the fault finds neither the page in the swap cache nor the area, and reports an error.

    CPU 0 (program)                   CPU 1 (swapoff)
    ---------------                   ---------------
    user_read()                                                // faults
    swap_in()
      read_entry()
                                      swapoff_start()
                                      swapoff_main() returns   // the page is in memory, the area off
      poison() returns                                         // it cannot be read: whoever touches it gets SIGBUS
      release_entry()                                          <- the fault fails, and drops a count that has gone

In 2000 the fault looked at the entry again before it failed. Here it holds the entry's lock from the look to the end, so swapoff
leaves the page alone (it only tries the lock) and the area stays until the fault is through. The switch ``unlocked-read`` lets go
of the lock while the fault reads. The switch ``rechecked-read`` does that too, and then looks again, as they did in 2000: this
is enough against swapoff alone (R25 is what it is not enough for). Swapoff loads the page since there is no other area.
"""

from .contract import seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "", "weak"): "never",
    ("percpu_ref", "unlocked-read"): "sometimes",
    ("percpu_ref", "rechecked-read"): "never",
}


def setup(world):
    world.off = world.area(16)
    world.array = world.space(1, limit=4)
    world.fill(world.array)
    world.evict(world.array, 1)


def actors(world):
    return {
        "program": lambda: world.user_read(world.array, 0),
        "swapoff": lambda: world.swapoff(world.off),
    }


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.array)
