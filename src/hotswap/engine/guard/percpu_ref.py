"""The design ``percpu_ref``: a reference that can be killed and resurrected (merged in Linux 5.14; seed 003). The default.

A user adds one to a count of its own thread and then looks whether the reference is live; swapoff marks it dead and then
adds all counts up. Each must see the other's store, and only the rare side pays for that: the user has a compiler barrier
(``light``), swapoff makes every thread of the process run a full one (``heavy``). So either the user sees "dead" and takes
its one back, or the sum has it in.

A reference may be dropped by another thread than the one that took it: single counts may be negative, the sum is not. Once
the reference is dead the sum only falls, but for the moment between a late user's add and its taking back, so reading the
counts one after another never gives less than what is outstanding. The structures are never freed and never initialised
again ("never exit; resurrect, not re-init"): a late user may look at any time.

Sections may sleep. Lock order: none taken.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.entry import AREAS

counts = cython.cast(cython.pointer(Counts), arch.table(arch.THREADS, cython.sizeof(Counts)))
refs = cython.cast(cython.pointer(Ref), arch.table(AREAS, cython.sizeof(Ref)))


def describe(guard):
    guard.enter = enter
    guard.exit = leave
    guard.publish = publish
    guard.retire = retire
    guard.may_sleep = True
    arch.barrier_setup()


def enter(type):
    slot = arch.thread_slot()
    arch.check(slot >= 0, b"no more than 1024 threads use swap areas at one time")
    ref = cython.address(refs[type])
    arch.bump(cython.address(counts[slot].count[type]), 1)
    arch.light()  # the count is out before "live" is read; pairs with heavy() in retire()
    if arch.load(cython.address(ref.live)) != REF_LIVE:
        leave(type)
        return False
    # "Live" does not order what is read next by itself (a control dependency orders no reads): without this the fields
    # of the area could be those from before a swapoff and swapon. Pairs with the release in publish(). RACES R09.
    arch.acquire()
    return True


def leave(type):
    slot = arch.thread_slot()
    ref = cython.address(refs[type])
    # Everything done inside comes before the count falls: pairs with the acquire in total().
    word = cython.address(counts[slot].count[type])
    arch.store_release(word, arch.load(word) - 1)
    arch.light()  # the count has fallen before "live" is read; pairs with heavy() in retire()
    if arch.load(cython.address(ref.live)) != REF_LIVE:
        arch.event_wake(cython.address(ref.left))


def publish(type):
    arch.store_release(cython.address(refs[type].live), REF_LIVE)  # resurrect


def retire(type):
    ref = cython.address(refs[type])
    arch.store(cython.address(ref.live), 0)  # kill
    arch.heavy()  # pairs with light() in enter() and in leave()
    while True:
        seen = arch.event_read(cython.address(ref.left))
        if total(type) == 0:
            return
        arch.event_wait(cython.address(ref.left), seen, -1)


def total(type):
    """References outstanding; exact once the reference is dead."""
    outstanding: cython.long = 0
    for slot in range(arch.THREADS):
        outstanding += cython.cast(cython.long, arch.load_acquire(cython.address(counts[slot].count[type])))
    return outstanding
