"""How a user keeps an area from vanishing under it: one contract, a small file for each design.

The kernel's names for enter and exit are ``get_swap_device()`` and ``put_swap_device()``. The contract:

- ``enter(type)`` is true only while the area is published; whatever it protects (map, clusters, cache index, descriptor)
  is then complete and stays so until ``exit(type)``. It may fail at any time; the caller then looks at its page-table
  entry again. Sections of one thread do not nest on one area.
- ``publish(type)``: what was set up before it is seen by whoever enters after it.
- ``retire(type)`` returns when nobody is inside and nobody can enter. It may block; whoever calls it holds no lock that a
  section takes, and every slot is free, so that those inside are about to leave.
- ``may_sleep``: where it is false the caller does its transfers outside the section.

The guard is chosen once, before the first area goes on.
"""

import cython
from cython.cimports.hotswap.engine.guard import none, percpu_ref

chosen = GUARD_PERCPU_REF

none.describe(cython.address(guards[GUARD_NONE]))
percpu_ref.describe(cython.address(guards[GUARD_PERCPU_REF]))


def choose_guard(which):
    """Selects the design for the whole process; -1 when there is none of that number."""
    global chosen
    if which < 0 or which >= GUARDS:
        return -1
    chosen = which
    return 0


def guard_enter(type):
    return guards[chosen].enter(type)


def guard_exit(type):
    guards[chosen].exit(type)


def guard_publish(type):
    guards[chosen].publish(type)


def guard_retire(type):
    guards[chosen].retire(type)


def guard_may_sleep():
    return guards[chosen].may_sleep
