"""Where the time of faults goes, by stage: always counted.

Who serves a fault calls ``profile_begin``, after each stage ``profile_stage`` and at the end ``profile_end``: what has passed since
the call before belongs to the stage. A thread has one clock, so nothing is handed down from function to function, and a stage that is
also run outside of faults (by a swapoff, say) counts only inside of them. A call reads the clock and adds to a word that
only this thread writes: some 100 ns on a virtual machine, a
twentieth of a fault from compressed memory if every fault were timed. So one in seven is, and stands for seven.

What is not seen here is what a fault costs before its handler runs and after it has woken the thread: ``hotswap bench --profile`` tells
it as what is left of the time that passed for the program.

May be called anywhere, sleeps nowhere, takes no lock.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import MMS
from cython.cimports.libc.stdint import int64_t, uint64_t

arch.thread_slots()

clocks = cython.cast(cython.pointer(Clock), arch.table(arch.THREADS, cython.sizeof(Clock)))
sums = cython.cast(cython.pointer(Sums), arch.table(MMS * arch.THREADS, cython.sizeof(Sums)))


def profile_reset(index):
    """Of a space that is about to begin: nobody serves its faults yet."""
    for slot in range(arch.THREADS):
        for stage in range(STAGES):
            ns = cython.address(sums[index * arch.THREADS + slot].ns[stage])
            if arch.load(ns):  # most lines are nobody's, and stay without memory
                arch.store(ns, 0)


def profile_begin():
    """This thread serves a fault from here on, which is timed if it is its turn."""
    if PROFILED:
        slot = arch.thread_slot()
        if slot >= 0:
            arch.bump(cython.address(clocks[slot].faults), 1)
            if arch.load(cython.address(clocks[slot].faults)) % ONE_IN == 0:
                arch.store(cython.address(clocks[slot].last), arch.now_ns())
                arch.store(cython.address(clocks[slot].stage), STAGE_FIND)


def profile_stage(mm, stage):
    """A stage of the fault that this thread serves is over; nothing, if it serves none."""
    if PROFILED:
        slot = arch.thread_slot()
        if slot >= 0:
            last = arch.load(cython.address(clocks[slot].last))
            if last:
                now = arch.now_ns()
                arch.bump(cython.address(sums[mm.index * arch.THREADS + slot].ns[stage]), cython.cast(int64_t, now - last))
                arch.store(cython.address(clocks[slot].last), now)
                arch.store(cython.address(clocks[slot].stage), stage)


def profile_end(mm):
    """The fault is over: what came after its mapping was for those to come, and of one that mapped nothing it was all there was."""
    if PROFILED:
        slot = arch.thread_slot()
        if slot >= 0:
            mapped: cython.bint = arch.load(cython.address(clocks[slot].stage)) == STAGE_MAP
            profile_stage(mm, STAGE_AHEAD if mapped else STAGE_OTHER)
            arch.store(cython.address(clocks[slot].last), 0)


def profile_forget(process):
    """The threads of a process that has died serve no fault any more."""
    for slot in range(arch.THREADS):
        if arch.thread_slot_owner(slot) == process:
            arch.store(cython.address(clocks[slot].last), 0)
            arch.thread_slot_free(slot)


def profile_figure(index, stage):
    """Nanoseconds since the space began, as the faults that were timed let expect of all."""
    total: uint64_t = 0
    for slot in range(arch.THREADS):
        total += arch.load(cython.address(sums[index * arch.THREADS + slot].ns[stage]))
    return total * ONE_IN
