"""How a user keeps an area from vanishing under it: one contract, a small file for each design.

The kernel's names for enter and exit are ``get_swap_device()`` and ``put_swap_device()``. The contract:

- ``enter(type)`` gives the area only while it is published; whatever is in it (map, clusters, cache index, descriptor) is then
  complete and stays so until ``exit(type)``. It may give NULL at any time; the caller then looks at its page-table entry
  again. Who enters leaves, on the same thread; sections of one thread do not nest on one area.
- ``publish(type, insert)``: what was set up before it is seen by whoever enters after it. ``insert(type)`` is called once,
  when users may come.
- ``retire(type, detach)`` returns when nobody is inside and nobody can enter. ``detach(type)`` is called once, at a moment
  when nobody is inside. It may block; whoever calls it is in no section and holds no lock that somebody inside, or somebody
  who waits to get in, may want. Either callback may be NULL.
- ``use_mm(mm)`` and ``unuse_mm(mm)``, the kernel's ``kthread_use_mm()``: a thread that holds no mmap lock says for which
  address space it works (NO_MM: for none) before it enters. ``mmlist`` takes that mm's lock for reading there; so it is
  called before any entry is locked, and not by who holds that lock. To the other designs nothing; but whoever uses an mm so is waited
  for by who needs the process at rest (calm.py).

Sections are short: a thread takes the area's lock inside, and never makes a transfer there, whatever ``may_sleep`` allows
(decision 8); area_read() and area_write() assert it. What keeps an area on over a transfer is a slot in use: swapoff only
retires an area that has none, and a slot is let go of inside a section.

The guard is chosen once, before the first area goes on. (Later, while none is on, is as good, since nobody can be inside; but
not from ``none``, which lets everybody in at any time.)
"""

import cython
from cython.cimports.hotswap.engine.calm import calm_enter, calm_leave
from cython.cimports.hotswap.engine.guard import (
    mmlist,
    none,
    percpu_ref,
    rcu,
    rcu_pointer,
    srcu,
    stop_machine,
    stop_machine_work,
)


def choose_guard(which):
    """Selects the design for the whole process; -1 when there is none of that number. No area is on."""
    global chosen, guard
    if which < 0 or which >= GUARDS:
        return -1
    chosen = which
    guard = cython.address(guards[which])
    return 0


def guard_chosen():
    return chosen


def guard_enter(type):
    return guard.enter(type)


def guard_exit(type):
    guard.exit(type)


def guard_publish(type, insert):
    guard.publish(type, insert)


def guard_retire(type, detach):
    guard.retire(type, detach)


def guard_use_mm(mm):
    """Whether guard_unuse_mm() has to undo it: the guard may be chosen between the two, while no area is on."""
    calm_enter()
    return guard.use_mm(mm)


def guard_unuse_mm(mm, used):
    if used:
        guard.unuse_mm(mm)
    calm_leave()


def guard_inside():
    """Is this thread inside a section in which it may not sleep?"""
    return guard.inside()


def guard_may_sleep():
    return guard.may_sleep


def guard_new_objects():
    return guard.new_objects


def awake():
    """For designs whose users may sleep anywhere."""
    return False


def needs_no_mm(mm):
    return False


def had_no_mm(mm):
    pass


for _which in range(GUARDS):
    guards[_which].inside = awake
    guards[_which].use_mm = needs_no_mm
    guards[_which].unuse_mm = had_no_mm
none.describe(cython.address(guards[GUARD_NONE]))
percpu_ref.describe(cython.address(guards[GUARD_PERCPU_REF]))
mmlist.describe(cython.address(guards[GUARD_MMLIST]))
stop_machine.describe(cython.address(guards[GUARD_STOP_MACHINE]))
stop_machine_work.describe(cython.address(guards[GUARD_STOP_MACHINE_WORK]))
rcu.describe(cython.address(guards[GUARD_RCU]))
srcu.describe(cython.address(guards[GUARD_SRCU]))
rcu_pointer.describe(cython.address(guards[GUARD_RCU_POINTER]))
chosen = GUARD_PERCPU_REF
guard = cython.address(guards[GUARD_PERCPU_REF])
