"""The design ``rcu_pointer``: a new object for each swapon, found through a pointer (the alternative of 2021; seed 003).

A user reads the table's pointer inside an RCU section (urcu.py), takes a reference of the object (percpu_ref.py) there, and
leaves the RCU section; the reference then keeps the object for as long as the user likes. Swapoff takes the pointer away,
kills the reference, waits for a grace period, since somebody may have read the pointer and not yet tried the reference, and
then for the last reference. Nobody has the pointer then, so not only what is in the object may be freed but the object too.

The object is complete before its pointer is in the table, and who reads the pointer sees it complete: the kernel has a data
dependency for that (``rcu_dereference()``), here it is an acquire, which costs nothing on x86. So tryget needs none of its own
(compare R09). In return everything that looks at an area has to get it from here, statistics too (R11): area_at() is for who
holds a slot of the area, or is its swapon or swapoff.

References may sleep, the RCU section around the look-up is closed by then. Swapoff waits for all RCU sections and the users of
its own area. Lock order: urcu's lock is taken by swapoff, alone.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import area_at
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.guard.percpu_ref import kill, put, resurrect, tryget_live, wait_for_zero
from cython.cimports.hotswap.engine.guard.urcu import rcu_read_lock, rcu_read_unlock, synchronize_rcu

slots = cython.cast(cython.pointer(Slot), arch.table(AREAS, cython.sizeof(Slot)))
published = cython.cast(cython.pointer(cython.pointer(Area)), arch.table(2 * AREAS, cython.sizeof(cython.pointer(Area))))


def describe(guard):
    guard.enter = enter
    guard.exit = put
    guard.publish = publish
    guard.retire = retire
    guard.may_sleep = True
    guard.new_objects = True


def enter(type):
    area = cython.cast(cython.pointer(Area), cython.NULL)
    rcu_read_lock()
    current = arch.load_acquire(cython.address(slots[type].current))  # rcu_dereference(); pairs with publish()
    if current and tryget_live(type):
        area = published[current - 1]
    rcu_read_unlock()
    return area


def publish(type, insert):
    slot = cython.address(slots[type])
    number = 2 * type + slot.turn
    slot.turn = 1 - slot.turn
    published[number] = area_at(type)
    resurrect(type)
    arch.store_release(cython.address(slot.current), number + 1)  # rcu_assign_pointer()
    if insert:
        insert(type)


def retire(type, detach):
    arch.store(cython.address(slots[type].current), 0)
    kill(type)
    # Who read the pointer has tried the reference by the end of this, and got it or saw it dead. So the reference can be the
    # next object's as well. It also runs the barrier that wait_for_zero() wants after kill().
    synchronize_rcu()
    wait_for_zero(type)
    if detach:
        detach(type)
