"""Does an entry of a large area count as one of the smaller area that took its place?

Source: seed 000 (V6: "bounds check swap_info accesses"): the offset of a stale entry lies beyond the new area's map.

    CPU 0 (count)                     CPU 1 (off and on)
    -------------                     ------------------
                                      swapoff_main() returns
                                      area_publish() returns
    swap_count()
      mutex_lock(lock)                                        <- the offset is none of the new area's slots

An entry that somebody read without its lock outlives the area it names. The guard is entered again, on whatever area has the
row by then; only the bounds check inside the section sees that the offset is none of its slots.

So this race is not the guard's: without the check it happens under every design. The guard's part is that the bounds stay those of
the map that is looked at. ``bounds-outside`` checks before it enters, as one does who takes the guard for a formality: right when it
looks, wrong when it reads. Without any guard a check inside is no better, though that does not show on ordered memory, where the
lab's step goes from the lock to its release, with the check and the look in it: on the weak model the old bounds may be seen beside
the new map, which nobody has published to that CPU.
"""

from ..findings import WrongEnd
from .contract import SEVEN, seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("none", ""): "never",
    **{(guard, "no-bounds"): "sometimes" for guard in (*SEVEN, "none")},
    ("percpu_ref", "bounds-outside"): "sometimes",
    ("none", "", "weak"): "sometimes",
    ("percpu_ref", "", "weak"): "never",
}


def setup(world):
    world.off = world.area(32)
    world.array = world.space(1)
    world.fill(world.array)
    # The area's last cluster, so that the slot is beyond those of the area to come.
    taken = world.alone(world.twin.swap_map.swap_alloc(world.off, 0, 16))
    assert taken & 0xFFFF == 15
    world.evict(world.array, 1)
    for slot in range(1, 16):
        entry = world.twin.entry.make_entry(world.off, slot)
        world.alone(world.twin.swap_map.swapcache_free(entry, 1))
        world.alone(world.twin.swap_map.swap_free(entry, 1))
    world.stale = world.array.pte(0) >> world.twin.mm.PTE_ENTRY_SHIFT


def actors(world):
    def count():
        contract = world.twin.guard.contract
        used = yield from contract.guard_use_mm(world.array.mm.index)
        found = yield from world.twin.swap_map.swap_count(world.stale)
        yield from contract.guard_unuse_mm(world.array.mm.index, used)
        if found > 1:
            raise WrongEnd(f"a slot with one reference counts {found}")

    def off_and_on():
        yield from world.swapoff(world.off)
        yield from world.swapon(16)

    return {"count": count, "off and on": off_and_on}


def check(world):
    world.expect_bytes(world.array)
