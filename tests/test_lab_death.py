"""A process is killed, at each step of what it does with what belongs to another one: that one has it whole."""

from hotswap.lab.steps import READY
from hotswap.lab.world import World

DEAD = 1


def steps_of_the_dead(world, running, steps):
    """So many steps by a process that is dead then, its mutexes had by the next one who wants them; False when it ended before."""
    seam, twin = world.twin.seam, world.twin
    seam.current = twin.watch.cpu = twin.family.own.member = DEAD
    alive = True
    try:
        operation = next(running)
        for _ in range(steps):
            assert operation[0] not in READY or READY[operation[0]](seam, operation)
            operation = running.send(getattr(seam, operation[0])(*operation[1:]))
    except StopIteration:
        alive = False
    finally:
        seam.current = twin.watch.cpu = twin.family.own.member = 0
        twin.watch.clear()
    for type in world.areas:
        lock = twin.area.areas[type].lock
        if lock.owner == DEAD:
            seam.own(lock, None)
            world.alone(twin.death.area_mend(type))
    for space in world.spaces:
        if space.mm.frame_lock.owner == DEAD:
            seam.own(space.mm.frame_lock, None)
    return alive


def test_who_dies_while_he_lets_go_of_slots_leaves_anothers_frame_on_standby_whole():
    """cache_forget() of a slot that a frame of another address space still has: as long as the dead one did that himself, a frame was left
    on standby and out of the cache's index."""
    world = World(MMS=2, MEMBERS=2)
    type = world.area(64)
    world.space_of_another = world.space(4, limit=16)
    world.fill(world.space_of_another)
    world.ready()
    step, more = 0, True
    while more:
        mm = world.space_of_another.mm
        assert world.alone(world.twin.reclaim.shrink(mm, 4, True)) > 0
        frames = [f for f in range(mm.frame_count) if mm.frames[f].state == world.twin.mm.FRAME_STANDBY]
        assert frames
        entry = mm.frames[frames[0]].entry
        world.alone(world.twin.swap_map.swap_free(entry, 1))  # the dead one's is the last reference, say; the count says so
        more = steps_of_the_dead(world, world.twin.cache.cache_forget(entry), step)
        world.alone(world.twin.cache.cache_serve())
        assert more or mm.frames[frames[0]].state == world.twin.mm.FRAME_READY
        world.alone(world.twin.cache.cache_sweep(mm, type))
        assert not any(mm.frames[f].state == world.twin.mm.FRAME_STANDBY for f in frames)
        step += 1
        world.twin.rollback()
    assert step > 5
