"""Is anything lost, or not as usable as before, when a swapoff fails or is cancelled half-way?

Source: seed 001: swapoff is interrupted, or runs out of memory; the area is inserted again, and nobody had to notice.

    CPU 0 (program)                   CPU 1 (swapoff)                       CPU 2 (cancel)
    ---------------                   ---------------                       --------------
                                      swapoff_start()
                                      swapoff_main()
                                        empty_run()                         // of the first page
                                          move_elsewhere() returns
                                        empty_run()                         // of the second
                                          area_read() returns               // EIO
                                          run_read() returns
                                          move_elsewhere() returns          // whatever the buffer held
    user_read()                       <- other bytes than were written

Two pages are out, each is a run of its own. The first moves, and stays where it is then; the second cannot be read by swapoff
(the program can: a disk that fails now and then). Or the user cancels, at any moment. The area must then take slots again, its
entries are unlocked, all bytes are there, and another swapoff of it ends well. ``failed-moves-on`` leaves out that nothing is
moved after a failed read, ``failed-keeps-locks`` that the entries of a run are unlocked, ``failed-stays-out`` that the area is
put back. The program reads the second page at any moment of all this.
"""

from ..findings import WrongEnd
from ..world import stamp
from .contract import seven

CONSTANTS = {"BOUNCE_PAGES": 1}
EXPECT: dict[tuple[str, ...], str] = {
    **seven(),
    ("percpu_ref", "failed-moves-on"): "sometimes",
    ("percpu_ref", "failed-keeps-locks"): "sometimes",
    ("percpu_ref", "failed-stays-out"): "sometimes",
}
SWAPOFF = 1  # its CPU


def setup(world):
    world.off = world.area(16)
    world.area(16, priority=-1)
    world.array = world.space(2, limit=4)
    world.fill(world.array)
    world.evict(world.array, 2)


def actors(world):
    def reads():
        got = yield from world.user_read(world.array, 1)
        if got != stamp(1):
            raise WrongEnd(f"the program reads {got!r}, and {stamp(1)!r} was written")

    def swapoff():
        world.seam.wanted.clear()  # what the schedule before has left
        world.seam.inject("disk_read", after=1, times=2, cpu=SWAPOFF)
        return world.swapoff(world.off)

    return {"program": reads, "swapoff": swapoff, "cancel": lambda: world.twin.swapoff.swapoff_cancel(world.off)}


def check(world):
    if world.state_of(world.off) == world.twin.swapoff.OFF_FAILED:
        area, active = world.twin.area.area_at(world.off), world.twin.area.active
        on_list = [active.type[place] for place in range(active.count)]
        if area.flags.v != world.twin.area.SWP_WRITEOK or on_list.count(world.off) != 1:
            raise WrongEnd(f"after the swapoff failed the area has flags {area.flags.v}, and those that take slots are {on_list}")
        if not world.alone(world.swapoff(world.off)):
            raise WrongEnd("another swapoff of the area fails")
        world.audit()
    world.expect_off(world.off)
    world.expect_bytes(world.array)
