"""A process is killed, at each step of what it does with what belongs to another one: that one has it whole."""

import random

from hotswap.lab.steps import READY
from hotswap.lab.world import World

DEAD = 1
PACKING = {"PIECE_SLOTS": 2, "STRETCH": 8, "HIGH": 16, "LOW": 16, "RAM_SHARE": 1 << 20, "CODECS": 4}
SMALL_BLOCKS = {"BLOCK_SHIFT": 12, "BLOCK_GRAINS": 64, "GRAINS_MOST": 64}  # so that a few objects fill one


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
        had(world, twin.store.ram.rams[type].pool.lock, lambda type=type: twin.store.ram_death.pool_cut(type))
        had(world, twin.area.areas[type].lock, lambda type=type: twin.swap_map.area_mend(type))
    had(world, twin.area.active.lock, lambda: twin.death.active_mend(0))
    had(world, twin.mm.mmlist.lock, lambda: twin.mm.mmlist_mend(0))
    for space in world.spaces:
        had(world, space.mm.frame_lock)
    return alive


def had(world, lock, mend=None):
    """By the next one, who puts right what it guards."""
    if lock.owner == DEAD:
        world.twin.seam.own(lock, None)
        if mend:
            world.alone(mend())


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


def pool_of(world):
    return world.twin.store.ram.rams[world.packed].pool


def check_pool(world):
    """Every object is in one place, and every hole and block in one list."""
    pool, heads = pool_of(world), world.twin.store.pool
    roomy, places = {}, {}
    for number in range(pool.taken):
        block = pool.block[number]
        if block.kind == heads.NIL:
            continue
        fit = heads.BLOCK_GRAINS // heads.class_grains[block.kind]
        used = [n for n in range(block.mark) if head_of(world, pool, number, n) & 1]
        assert block.mark <= fit and block.used == len(used), f"block {number}"
        holes, hole = [], block.free
        while hole and len(holes) <= fit:
            holes.append(hole - 1)
            hole = head_of(world, pool, number, hole - 1) >> 1
        assert sorted(holes + used) == list(range(block.mark)), f"block {number}"
        roomy[number] = block.used < fit
        places[block.kind] = places.get(block.kind, 0) + block.mark
    for kind in range(heads.classes):
        listed, number, before = [], pool.room[kind], heads.NIL
        while number != heads.NIL and number not in listed:
            assert pool.block[number].prev == before
            listed.append(number)
            before, number = number, pool.block[number].next
        assert sorted(listed) == [n for n in roomy if roomy[n] and pool.block[n].kind == kind]
        assert pool.places[kind] == places.get(kind, 0)


def head_of(world, pool, number, index):
    return world.seam.first_word(world.twin.store.pool.object_at(pool, number, index))


def packs(seed):
    """Bytes of a page of which four fit in a block when they are packed."""
    return random.Random(seed).randbytes(850)


def packs_and_drops(world, space):
    """What there is of a space is written anew and goes out: old pieces are dropped, new ones kept, blocks squeezed."""
    for page in range(space.pages):
        yield from world.user_write(space, page, packs(page + 50))
    yield from world.twin.reclaim.shrink(space.mm, space.pages, True)


def test_who_dies_in_a_pool_of_compressed_memory_leaves_it_to_others_whole():
    """Until all is counted others go on using it: without lists made anew two pieces were put in one place."""
    world = World(MMS=2, MEMBERS=2, **{**PACKING, **SMALL_BLOCKS})
    world.packed = world.packing(40, 5, front=False)
    world.area(64)
    mine, theirs = world.space(8, limit=16), world.space(12, limit=24)
    for space in (mine, theirs):
        for page in range(space.pages):
            world.alone(world.user_write(space, page, packs(page)))
        world.evict(space, space.pages)
    assert world.twin.store.ram.rams[world.packed].stored.v == 20 * 4096
    world.ready()
    step, more = 0, True
    while more:
        more = steps_of_the_dead(world, packs_and_drops(world, theirs), step)
        check_pool(world)
        world.alone(packs_and_drops(world, mine))
        check_pool(world)
        for page in range(mine.pages):
            assert world.alone(world.user_read(mine, page, 850)) == packs(page + 50)
        step += 1
        world.twin.rollback()
    assert step > 500, step


def test_who_dies_while_he_frees_a_slot_leaves_nothing_in_it_for_the_next():
    """The map says free before compressed memory in front of a file knows: who had the slot next, and went to the file, was given old bytes."""
    world = World(MMS=2, MEMBERS=2, **PACKING)
    world.packed = world.packing(6, 5)
    mine, theirs = world.space(5, limit=16), world.space(2, limit=16)
    for space, pages in (theirs, 2), (mine, 3):
        for page in range(pages):
            world.alone(world.user_write(space, page, packs(page)))
        world.evict(space, pages)
    entries = [theirs.pte(page) >> world.twin.mm.PTE_ENTRY_SHIFT for page in range(2)]
    bare = random.Random(5).randbytes(4096)  # does not pack, so that it goes to the file

    def frees():
        for entry in entries:
            yield from world.twin.swap_map.swap_free(entry, 1)

    def writes():
        for page in (3, 4):
            yield from world.user_write(mine, page, bare)
        return (yield from world.twin.reclaim.shrink(mine.mm, 2, True))

    world.ready()
    step, more, reused = 0, True, 0
    while more:
        more = steps_of_the_dead(world, frees(), step)
        reused += world.alone(writes())
        world.alone(world.twin.cache.cache_sweep(mine.mm, world.twin.cache.EVERY_AREA))
        for page in (3, 4):
            assert world.alone(world.user_read(mine, page, 4096)) == bare
        step += 1
        world.twin.rollback()
    assert reused > 10, reused
