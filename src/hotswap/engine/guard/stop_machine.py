"""The design ``stop_machine``: preemption off against a stop of the machine (the patch's V5 to V7; seed 000).

A user is in a section that is not interrupted by a stop (stopper.py) and looks whether the area is valid. Swapoff says that
it is not, stops the machine once, and frees: a stop is a moment at which nobody is inside, and whoever enters after it sees
"not valid". Swapon stops it once between setting the area up and saying "valid": so no user needs a barrier (R05).

The work itself is done while the machine runs; the stop only serves to reach that moment, as Arcangeli objects (seed 004):
then it is a grace period during which everybody waits. ``stop_machine_work`` is his alternative.

Sections may not sleep. Whoever wants to enter any area waits until the last one inside has left and the stop is over.
Lock order: the stopper's lock is taken by swapon and swapoff, alone.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import areas
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.guard.stopper import go, preempt_disable, preempt_disabled, preempt_enable, stop

valid = cython.cast(cython.pointer(arch.word), arch.table(AREAS, cython.sizeof(arch.word)))


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
    if arch.load(cython.address(valid[type])):
        return cython.address(areas[type])
    preempt_enable()
    return cython.NULL


def leave(type):
    preempt_enable()


def publish(type, insert):
    stop()
    go()
    arch.store(cython.address(valid[type]), 1)
    if insert:
        insert(type)


def retire(type, detach):
    arch.store(cython.address(valid[type]), 0)
    stop()
    go()
    if detach:
        detach(type)
