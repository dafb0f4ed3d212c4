"""The design ``none``: the bug of 2019, kept on purpose for experiments and as the negative control of every test.

A user reads the area without holding anything, swapoff frees at once. Seed 000 shows what happens then.

Costs a user nothing, swapoff nothing, and the process its life.
"""

import cython
from cython.cimports.hotswap.engine.area import areas


def describe(guard):
    guard.enter = enter
    guard.exit = leave
    guard.publish = publish
    guard.retire = retire
    guard.may_sleep = True
    guard.new_objects = False


def enter(type):
    return cython.address(areas[type])


def leave(type):
    pass


def publish(type, insert):
    if insert:
        insert(type)


def retire(type, detach):
    if detach:
        detach(type)
