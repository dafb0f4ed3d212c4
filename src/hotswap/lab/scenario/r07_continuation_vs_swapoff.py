"""Is a count's continuation hung on an area that swapoff has freed, and does who asked for it learn that there was no memory?

Source: seed 000: add_swap_count_continuation(), which gets its area without any lock, and returned 0 where it had to return -ENOMEM.

    CPU 0 (duplicate)                 CPU 1 (swapoff)
    -----------------                 ---------------
    swap_duplicate() returns
    add_swap_count_continuation() returns    // -ENOMEM
    add_swap_count_continuation()
      mutex_lock(lock) next
                                      swapoff_start()
                                      swapoff_main()
                                        guard_retire() returns
                                        area_free_tables()
                                          table_free(clusters)
      mutex_lock(lock)                                            <- there are no clusters to hang it on

A byte holds so much of a count (here: one). Whoever wants one more gives its locks up to allocate, so nothing but the guard keeps the
area when the table is hung up. Its first allocation is refused, and it has to be told; then there is memory. Were it told that all
is well, it would ask for the reference again, and be sent for a table again, for ever: ``refusal-unsaid``.

Today's function looks at the bounds first, in the same step of the lab; an area that is off has none. So on ordered memory "none" fails
where that check goes, too, and with it in place on the weak model. ``continuation-outside`` leaves out the guard in this function only.
"""

import errno

from ..findings import WrongEnd
from .contract import seven

CONSTANTS = {"SWAP_MAP_MAX": 1, "CONTINUATION": 1}  # so that the second reference needs a continuation

EXPECT: dict[tuple[str, ...], str] = {
    ("none", "no-bounds"): "sometimes",
    **seven("no-bounds"),
    ("none", ""): "never",
    **seven(),
    ("none", "", "weak"): "sometimes",
    ("percpu_ref", "", "weak"): "never",
    ("percpu_ref", "continuation-outside+no-bounds"): "sometimes",
    ("rcu_pointer", "continuation-outside"): "sometimes",
    ("percpu_ref", "refusal-unsaid"): "sometimes",
}


def setup(world):
    world.off = world.area(16)
    world.area(16, priority=-1)
    world.array = world.space(1)
    world.fill(world.array)
    world.evict(world.array, 1)
    world.entry = world.array.pte(0) >> world.twin.mm.PTE_ENTRY_SHIFT
    world.seam.inject("table", errno.ENOMEM, cpu=0)


def actors(world):
    def duplicate():
        contract, swap_map, index = world.twin.guard.contract, world.twin.swap_map, world.array.index
        world.unsaid = False
        used = yield from contract.guard_use_mm(index)
        result = yield from swap_map.swap_duplicate(world.entry, 1)
        if result == -errno.ENOMEM:
            result = yield from swap_map.add_swap_count_continuation(world.entry, 1)
            if result == -errno.ENOMEM:  # said; fork would give up here
                result = yield from swap_map.add_swap_count_continuation(world.entry, 1)
            result = result or (yield from swap_map.swap_duplicate(world.entry, 1))
            world.unsaid = result == -errno.ENOMEM  # it is told that a table is there, and is sent for one
        if result == 0:
            yield from swap_map.swap_free(world.entry, 1)
        yield from contract.guard_unuse_mm(index, used)

    return {"duplicate": duplicate, "swapoff": lambda: world.swapoff(world.off)}


def check(world):
    if world.unsaid:
        raise WrongEnd("no memory was to be had for a continuation, and who asked for it was told that it is there")
    world.expect_off(world.off)
    world.expect_bytes(world.array)
