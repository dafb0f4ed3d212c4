"""The design ``percpu_ref``: a reference that can be killed and resurrected (merged in Linux 5.14; seed 003). The default.

A user adds one to a count of its own thread and then looks whether the reference is live; swapoff marks it dead and then
adds all counts up. Each must see the other's store, and only the rare side pays for that: the user has a compiler barrier
(``light``), swapoff makes every thread of the process run a full one (``heavy``). So either the user sees "dead" and takes
its one back, or the sum has it in.

Once the reference is dead the sum only falls, but for the moment between a late user's add and its taking back, so reading
the counts one after another never gives less than what is outstanding. (The kernel lets another thread drop a reference than
the one that took it: single counts may then be negative, the sum is not. That would hold here too; sections of this engine
end where they began.) The structures are never freed and never initialised
again ("never exit; resurrect, not re-init"): a late user may look at any time.

Sections may sleep. Swapoff waits for users of its own area only and disturbs every thread for a microsecond (membarrier).
Lock order: none taken.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import area_at
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import family_patience, forget_dead

counts = cython.cast(cython.pointer(Counts), arch.table(arch.THREADS, cython.sizeof(Counts)))
refs = cython.cast(cython.pointer(Ref), arch.table(AREAS, cython.sizeof(Ref)))
arch.barrier_setup()
arch.thread_slots()


def describe(guard):
    guard.enter = enter
    guard.exit = put
    guard.publish = publish
    guard.retire = retire
    guard.may_sleep = True
    guard.new_objects = False


def enter(type):
    slot = arch.thread_slot_mine()
    if arch.rarely(slot < 0):
        return enter_first(type)
    arch.bump(cython.address(counts[slot].count[type]), 1)
    arch.light()  # the count is out before "live" is read; pairs with heavy() between kill() and wait_for_zero()
    if arch.rarely(arch.load(cython.address(refs[type].live)) != REF_LIVE):
        return came_late(type)
    # "Live" does not order what is read next by itself (a control dependency orders no reads): without this the fields
    # of the area could be those from before a swapoff and swapon. Pairs with the release in resurrect(). RACES R09.
    arch.acquire()
    return refs[type].area


def enter_first(type):
    """enter() of a thread that has no number yet: kept apart so that others save nothing on its behalf."""
    arch.check(arch.thread_slot() >= 0, b"no more than 1024 threads use swap areas at one time")
    return enter(type)


def came_late(type):
    """enter() on an area that is off: takes the reference back."""
    put(type)
    return cython.NULL


def publish(type, insert):
    refs[type].area = area_at(type)
    resurrect(type)
    if insert:
        insert(type)


def retire(type, detach):
    kill(type)
    arch.heavy()  # pairs with light() in tryget_live() and in put()
    wait_for_zero(type)
    if detach:
        detach(type)


def tryget_live(type):
    """One more reference, unless it is dead. Orders nothing that is read after it."""
    slot = arch.thread_slot()
    arch.check(slot >= 0, b"no more than 1024 threads use swap areas at one time")
    arch.bump(cython.address(counts[slot].count[type]), 1)
    arch.light()  # the count is out before "live" is read; pairs with heavy() between kill() and wait_for_zero()
    if arch.load(cython.address(refs[type].live)) == REF_LIVE:
        return True
    put(type)
    return False


def put(type):
    """Drops a reference."""
    slot = arch.thread_slot_mine()
    arch.check(slot >= 0, b"who leaves has entered")
    word = cython.address(counts[slot].count[type])
    # Everything done inside comes before the count falls: pairs with the acquire in total().
    arch.store_release(word, arch.load(word) - 1)
    arch.light()  # the count has fallen before "live" is read; pairs with heavy() between kill() and wait_for_zero()
    if arch.rarely(arch.load(cython.address(refs[type].live)) != REF_LIVE):
        arch.event_wake(cython.address(refs[type].left))


def resurrect(type):
    """Live, for the first time or again. What was set up before is seen by who finds it live and then has an acquire."""
    arch.store_release(cython.address(refs[type].live), REF_LIVE)


def kill(type):
    """No more references, once every thread has run a barrier."""
    arch.store(cython.address(refs[type].live), 0)


def wait_for_zero(type):
    """May block. Killed, and a barrier run: returns when the last reference was dropped (the kernel's completion)."""
    left = cython.address(refs[type].left)
    while True:
        seen = arch.event_read(left)
        if total(type) == 0:
            return
        arch.event_wait(left, seen, family_patience())
        forget_dead(forget)


def total(type):
    """References outstanding; exact once the reference is dead."""
    outstanding: cython.long = 0
    for slot in range(arch.THREADS):
        outstanding += cython.cast(cython.long, arch.load_acquire(cython.address(counts[slot].count[type])))
    return outstanding


def forget(process):
    """The threads of a process that has died are in no section any more."""
    for slot in range(arch.THREADS):
        if arch.thread_slot_owner(slot) == process:
            for type in range(AREAS):
                arch.store(cython.address(counts[slot].count[type]), 0)
            arch.thread_slot_free(slot)
    for type in range(AREAS):
        arch.event_wake(cython.address(refs[type].left))
