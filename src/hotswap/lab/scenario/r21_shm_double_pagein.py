"""Can a fault in shared memory and swapoff both page the same entry in, the one over what was written since the other did?

Source: seed 001: shm_nopage() "trying to page in the swaphandle, when swapoff has already paged it in. We need a sleeping lock in the
shm code to handle this"; left open in 2000.

    CPU 0 (fault)                     CPU 1 (swapoff, program)
    -------------                     ------------------------
    serve_view()
      area_read() returns                                        // the bytes as they were
                                      swapoff_main() returns     // the page is in, the area off
                                      user_write()               // through another view
      shm_fill() returns                                         // the old bytes, over the new ones
                                      user_read()                <- what was just written is gone

The area that goes is the only one, so swapoff puts the page into memory; another view writes there. For private memory the kernel
would refuse to copy over a page that is there (R26); the memory of a shared object takes what it is given. The lock that they
asked for in 2000 is the object's entry: it sleeps, and serve_view() holds it from the look-up to the mapping, a swapoff
while it has the folio in hand. ``object-unlocked`` has the fault let go of it for all of that, ``unlocked-read`` for the transfer;
``rechecked-read`` looks again after the transfer, which is what the kernel's shmem does today, and is enough here (R25 is what it is not enough for).
"""

from ..findings import WrongEnd
from .contract import seven

CONSTANTS = {"MMS": 3, "FRAMES_LEAST": 2}
EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "", "weak"): "never",
    ("percpu_ref", "object-unlocked"): "sometimes",
    ("percpu_ref", "unlocked-read"): "sometimes",
    ("percpu_ref", "rechecked-read"): "never",
    ("mmlist", "unlocked-read"): "sometimes",
}
NEW = b"new word"


def setup(world):
    world.off = world.area(16)
    world.object = world.shared(1, limit=4)
    world.one, world.two = world.view(world.object), world.view(world.object)
    world.fill(world.one)
    world.evict(world.object, 1)


def actors(world):
    def swapoff_and_write():
        yield from world.swapoff(world.off)
        yield from world.user_write(world.two, 0, NEW)
        got = yield from world.user_read(world.two, 0)
        if got != NEW:
            raise WrongEnd(f"the program reads {got!r}, and has just written {NEW!r}")

    return {"fault": lambda: world.user_read(world.one, 0), "swapoff, program": swapoff_and_write}


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.one, {0: NEW})
    world.expect_bytes(world.two, {0: NEW})
