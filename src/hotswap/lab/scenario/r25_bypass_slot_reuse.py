"""Can a fault map what it read from a slot that was freed and taken again before it maps?

Source: kernel 13ddaf26be32: two faults read one entry, past the swap cache; the entry is the same again when the slower one looks.

    CPU 0 (reader)                    CPU 1 (writer, then reclaim)
    --------------                    ----------------------------
    serve()
      read_entry()
        area_read() returns           // the old bytes
                                      serve() returns           // the page comes in, the slot is free
                                      user_write()              // new bytes
                                      write_out()
                                        write_run() returns     // they go to the same slot
      map_folio()                                               <- the old bytes, as those of the slot

The entry is not enough to tell: it names the same slot as before. The slot has to be pinned from the read to the mapping, which
in the kernel is the swap cache's HAS_CACHE. Here it is the entry's lock, over the transfer: the other fault waits, so the count
stays and with it the slot. The switch ``rechecked-read`` lets go of the lock for the transfer and looks at the entry again
afterwards, which is what the kernel did; ``unlocked-read`` does not even look. The area has one slot, so that it is taken again at once.
"""

from .contract import seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "", "weak"): "never",
    ("percpu_ref", "rechecked-read"): "sometimes",
    ("percpu_ref", "unlocked-read"): "sometimes",
}
NEW = b"new word"


def setup(world):
    world.area(2)
    world.array = world.space(1, limit=4)
    world.fill(world.array)
    world.evict(world.array, 1)


def actors(world):
    def writes():
        yield from world.user_write(world.array, 0, NEW)
        yield from world.reclaim(world.array, 1)

    return {"reader": lambda: world.user_read(world.array, 0), "writer, then reclaim": writes}


def check(world):
    world.expect_bytes(world.array, {0: NEW})
