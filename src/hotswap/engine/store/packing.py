"""How a piece of memory is packed: scratch memory for whoever does it, and the way that suits the piece, found by trying.

A way is a filter and the size of an element: none, the bytes or the bits of elements sorted by their weight, and either of them
behind the difference of each element from the one before. Whoever writes says how large the elements of the array are,
where that is known; where it is not, the usual sizes are tried. Two pages of a piece are packed in every way that comes
into question, the smallest result wins, and what is cheaper to undo stands first and wins a draw. The verdict holds for the next pieces
that come to the same 2 MiB of slots, which neighbours in memory share: arrays are of one kind over long stretches.

Nothing here blocks but the wait for scratch memory, whose owners wait for nobody.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.libc.stdint import uint64_t

scratches = arch.reserve(cython.cast(uint64_t, CODECS) * arch.PACK_SCRATCH)


def packing_forked():
    """In a child of fork: memory to pack in is a process's own."""
    global scratches
    scratches = arch.reserve(cython.cast(uint64_t, CODECS) * arch.PACK_SCRATCH)
    for codec in range(CODECS):
        arch.store(cython.address(codecs[codec]), 0)


def codec_take():
    """Scratch memory of one's own; whoever has it lets go of it without waiting for anybody."""
    while True:
        for number in range(CODECS):
            if arch.cas(cython.address(codecs[number]), 0, 1):
                return number
        arch.yield_cpu()


def codec_give(codec):
    arch.store_release(cython.address(codecs[codec]), 0)


def scratch_of(codec):
    return scratches + cython.cast(uint64_t, codec) * arch.PACK_SCRATCH


def pack_piece(codec, hint, address, bytes, element):
    """Packs in the way that suits: ``how`` << 32 | bytes, to be found with packed_at(); 0 when not a quarter of it would go."""
    how = how_for(codec, hint, address, bytes, element)
    stored: cython.int = 0
    if how >= 0:
        stored = arch.pack(scratch_of(codec), address, bytes, how, bytes - bytes // 4)
    if stored == 0:
        arch.store(hint, 0)
        return 0
    return cython.cast(uint64_t, how) << 32 | cython.cast(uint64_t, stored)


def packed_at(codec):
    return arch.packed(scratch_of(codec))


def unpack_part(codec, source, stored, how, bytes, skip, take, to):
    """``take`` bytes of a piece of ``bytes``, from ``skip`` on, pages both; false when what is stored cannot be unpacked."""
    return not arch.unpack(
        scratch_of(codec), source, stored, to, bytes, how, cython.cast(cython.int, skip), cython.cast(cython.int, take)
    )


def how_for(codec, hint, address, bytes, element):
    """-1 when no way makes a quarter of the sample go. ``hint`` says what was found last: of two who come at one time, one may not
    be counted."""
    known = arch.load(hint)
    if known and cython.cast(cython.int, known >> 32) == element:
        arch.store(hint, known - 1 if known & 255 else 0)
        return cython.cast(cython.int, known >> 8 & 0xFFFF) - 1
    best: cython.int = best_way(codec, address, bytes, element)
    if best < 0 and element:
        best = best_way(codec, address, bytes, 0)  # the array may be seen as something else than it was made as
    if best >= 0:
        arch.store(
            hint, cython.cast(uint64_t, element) << 32 | cython.cast(uint64_t, best + 1) << 8 | cython.cast(uint64_t, ASK_ANEW)
        )
    return best


def best_way(codec, address, bytes, element):
    ways = cython.declare(cython.int[WAYS])
    best: cython.int = -1
    tried: cython.int = 2 * SAMPLE if bytes > SAMPLE else bytes
    least: cython.int = tried - tried // 4
    for way in range(ways_for(element, ways)):
        stored = sample_size(codec, address, bytes, ways[way], least - 1)
        if stored:
            best = ways[way]
            least = stored
    return best


def sample_size(codec, address, bytes, how, room):
    """What two pages of a piece, a quarter into it and a quarter before its end, pack to together; 0 when more than ``room``. Not its first,
    where arrays and rows begin: that is like no other."""
    if bytes <= SAMPLE:
        return arch.pack(scratch_of(codec), address, bytes, how, room)
    first = arch.pack(scratch_of(codec), address + (bytes // 4 & -SAMPLE), SAMPLE, how, room)
    if first == 0 or first == room:
        return 0
    second = arch.pack(scratch_of(codec), address + (bytes * 3 // 4 & -SAMPLE), SAMPLE, how, room - first)
    return first + second if second else 0


def ways_for(element, ways):
    """What comes into question for elements of that many bytes (0: unknown); how many."""
    widths = cython.declare(cython.int[3])
    count: cython.int = 0
    if element <= 1 or element > arch.PACK_ELEMENT:
        widths[0] = 4
        widths[1] = 8
        widths[2] = 1 if element == 1 else 2  # memory by the byte may hold anything
        count = 3
    else:
        widths[0] = element
        count = 1
        if element > 8 and element % 4 == 0:  # complex numbers, records: what they are made of
            widths[1] = 8 if element % 8 == 0 else 4
            count = 2
    ways[0] = arch.PACK_PLAIN
    found: cython.int = 1
    for number in range(count):
        width: cython.int = widths[number]
        if width > 1:
            ways[found] = arch.PACK_BYTES + width
            found += 1
        ways[found] = arch.PACK_BITS + width
        found += 1
        if width == 1 or width == 2 or width == 4 or width == 8:
            if width > 1:
                ways[found] = arch.PACK_DELTA + arch.PACK_BYTES + width
                found += 1
            ways[found] = arch.PACK_DELTA + arch.PACK_BITS + width
            found += 1
    return found
