"""The design ``rcu``: a read-side section against a grace period (the patch's V4, and what was merged in 2019; seed 000).

A user is in an RCU section (urcu.py) and looks whether the area is valid. Swapoff says that it is not, waits for a grace
period, and frees: whoever saw "valid" has left by then. Swapon waits for one too, between setting the area up and saying
"valid": so that who reads "valid" has run a full barrier since the set-up (heavy() in synchronize_rcu()), and needs none of
its own (R05).

Sections may not sleep. Swapoff waits for every thread's section, of whatever area, and makes every thread run a barrier.
Lock order: urcu's lock is taken by swapon and swapoff, alone.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import areas
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.guard.urcu import rcu_read_held, rcu_read_lock, rcu_read_unlock, synchronize_rcu

valid = cython.cast(cython.pointer(arch.word), arch.table(AREAS, cython.sizeof(arch.word)))


def describe(guard):
    guard.enter = enter
    guard.exit = leave
    guard.publish = publish
    guard.retire = retire
    guard.inside = rcu_read_held
    guard.may_sleep = False
    guard.new_objects = False


def enter(type):
    rcu_read_lock()
    if arch.load(cython.address(valid[type])):
        return cython.address(areas[type])
    rcu_read_unlock()
    return cython.NULL


def leave(type):
    rcu_read_unlock()


def publish(type, insert):
    synchronize_rcu()
    arch.store(cython.address(valid[type]), 1)
    if insert:
        insert(type)


def retire(type, detach):
    arch.store(cython.address(valid[type]), 0)
    synchronize_rcu()
    if detach:
        detach(type)
