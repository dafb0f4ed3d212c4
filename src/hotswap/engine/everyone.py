"""A swapoff asks the other members of the family to empty their address spaces: each moves its own memory, nobody else can.

The one who switches an area off asks before it empties its own spaces (``everyone_ask``) and collects afterwards (``everyone_gather``), once for
each round. A member's service thread makes a round of what it is asked for (``everyone_serve``), however busy its program is. Who
does not answer for a second is named in the progress (stopped, most likely), and waited for; who dies is found by others
(death.py), and what it held is let go.

No lock is held while waiting.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import MEMBERS, family, family_live, members, own
from cython.cimports.hotswap.engine.swapoff import everyones_rounds, fail, rounds, swapoff_round
from cython.cimports.libc.errno import EINTR
from cython.cimports.libc.stdint import uint64_t

asks = cython.cast(cython.pointer(Asked), arch.table(MEMBERS * AREAS, cython.sizeof(Asked)))


def everyone_ask(job):
    """Starts a round of every other member."""
    for member in range(MEMBERS):
        if member != own.member and family_live(member):
            arch.store(cython.address(everyones_rounds[member * AREAS + job.type].cancel), 0)
            arch.add_acq_rel(cython.address(asks[member * AREAS + job.type].wanted), 1)
            arch.event_wake(cython.address(members[member].call))


def everyone_gather(job):
    """May block. The rounds' results; how many pages they got out."""
    got: uint64_t = 0
    for member in range(MEMBERS):
        if member != own.member and family_live(member):
            got += gather_one(job, member)
    return got


def gather_one(job, member):
    """May block, until it has answered or is no member any more."""
    ask = cython.address(asks[member * AREAS + job.type])
    began = arch.now_ns()
    named: cython.bint = False
    got: uint64_t = 0
    while family_live(member):
        seen = arch.event_read(cython.address(family.answer))
        if arch.load_acquire(cython.address(ask.done)) == arch.load(cython.address(ask.wanted)):
            moved = arch.load(cython.address(ask.moved))
            loaded = arch.load(cython.address(ask.loaded))
            error = cython.cast(cython.int, arch.load(cython.address(ask.failed)))
            arch.add(cython.address(job.moved), moved)
            arch.add(cython.address(job.loaded), loaded)
            arch.store(cython.address(ask.moved), 0)
            arch.store(cython.address(ask.loaded), 0)
            if error and error != EINTR:
                fail(job, error, arch.load(cython.address(ask.failed_slot)))
            got = moved + loaded
            break
        if arch.load(cython.address(job.cancel)):
            arch.store(cython.address(everyones_rounds[member * AREAS + job.type].cancel), 1)
            break
        if arch.now_ns() - began > PATIENCE_NS:
            arch.store(cython.address(job.waiting), arch.load(cython.address(members[member].process)))
            named = True
        arch.event_wait(cython.address(family.answer), seen, 100000)
    if named:
        arch.store(cython.address(job.waiting), 0)
    return got


def everyone_forked():
    """In a child of fork: what the member before it in its row was asked for is nothing to it."""
    for type in range(AREAS):
        ask = cython.address(asks[own.member * AREAS + type])
        arch.store(cython.address(ask.done), arch.load(cython.address(ask.wanted)))


def everyone_serve():
    """May block. In a member's service thread: makes the rounds that were asked for; was there any?"""
    served: cython.bint = False
    for type in range(AREAS):
        ask = cython.address(asks[own.member * AREAS + type])
        if arch.load_acquire(cython.address(ask.wanted)) != arch.load(cython.address(ask.done)):
            serve_ask(type)
            served = True
    return served


def serve_ask(type):
    ask = cython.address(asks[own.member * AREAS + type])
    wanted = arch.load_acquire(cython.address(ask.wanted))
    job = cython.address(rounds[type])
    job.type = type
    swapoff_round(job)
    arch.store(cython.address(ask.moved), arch.load(cython.address(job.moved)))
    arch.store(cython.address(ask.loaded), arch.load(cython.address(job.loaded)))
    arch.store(cython.address(ask.failed_slot), arch.load(cython.address(job.failed_slot)))
    arch.store(cython.address(ask.failed), arch.load(cython.address(job.failed)))
    arch.store_release(cython.address(ask.done), wanted)
    arch.event_wake(cython.address(family.answer))
