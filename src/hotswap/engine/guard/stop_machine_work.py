"""The design ``stop_machine_work``: the work runs while the machine is stopped (seeds 000 and 004, Arcangeli).

Detaching an area (its tables out of it) and inserting one (WRITEOK, the list of active areas) are done by one thread between
stop() and go() (stopper.py), while nobody is inside. To a user the area therefore does not change at all during a section: it
looks whether the area is there, in what order with the rest does not matter, and needs neither a barrier nor a lock of the
area or of the list against swapon and swapoff.

What it cannot do without here are the area's lock against other users, since counts go up and down all the time, and the list's
lock, since areas of one priority take turns on it. The callers are the same for all designs, so they keep both; the work takes
them inside the stop, which is safe because nobody holds them while he waits to get in.

Sections may not sleep. Whoever wants to enter any area waits for the last one inside and for the work, which allocates and frees
nothing. Lock order: the stopper's lock, then those of area_activate().
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import areas
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.guard.stopper import go, preempt_disable, preempt_disabled, preempt_enable, stop

present = cython.cast(cython.pointer(arch.word), arch.table(AREAS, cython.sizeof(arch.word)))


def describe(guard):
    guard.enter = enter
    guard.exit = leave
    guard.publish = publish
    guard.retire = retire
    guard.inside = preempt_disabled
    guard.may_sleep = False
    guard.new_objects = False


def enter(type):
    preempt_disable()
    if arch.load(cython.address(present[type])):
        return cython.address(areas[type])
    preempt_enable()
    return cython.NULL


def leave(type):
    preempt_enable()


def publish(type, insert):
    stop()
    arch.store(cython.address(present[type]), 1)
    if insert:
        insert(type)
    go()


def retire(type, detach):
    stop()
    arch.store(cython.address(present[type]), 0)
    if detach:
        detach(type)
    go()
