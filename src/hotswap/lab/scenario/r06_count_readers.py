"""Is a count read from the map of an area that swapoff has freed?

Source: seed 000: __swap_count() and the other readers of a count took the area's struct from their caller, who kept nobody away.

    CPU 0 (count)                     CPU 1 (swapoff)
    -------------                     ---------------
    swap_count()
      mutex_lock(lock) next
                                      swapoff_main()
                                        guard_retire() returns
                                        area_free_tables()
                                          table_free(map)
      mutex_lock(lock)                                        <- the count is no longer there

A reader of a count has the entry from a page-table entry that it did not lock. Whether the area is still on, only the guard can
tell it, and then keep it on.

Today's reader is protected twice: where an area has gone, its bounds say that it has no slots, and a step of the lab goes from the lock
to its release. So on ordered memory "none" needs ``no-bounds`` to fail as it did in 2019. The bounds alone are no protection: nothing
orders them with the map, and a reader that sees the old bounds beside the new map is what ``none`` shows on the weak model.
``count-outside`` leaves out the guard in this reader only, the default design is in place for all others. Under ``rcu_pointer``
that reader needs no second omission: the object with the lock in it is gone.
"""

from ..findings import WrongEnd
from .contract import seven

EXPECT: dict[tuple[str, ...], str] = {
    ("none", "no-bounds"): "sometimes",
    **seven("no-bounds"),
    ("none", ""): "never",
    **seven(),
    ("none", "", "weak"): "sometimes",
    ("percpu_ref", "", "weak"): "never",
    ("percpu_ref", "count-outside", "weak"): "sometimes",
    ("percpu_ref", "count-outside+no-bounds"): "sometimes",
    ("rcu_pointer", "count-outside"): "sometimes",
}


def setup(world):
    world.off = world.area(16)
    world.area(16, priority=-1)
    world.array = world.space(1)
    world.fill(world.array)
    world.evict(world.array, 1)
    world.entry = world.array.pte(0) >> world.twin.mm.PTE_ENTRY_SHIFT


def actors(world):
    def count():
        contract = world.twin.guard.contract
        used = yield from contract.guard_use_mm(world.array.mm.index)
        found = yield from world.twin.swap_map.swap_count(world.entry)
        yield from contract.guard_unuse_mm(world.array.mm.index, used)
        if found > 1:
            raise WrongEnd(f"a slot with one reference counts {found}")

    return {"count": count, "swapoff": lambda: world.swapoff(world.off)}


def check(world):
    world.expect_off(world.off)
    world.expect_bytes(world.array)
