"""Memory for objects of any size up to 52 KiB, packed closely, that can be moved: what compressed RAM lies in.

Blocks of 256 KiB hold objects of one size class; classes lie an eighth apart and divide a block nearly evenly. Objects are used
from a block's start on, so only what was ever used has memory (``mark``), and a block whose last object goes gives its memory
back. Each object begins with a head that says whose it is: so where much of a class is free, the objects of its sparsest block
are moved into the holes of others, and whoever points at them is told. Compare the kernel's zsmalloc.

The pool's lock is held by the caller, over everything but pool_address(). What is read is kept in place by pool_read().
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.libc.errno import ENOMEM
from cython.cimports.libc.stdint import uint64_t

# Classes: 64, 128 … 512 bytes, then an eighth more each time, stretched to what as many of them in a block can have.
classes = 0
_grains: cython.int = 1
while _grains <= GRAINS_MOST:
    class_grains[classes] = BLOCK_GRAINS // (BLOCK_GRAINS // _grains)
    classes += 1
    _grains = class_grains[classes - 1] + (1 if _grains < 8 else class_grains[classes - 1] // 8)
for _wanted in range(GRAINS_MOST + 1):
    _kind: cython.int = 0
    while class_grains[_kind] < _wanted:
        _kind += 1
    class_of[_wanted] = _kind


def pool_setup(pool, bytes):
    """Room for objects of ``bytes`` together, and for what is lost between them. -ENOMEM."""
    pool.blocks = cython.cast(cython.int, bytes >> BLOCK_SHIFT) + 2 * CLASSES
    pool.memory = arch.table_room(cython.cast(uint64_t, pool.blocks) << BLOCK_SHIFT)
    pool.block = cython.cast(cython.pointer(Block), arch.table(pool.blocks, cython.sizeof(Block)))
    if not pool.memory or not pool.block:
        pool_teardown(pool, False)
        return -ENOMEM
    pool.taken = 0
    pool.free = NIL
    for kind in range(CLASSES):
        pool.room[kind] = NIL
        pool.objects[kind] = 0
        pool.places[kind] = 0
    arch.store(cython.address(pool.pages), 0)
    return 0


def pool_teardown(pool, poison):
    memory = pool.memory
    block = pool.block
    pool.memory = 0
    if memory:
        arch.table_room_free(memory, cython.cast(uint64_t, pool.blocks) << BLOCK_SHIFT)
    pool.block = cython.NULL
    arch.table_free(block, poison)


def grains_for(bytes):
    """What an object of so many bytes takes, its head and the rounding to a class included."""
    return class_grains[class_of[(bytes + HEAD + (1 << GRAIN_SHIFT) - 1) >> GRAIN_SHIFT]]


def pool_take(pool, grains, owner):
    """A place for an object of a class's size; NOWHERE when the pool has no room."""
    kind: cython.int = class_of[grains]
    number = pool.room[kind]
    if number == NIL:
        number = block_take(pool, kind)
        if number == NIL:
            return NOWHERE
    block = cython.address(pool.block[number])
    index: cython.int = block.mark
    if block.free:
        index = block.free - 1
        block.free = cython.cast(cython.int, arch.first_word(object_at(pool, number, index)) >> 1)
    else:
        block.mark += 1
        pool.places[kind] += 1
        count_pages(pool, block, 1)
    arch.fill(object_at(pool, number, index), HEAD, owner << 1 | 1)
    block.used += 1
    pool.objects[kind] += 1
    if block.used == BLOCK_GRAINS // class_grains[kind]:
        room_unlink(pool, number)
    return (cython.cast(uint64_t, number) << BLOCK_SHIFT - GRAIN_SHIFT) + cython.cast(uint64_t, index * class_grains[kind]) + 1


def pool_give(pool, place):
    """An object's memory is free. A block without any goes, with its memory."""
    number = cython.cast(cython.int, (place - 1) >> BLOCK_SHIFT - GRAIN_SHIFT)
    block = cython.address(pool.block[number])
    kind = block.kind
    index = cython.cast(cython.int, (place - 1) & (BLOCK_GRAINS - 1)) // class_grains[kind]
    arch.check(arch.first_word(object_at(pool, number, index)) & 1 != 0, b"memory of the pool is given back once, by who has it")
    if block.used == BLOCK_GRAINS // class_grains[kind]:
        room_link(pool, number)
    arch.fill(object_at(pool, number, index), HEAD, cython.cast(uint64_t, block.free) << 1)
    block.free = index + 1
    block.used -= 1
    pool.objects[kind] -= 1
    if block.used == 0:
        block_give(pool, number)


def pool_address(pool, place):
    """Of the object's own bytes, for who keeps it in place: one who has just taken it, or reads it."""
    return pool.memory + ((place - 1) << GRAIN_SHIFT) + HEAD


def pool_read(pool, place):
    pool.block[(place - 1) >> BLOCK_SHIFT - GRAIN_SHIFT].readers += 1


def pool_unread(pool, place):
    pool.block[(place - 1) >> BLOCK_SHIFT - GRAIN_SHIFT].readers -= 1


def squeezable(pool, kind):
    """Would a class do with a block less, and is much of it free?"""
    holes = pool.places[kind] - pool.objects[kind]
    return holes * SPARSE > pool.places[kind] and holes > cython.cast(uint64_t, BLOCK_GRAINS // class_grains[kind])


def pool_squeeze(pool, kind, moved, handle):
    """Empties the sparsest block of a class into others, where squeezable() says so. ``moved(handle, owner, old, new)`` is called for
    each object that has a new place; the lock is held."""
    number = sparsest(pool, kind)
    if not squeezable(pool, kind) or number == NIL:
        return
    block = cython.address(pool.block[number])
    room_unlink(pool, number)
    room_link_last(pool, number)  # the holes of the others are enough, so nothing is put here again
    grains = class_grains[kind]
    left: cython.int = block.used
    for index in range(block.mark):
        source = object_at(pool, number, index)
        head = arch.first_word(source)
        if head & 1 == 0:
            continue
        place = pool_take(pool, grains, head >> 1)
        old = (cython.cast(uint64_t, number) << BLOCK_SHIFT - GRAIN_SHIFT) + cython.cast(uint64_t, index * grains) + 1
        arch.copy(pool_address(pool, place), source + HEAD, (cython.cast(uint64_t, grains) << GRAIN_SHIFT) - HEAD)
        moved(handle, head >> 1, old, place)
        pool_give(pool, old)
        left -= 1
        if left == 0:
            break


def sparsest(pool, kind):
    """The block of a class with the fewest objects that nobody reads in; NIL."""
    best: cython.int = NIL
    number = pool.room[kind]
    while number != NIL:
        if pool.block[number].readers == 0 and (best == NIL or pool.block[number].used < pool.block[best].used):
            best = number
        number = pool.block[number].next
    return best


def object_at(pool, number, index):
    return (
        pool.memory
        + (cython.cast(uint64_t, number) << BLOCK_SHIFT)
        + (cython.cast(uint64_t, index * class_grains[pool.block[number].kind]) << GRAIN_SHIFT)
    )


def block_take(pool, kind):
    number = pool.free
    if number != NIL:
        pool.free = pool.block[number].next
    elif pool.taken < pool.blocks:
        number = pool.taken
        pool.taken += 1
    else:
        return NIL
    block = cython.address(pool.block[number])
    block.kind = kind
    block.used = 0
    block.mark = 0
    block.free = 0
    block.readers = 0
    room_link(pool, number)
    return number


def block_give(pool, number):
    """Nobody reads in it: who reads an object has it."""
    block = cython.address(pool.block[number])
    room_unlink(pool, number)
    pool.places[block.kind] -= block.mark
    count_pages(pool, block, -1)
    arch.table_punch(pool.memory + (cython.cast(uint64_t, number) << BLOCK_SHIFT), cython.cast(uint64_t, 1) << BLOCK_SHIFT)
    block.kind = NIL
    block.next = pool.free
    pool.free = number


def count_pages(pool, block, change):
    """``mark`` rose by one, or the block goes."""
    grains = class_grains[block.kind]
    now = (block.mark * grains + 63) >> 6
    if change > 0:
        arch.add(cython.address(pool.pages), now - (((block.mark - 1) * grains + 63) >> 6))
    else:
        arch.add(cython.address(pool.pages), -now)


def room_link(pool, number):
    block = cython.address(pool.block[number])
    first = pool.room[block.kind]
    block.prev = NIL
    block.next = first
    if first != NIL:
        pool.block[first].prev = number
    pool.room[block.kind] = number


def room_unlink(pool, number):
    block = cython.address(pool.block[number])
    if block.prev != NIL:
        pool.block[block.prev].next = block.next
    else:
        pool.room[block.kind] = block.next
    if block.next != NIL:
        pool.block[block.next].prev = block.prev


def room_link_last(pool, number):
    block = cython.address(pool.block[number])
    last: cython.int = NIL
    other = pool.room[block.kind]
    while other != NIL:
        last = other
        other = pool.block[other].next
    block.prev = last
    block.next = NIL
    if last == NIL:
        pool.room[block.kind] = number
    else:
        pool.block[last].next = number
