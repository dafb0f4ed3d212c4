"""Loops that measure a guard, or try to break it: for ``hotswap bench guards`` and the tests. No interpreter is in their way.

Each runs on the thread that calls it; whoever wants two threads calls from two. Nothing of the engine uses this.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.guard.contract import NO_MM, guard, guard_unuse_mm, guard_use_mm
from cython.cimports.hotswap.engine.swap_map import SWAP_MAP_BAD
from cython.cimports.libc.stdint import uint64_t

tallies = cython.cast(cython.pointer(Tally), arch.table(arch.THREADS, cython.sizeof(Tally)))
arch.thread_slots()


def meter_plain(rounds):
    """Nanoseconds for so many increments and decrements of a count that only this thread writes: what all guards are held against."""
    slot = arch.thread_slot()
    arch.check(slot >= 0, b"no more than 1024 threads measure at one time")
    done: uint64_t = 0
    began = arch.now_ns()
    while done < rounds:
        arch.bump(cython.address(tallies[slot].count), 1)
        arch.light()  # nor may the compiler make one of the two
        arch.bump(cython.address(tallies[slot].count), -1)
        arch.light()
        done += 1
    return arch.now_ns() - began


def meter_sections(type, rounds):
    """Nanoseconds for so many empty sections on an area that is on."""
    done: uint64_t = 0
    used: cython.bint = guard_use_mm(NO_MM)
    began = arch.now_ns()
    while done < rounds:
        area = guard.enter(type)
        arch.check(area != cython.NULL, b"an area that is on can be entered")
        guard.exit(type)
        done += 1
    took = arch.now_ns() - began
    guard_unuse_mm(NO_MM, used)
    return took


def meter_pause(type, ns):
    """The longest that one section of a bystander took, from asking to be let in to being out, in nanoseconds; watched for ``ns``."""
    longest: uint64_t = 0
    began = arch.now_ns()
    before = began
    while before - began < ns:
        used: cython.bint = guard_use_mm(NO_MM)
        if guard.enter(type):
            guard.exit(type)
        guard_unuse_mm(NO_MM, used)
        after = arch.now_ns()
        if after - before > longest:
            longest = after - before
        before = after
    return longest


def meter_look(type, ns):
    """How often the area could be entered in so many nanoseconds. Inside, all of it has to be there and of one piece.

    The header's byte and the bytes behind the last slot say "bad" in every map, so a bound and a map that do not belong
    together show; a map that is gone ends the process.
    """
    found: uint64_t = 0
    began = arch.now_ns()
    while arch.now_ns() - began < ns:
        used: cython.bint = guard_use_mm(NO_MM)
        area = guard.enter(type)
        if area:
            slots = area.slots
            map = area.map
            arch.check(map[0] == SWAP_MAP_BAD and map[slots] == SWAP_MAP_BAD, b"inside, an area's map has its header and its end")
            for slot in range(1, slots, 64):
                arch.check(map[slot] == 0, b"inside, the map of an empty area is empty")
            arch.check(map == area.map and slots == area.slots, b"an area does not change while somebody is inside")
            guard.exit(type)
            found += 1
        guard_unuse_mm(NO_MM, used)
    return found
