"""The design ``none``: the bug of 2019, kept on purpose for experiments.

A user reads the area without holding anything, swapoff frees at once. Seed 000 shows what happens then.
"""


def describe(guard):
    guard.enter = enter
    guard.exit = leave
    guard.publish = publish
    guard.retire = retire
    guard.may_sleep = True


def enter(type):
    return True


def leave(type):
    pass


def publish(type):
    pass


def retire(type):
    pass
