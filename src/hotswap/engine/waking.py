"""What waking a thread costs here: from a few microseconds to more than a read of a page takes, where a processor that halts has to be
brought back by a hypervisor. It says whether handlers stay awake for the next fault (fault.py), which is worth its processor time only
where it is dear. Measured once a process, in a millisecond or two: a thread sleeps, is woken after a pause and wakes who woke it.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.libc.stdint import uint64_t


def waking_is_dear():
    """As far as is known."""
    return arch.load_acquire(cython.address(waking.ns)) >= DEAR_NS


def waking_ask():
    """May block, for a measurement; unless somebody has begun one."""
    if arch.cas(cython.address(waking.begun), 0, 1):
        arch.store_release(cython.address(waking.ns), waking_measure())


def waking_measure():
    """Nanoseconds from waking a thread until it runs: half of there and back, the median of TURNS. 0 where there is no thread to be had."""
    took = cython.declare(uint64_t[TURNS])
    answered = arch.event_read(cython.address(waking.answered))
    thread: uint64_t = arch.thread_start(answer_main, 0, b"hotswap-waking")
    if thread == 0:
        return 0
    answered = wait_for(cython.address(waking.answered), answered)  # it listens
    for turn in range(TURNS):
        until = arch.now_ns() + PAUSE_NS
        while arch.now_ns() < until:
            pass
        begun = arch.now_ns()
        arch.event_wake(cython.address(waking.asked))
        answered = wait_for(cython.address(waking.answered), answered)
        took[turn] = arch.now_ns() - begun
    arch.thread_join(thread)
    return median(took) // 2


def answer_main(_nothing):
    asked = arch.event_read(cython.address(waking.asked))
    arch.event_wake(cython.address(waking.answered))
    for _turn in range(TURNS):
        asked = wait_for(cython.address(waking.asked), asked)
        arch.event_wake(cython.address(waking.answered))


def wait_for(event, seen):
    """May block: until it is no longer as it was seen. As what it is seen then."""
    while arch.event_read(event) == seen:
        arch.event_wait(event, seen, 100000)
    return arch.event_read(event)


def median(values):
    """Sorts them, by insertion."""
    for last in range(1, TURNS):
        place: cython.int = last
        while place > 0 and values[place - 1] > values[place]:
            value = values[place]
            values[place] = values[place - 1]
            values[place - 1] = value
            place -= 1
    return values[TURNS // 2]
