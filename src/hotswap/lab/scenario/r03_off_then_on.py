"""Is an entry that was read before its area went off and another came on taken for one of the new area?

Source: seed 000: the entry is valid again, but means another page; do_swap_page() looks at the page-table entry once more, locked.

    CPU 0 (read)                      CPU 1 (off, on and out)
    ------------                      -----------------------
    serve_once()
      map_cached()
        load(state)
                                      swapoff_main() returns
                                      area_publish() returns
                                      shrink() returns
        cache_take() returns
        map_folio() returns
    user_read()                                                   <- page 1 reads as page 3

No guard helps: the old entry is read outside, the new area is entered rightly. What helps is that the entry in the page table is looked
at again under its lock, by who will put the page there.

This engine locks a faulting folio's entry first and keeps it locked over the transfer, so its fault has nothing to re-check. The one place
that maps pages by entries seen without their locks is fault-around: it looks, tries the lock, and looks again. ``no-recheck`` leaves the
second look out. Meanwhile page 1 was moved to another area, and page 3 written out to the slot that had been page 1's; its frame is
still in the cache. Under ``mmlist`` it cannot go so far: that swapoff waits for the fault's mmap lock before it frees. But the page is
moved all the same, and its old entry written back.

With the second look the design does not matter. Its schedules are long, so two preemptions are searched for the default one only (2,180
schedules, 40 seconds) and one for the others (some 90 schedules each); searched once with two, rcu, srcu, mmlist and both stop_machine
gave "never" as well (2,061 to 3,051 schedules).
"""

from ..findings import WrongEnd
from ..world import stamp
from .contract import SEVEN, seven

EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    **{(guard, "no-recheck"): "sometimes" for guard in (*SEVEN, "none")},
}
BOUNDS = {guard: 1 for guard in SEVEN if guard != "percpu_ref"}


def setup(world):
    world.off = world.area(16)
    world.area(16, priority=-1)
    world.array = world.space(4)
    world.fill(world.array)
    world.evict(world.array, 2)


def actors(world):
    def reads():
        for page in (0, 1):
            got = yield from world.user_read(world.array, page)
            if got != stamp(page):
                raise WrongEnd(f"page {page} reads {got!r}")

    def off_on_and_out():
        if (yield from world.swapoff(world.off)):
            yield from world.swapon(16)
            yield from world.reclaim(world.array, 2)

    return {"read": reads, "off, on and out": off_on_and_out}


def check(world):
    world.expect_bytes(world.array)
