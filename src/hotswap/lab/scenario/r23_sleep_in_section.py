"""Does anybody wait for the disk inside a section in which the guard allows no sleeping?

Source: kernel 2799e77529c2 back-ported without 63d8620ecf93: a section of RCU held over a swap-in.

    CPU 0 (swapoff)                   CPU 1 (readahead)
    ---------------                   -----------------
                                      read_window()
                                        take_slots() returns    // and stays inside
    swapoff_start()
    swapoff_main()
                                        area_read()             <- a transfer, where nobody may sleep

No design's sections hold a transfer in this engine (docs/decisions/0008): what keeps an area on over one is a slot in use.
``section-over-transfer`` is the engine built the other way, as the kernel's: readahead stays inside from taking its slots until they
are read. The designs whose users may sleep are right with that, too. Of the others area_read() and area_write() say
that it must not be: in the kernel the grace period would not end, or would not wait for the one who sleeps. A transfer is a single step
here and every section is counted whoever sleeps in it, so what the lab shows is that the assertion of the contract meets the case,
and nothing of what comes after it.
"""

from .contract import seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("rcu", "section-over-transfer"): "sometimes",
    ("stop_machine", "section-over-transfer"): "sometimes",
    ("stop_machine_work", "section-over-transfer"): "sometimes",
    ("mmlist", "section-over-transfer"): "never",
    ("srcu", "section-over-transfer"): "never",
    ("percpu_ref", "section-over-transfer"): "never",
    ("rcu_pointer", "section-over-transfer"): "never",
}


def setup(world):
    world.off = world.area(16)
    world.array = world.space(1, limit=4)
    world.fill(world.array)
    world.evict(world.array, 1)


def actors(world):
    array = world.array
    return {
        "swapoff": lambda: world.swapoff(world.off),
        "readahead": lambda: world.twin.readahead.read_window(array.mm, array.start, array.pages),
    }


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.array)
