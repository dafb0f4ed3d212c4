"""Where the time of faults goes, by stage: always counted.

Who serves a fault calls ``profile_begin``, after each stage ``profile_stage`` and after the last ``profile_end``: what has passed since
the call before belongs to the stage. A thread has one clock, so nothing is handed down from function to function, and a stage that is
also run outside of faults (by a swapoff, say) counts only inside of them. A call reads the clock and adds to one word, some 30 ns.

What is not seen here is what a fault costs before its handler runs and after it has woken the thread: ``hotswap bench --profile`` tells
it as what is left of the time that passed for the program.

May be called anywhere, sleeps nowhere, takes no lock.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import MMS
from cython.cimports.libc.stdint import int64_t

clocks = cython.cast(cython.pointer(Clock), arch.table(arch.THREADS, cython.sizeof(Clock)))
sums = cython.cast(cython.pointer(Sums), arch.table(MMS, cython.sizeof(Sums)))


def profile_reset(index):
    """Of a space that is about to begin."""
    for stage in range(STAGES):
        arch.store(cython.address(sums[index].ns[stage]), 0)


def profile_begin():
    """This thread serves a fault from here on."""
    if PROFILED:
        slot = arch.thread_slot()
        if slot >= 0:
            arch.store(cython.address(clocks[slot].last), arch.now_ns())


def profile_stage(mm, stage):
    """A stage of the fault that this thread serves is over; nothing, if it serves none."""
    if PROFILED:
        slot = arch.thread_slot()
        if slot >= 0:
            last = arch.load(cython.address(clocks[slot].last))
            if last:
                now = arch.now_ns()
                arch.add(cython.address(sums[mm.index].ns[stage]), cython.cast(int64_t, now - last))
                arch.store(cython.address(clocks[slot].last), now)


def profile_end(mm, stage):
    """The last stage of the fault is over."""
    if PROFILED:
        slot = arch.thread_slot()
        if slot >= 0:
            profile_stage(mm, stage)
            arch.store(cython.address(clocks[slot].last), 0)


def profile_figure(index, stage):
    """Nanoseconds since the space began."""
    return arch.load(cython.address(sums[index].ns[stage]))
