"""A member that ends without a word: killed, or by _exit(), or by becoming another program.

Every member's service thread looks now and then whether the others' mutexes ``alive`` are held (``death_watch``); the first to get hold of a
dead one's cleans up (``mourn``). What the dead one had in its hands nobody knows: a count that rose before an entry was written, slots that
were taken and not yet named, a frame half in the cache. So all members are brought to rest, when the page tables of the living
say all there is (calm.py), and the counts, the clusters and the cache's index of every area are made anew from them (recount.py). Who is
stopped (SIGSTOP) puts it off.

Locks that the dead one held are had by the next who wants them, who first puts right what they guard (``area_mend``, ``active_mend``, ``pool_cut``). A swapoff that it ran is given up.

Lock order: ``family.lock``, then rest in every process.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import SWP_WRITEOK, active, area_activate, area_at
from cython.cimports.hotswap.engine.commit import commit_drop
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import (
    ENDS_US,
    MEMBER_COMING,
    MEMBER_GONE,
    MEMBER_LIVE,
    MEMBERS,
    NOT_BEGUN,
    NOT_TO_COME,
    family,
    family_dead,
    family_give,
    family_live,
    members,
    own,
)
from cython.cimports.hotswap.engine.family_copy import space_bury
from cython.cimports.hotswap.engine.guard import percpu_ref, srcu, stopper, urcu
from cython.cimports.hotswap.engine.guard.contract import guard_publish
from cython.cimports.hotswap.engine.mm import (
    MMS,
    mm_at,
)
from cython.cimports.hotswap.engine.mmap import rows
from cython.cimports.hotswap.engine.mover import movers_gone
from cython.cimports.hotswap.engine.process import rest, resume
from cython.cimports.hotswap.engine.profile import profile_forget
from cython.cimports.hotswap.engine.recount import count_everything
from cython.cimports.hotswap.engine.shares import shares_forget
from cython.cimports.hotswap.engine.shm_death import shms_lost, shms_mend
from cython.cimports.hotswap.engine.store.file import files_lock, files_settled
from cython.cimports.hotswap.engine.store.ram import ram_disown
from cython.cimports.hotswap.engine.swapoff import OFF_DONE, OFF_IDLE, OFF_UNDER_WAY, everyones
from cython.cimports.hotswap.engine.swapon import area_free_tables
from cython.cimports.hotswap.engine.swaps import swaps_orphan, swaps_reap
from cython.cimports.hotswap.engine.writeback import writeback_again, writeback_inherit


def active_mend(nothing):
    """Under the lock of the list of active areas: those that take slots, best first."""
    active.count = 0
    for type in range(AREAS):
        if arch.load(cython.address(area_at(type).flags)) & SWP_WRITEOK:
            place: cython.int = active.count
            while place > 0 and area_at(active.type[place - 1]).priority < area_at(type).priority:
                active.type[place] = active.type[place - 1]
                place -= 1
            active.type[place] = type
            active.count += 1


def death_watch():
    """May block. In a service thread: looks after those that have ended; what is left to do."""
    left: cython.int = MOURN_DONE
    for member in range(MEMBERS):
        if family_dead(member):
            result = mourn(member)
            left = result if result > left else left
            arch.mutex_unlock(cython.address(members[member].alive))
    return left


def family_settled():
    """Has everybody who died been cleaned up after, and every file been closed that is no area's any more? For who finds one in use."""
    if not arch.mutex_try(cython.address(family.lock)):
        return False
    arch.mutex_unlock(cython.address(family.lock))
    for member in range(MEMBERS):
        if family_dead(member):
            arch.mutex_unlock(cython.address(members[member].alive))
            return False
    return files_settled()


def mourn(member):
    """May block. Cleans up after one whose mutex is the caller's now. Nobody waits for the family's lock here: who has it may be
    cleaning up after another one, and wants this process to be at rest."""
    if not movers_gone(arch.load(cython.address(members[member].process))) or not arch.mutex_try(cython.address(family.lock)):
        return MOURN_BUSY
    if arch.load_acquire(cython.address(members[member].state)) == MEMBER_LIVE:
        remove(member)
    done: cython.bint = arch.load_acquire(cython.address(members[member].state)) != MEMBER_LIVE
    if arch.load_acquire(cython.address(members[member].state)) == MEMBER_GONE:
        take_over(member)
        family_give(member)
    arch.mutex_unlock(cython.address(family.lock))
    return MOURN_DONE if done else MOURN_LATE


def remove(member):
    """May block. All come to rest, and everything is counted without it: it is gone then. Or some do not in time, and it is as before."""
    arch.nap_us(ENDS_US)
    number = (arch.load(cython.address(family.rest)) + 1) | 1  # odd, also where one who died in here has left an odd one
    arch.store(cython.address(family.asker), own.member)
    arch.store_release(cython.address(family.rest), number)
    arch.store(cython.address(members[own.member].rested), number)
    arch.store(cython.address(members[member].rested), number)
    for other in range(MEMBERS):
        if family_live(other):
            arch.event_wake(cython.address(members[other].call))
    rest()
    if rest_of_all(number) and family_live(member):
        count_without(member)
    arch.store_release(cython.address(family.rest), number + 1)  # even: everybody may go on
    resume()
    arch.event_wake(cython.address(family.answer))


def count_without(member):
    """All are at rest, and stay so until this has been done by somebody."""
    arch.store_release(cython.address(family.half), 1)
    remove_member(member)
    arch.mutex_lock(cython.address(family.counting))
    if shms_mend() and count_everything():
        arch.store_release(cython.address(members[member].state), MEMBER_GONE)
    arch.mutex_unlock(cython.address(family.counting))
    arch.store_release(cython.address(family.half), 0)


def count_for_dead(asker):
    """May block. At rest: who asked for it died while he counted, so this process counts without him. The one he counted without has its turn
    later."""
    if family_dead(asker):
        arch.nap_us(ENDS_US)
        while not movers_gone(arch.load(cython.address(members[asker].process))):
            arch.nap_us(ENDS_US)
        arch.mutex_lock(cython.address(family.lock))
        if arch.load(cython.address(family.half)):
            arch.store(cython.address(family.asker), own.member)
            count_without(asker)
            arch.add_acq_rel(cython.address(family.rest), 1)  # even: everybody may go on
        arch.mutex_unlock(cython.address(family.lock))
        arch.mutex_unlock(cython.address(members[asker].alive))
        arch.event_wake(cython.address(family.answer))


def rest_of_all(number):
    """May block. Have all living members come to rest? Not for longer than REST_NS."""
    began = arch.now_ns()
    for member in range(MEMBERS):
        while family_live(member) and arch.load_acquire(cython.address(members[member].rested)) != number:
            seen = arch.event_read(cython.address(family.answer))
            if arch.mutex_try(cython.address(members[member].alive)):
                # Dead as well: its turn comes. It is at rest once none of its calls is under way.
                arch.nap_us(ENDS_US)
                still: cython.bint = movers_gone(arch.load(cython.address(members[member].process)))
                arch.mutex_unlock(cython.address(members[member].alive))
                if still:
                    break
            if arch.now_ns() - began > REST_NS:
                return False
            if arch.load_acquire(cython.address(members[member].rested)) != number:
                arch.event_wait(cython.address(family.answer), seen, 10000)
    return True


def rest_serve():
    """May block. In a service thread: at rest as long as somebody asks for it, and lives, or died before all was counted."""
    number = arch.load_acquire(cython.address(family.rest))
    if not number & 1 or arch.load(cython.address(members[own.member].rested)) == number:
        return
    rest()
    arch.store_release(cython.address(members[own.member].rested), number)
    arch.event_wake(cython.address(family.answer))
    while True:
        seen = arch.event_read(cython.address(family.answer))
        if arch.load_acquire(cython.address(family.rest)) != number:
            break
        if asker_lives():
            arch.event_wait(cython.address(family.answer), seen, 50000)
        elif not arch.load_acquire(cython.address(family.half)):
            break
        else:
            count_for_dead(cython.cast(cython.int, arch.load(cython.address(family.asker))))
    resume()


def asker_lives():
    asker = cython.cast(cython.int, arch.load(cython.address(family.asker)))
    if not family_live(asker):
        return False
    if arch.mutex_try(cython.address(members[asker].alive)):
        arch.mutex_unlock(cython.address(members[asker].alive))
        return False
    return True


def remove_member(member):
    """Its address spaces and the numbers of its threads, and of the child it was about to fork, if that has not begun. References are
    counted anew afterwards."""
    remove_spaces(member)
    shms_lost(member)
    shares_forget(member)
    for child in range(MEMBERS):
        row = cython.address(members[child])
        mine: cython.bint = arch.load_acquire(cython.address(row.state)) == MEMBER_COMING
        mine = mine and arch.load(cython.address(row.parent)) == member + 1
        process = arch.load(cython.address(row.process))
        if mine and process & NOT_BEGUN and arch.cas(cython.address(row.process), process, NOT_TO_COME):
            remove_spaces(child)
            shms_lost(child)
            shares_forget(child)
            family_give(child)
    process = arch.load(cython.address(members[member].process))
    percpu_ref.forget(process)
    srcu.forget(process)
    stopper.forget(process)
    urcu.forget(process)
    profile_forget(process)


def remove_spaces(member):
    for index in range(MMS):
        mm = mm_at(index)
        if arch.load_acquire(cython.address(rows[index])) and mm.member == member and not mm.shared:
            commit_drop(index)
            if arch.load(cython.address(mm.packed)):
                for type in range(AREAS):
                    ram_disown(type, index)
            space_bury(mm)


def take_over(member):
    """May block. The locks on the areas' files, which may have gone with it; and the areas that the dead one was switching on or off:
    what it had begun is given up or ended, whichever is nearer. The others are at work again."""
    files_lock()
    for type in range(AREAS):  # first: whoever ends an area, as what comes now may, waits for its thread
        writeback_inherit(type, member)
    for type in range(AREAS):
        job = cython.address(everyones[member * AREAS + type])
        state = arch.load(cython.address(job.state))
        # In such an order that, if this process dies, the next one ends what is left.
        if (state == OFF_UNDER_WAY and not area_at(type).map) or state == OFF_DONE:
            area_free_tables(type)
            swaps_reap(type, member)
        else:
            if state == OFF_UNDER_WAY and not arch.load(cython.address(area_at(type).flags)) & SWP_WRITEOK:
                writeback_again(type)
                guard_publish(type, area_activate)
            arch.store(cython.address(job.state), OFF_IDLE)
        swaps_orphan(type, member)


arch.mutex_mend(cython.address(active.lock), active_mend, 0)
