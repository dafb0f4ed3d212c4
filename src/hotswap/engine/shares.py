"""One limit for all address spaces of a family: each has a *share* of it, which is its own limit and as hard as any.

The shares together never exceed the limit. A share grows only by what is free, under ``shares.lock``, and shrinks only when what it was has
left memory (``give``): first the budget falls, then folios leave, then the pages are free for others. What a space asked for
(``Mm.wish``) is what its share may grow to.

Each member's service thread takes a turn ten times a second (``shares_turn``): it notes how many of its spaces' folios came back too soon (refaults,
and a part of the faults that read), gives a part of what is above what a space ought to have by that, and takes what is free for those below. Who
needs nothing keeps what it has, until somebody does. Before a fork all give what is above an equal part (``ask_crowd``), and a child gets
as much as its parent then has (``shares_fork``); the row of a space that goes, in whatever way, has no share.

Lock order: ``own_shares.changing``, then calm (a space's folios leave), then ``shares.lock``, a leaf.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.family import MEMBERS, family_call, family_live, family_size, own
from cython.cimports.hotswap.engine.guard.contract import guard_unuse_mm, guard_use_mm
from cython.cimports.hotswap.engine.mm import FAULTS_MAJOR, MMS, REFAULTS, mm_at, mm_mine
from cython.cimports.hotswap.engine.mmap import mm_least, rows
from cython.cimports.hotswap.engine.reclaim import shrink
from cython.cimports.hotswap.engine.store.ram import rams_wake
from cython.cimports.libc.errno import EBUSY
from cython.cimports.libc.stdint import int64_t, uint64_t

shares = cython.address(cython.cast(cython.pointer(Shares), arch.table(1, cython.sizeof(Shares)))[0])
if arch.founder():
    arch.mutex_init(cython.address(shares.lock))
arch.mutex_init(cython.address(own_shares.changing))


def shares_begin():
    """In a child of fork."""
    arch.mutex_init(cython.address(own_shares.changing))


# What there is. Caller: shares.lock.


def shares_given():
    """Pages that have been given out, or put aside for who is just coming."""
    given: uint64_t = 0
    for index in range(MMS):
        if arch.load_acquire(cython.address(rows[index])) and mm_at(index).settled:
            given += arch.load(cython.address(mm_at(index).share))
    for member in range(MEMBERS):
        given += shares.pending[member]
    return given


def shares_free():
    given = shares_given()
    limit = arch.load(cython.address(shares.limit))
    return limit - given if limit > given else 0


# A space comes, and asks for more or less


def share_begin(wanted, least):
    """May block. What a new space of this process may have as its limit, at most ``wanted``; 0: not even ``least``. Put aside for it until
    share_settle()."""
    if not arch.load(cython.address(shares.limit)):
        return wanted
    make_room(wanted if wanted < arch.load(cython.address(shares.limit)) >> 1 else arch.load(cython.address(shares.limit)) >> 1)
    arch.mutex_lock(cython.address(shares.lock))
    granted = shares_free()
    granted = wanted if wanted < granted else granted
    granted = granted if granted >= least else 0
    shares.pending[own.member] += granted
    arch.mutex_unlock(cython.address(shares.lock))
    return granted


def share_settle(index, granted, wanted):
    """It is made, or (a negative index) it is not."""
    arch.mutex_lock(cython.address(shares.lock))
    shares.pending[own.member] -= granted if shares.pending[own.member] >= granted else shares.pending[own.member]
    if index >= 0:
        arch.store(cython.address(mm_at(index).share), granted)
        arch.store(cython.address(mm_at(index).wish), wanted)
        mm_at(index).settled = True
    arch.mutex_unlock(cython.address(shares.lock))


def share_more(mm, wanted):
    """A space asks for another limit: what it may have of it now. Caller: ``changing``."""
    arch.store(cython.address(mm.wish), wanted)
    share = arch.load(cython.address(mm.share))
    if not arch.load(cython.address(shares.limit)) or wanted <= share:
        return wanted
    arch.mutex_lock(cython.address(shares.lock))
    free = shares_free()
    share += free if free < wanted - share else wanted - share
    arch.store(cython.address(mm.share), share)
    arch.mutex_unlock(cython.address(shares.lock))
    return share


def share_less(mm):
    """Its new limit holds. Caller: ``changing``."""
    arch.store(cython.address(mm.share), arch.load(cython.address(mm.budget)) + mm.staging_pages)


def make_room(pages):
    """May block. Own spaces give until so much is free, the largest first; does it suffice?"""
    while True:
        arch.mutex_lock(cython.address(shares.lock))
        free = shares_free()
        arch.mutex_unlock(cython.address(shares.lock))
        if free >= pages:
            return True
        largest: cython.int = -1
        most: uint64_t = 0
        for index in range(MMS):
            if arch.load_acquire(cython.address(rows[index])) and mm_mine(index):
                share = arch.load(cython.address(mm_at(index).share))
                if share > most and share > mm_least(index):
                    most = share
                    largest = index
        # No further than to half of it: who comes later does not starve who was there.
        if largest < 0 or not give(mm_at(largest), pages - free if pages - free < most >> 1 else most >> 1) or most <= pages:
            return False


def give(mm, pages):
    """May block. So many pages of a space's share become free, or as many as leave it what faults need; how many, 0 when nothing
    would leave for a while."""
    arch.mutex_lock(cython.address(own_shares.changing))
    share = arch.load(cython.address(mm.share))
    least = mm_least(mm.index)
    if share <= least:
        arch.mutex_unlock(cython.address(own_shares.changing))
        return 0
    pages = pages if pages < share - least else share - least
    arch.store(cython.address(mm.budget), share - pages - mm.staging_pages)
    rams_wake()
    last = arch.now_ns()
    while arch.load(cython.address(mm.resident)) > arch.load(cython.address(mm.budget)):
        used: cython.bint = guard_use_mm(mm.index)
        over = arch.load(cython.address(mm.resident)) - arch.load(cython.address(mm.budget))
        freed = shrink(mm, over, True) if cython.cast(int64_t, over) > 0 else 1
        guard_unuse_mm(mm.index, used)
        if freed:
            last = arch.now_ns()
        elif arch.now_ns() - last > GIVE_NS:
            break
        else:
            arch.nap_us(1000)
    if arch.load(cython.address(mm.resident)) > arch.load(cython.address(mm.budget)):
        arch.store(cython.address(mm.budget), share - mm.staging_pages)
        pages = 0
    share_less(mm)
    arch.mutex_unlock(cython.address(own_shares.changing))
    arch.event_wake(cython.address(mm.relief))
    return pages


def shares_set(limit):
    """May block. A limit for all, 0: none. -EBUSY: what there is has more, and this process's own spaces could not give enough."""
    result: cython.int = 0
    arch.mutex_lock(cython.address(shares.lock))
    for index in range(MMS):
        if arch.load_acquire(cython.address(rows[index])):
            mm = mm_at(index)
            if not arch.load(cython.address(shares.limit)):
                arch.store(cython.address(mm.share), arch.load(cython.address(mm.budget)) + mm.staging_pages)
            if arch.load(cython.address(mm.wish)) < arch.load(cython.address(mm.share)):
                arch.store(cython.address(mm.wish), arch.load(cython.address(mm.share)))
    before = arch.load(cython.address(shares.limit))
    arch.store(cython.address(shares.limit), limit)
    over: cython.bint = shares_given() > limit
    arch.mutex_unlock(cython.address(shares.lock))
    turns: cython.int = 0
    while limit and over and turns < MMS:
        turns += 1
        make_room(limit >> 6)
        arch.mutex_lock(cython.address(shares.lock))
        over = shares_given() > limit
        arch.mutex_unlock(cython.address(shares.lock))
    if limit and over:
        arch.store(cython.address(shares.limit), before)
        result = -EBUSY
    return result


# A child comes


def has_too_much(member, fair):
    """Has a member more than its part, and could give some?"""
    share: uint64_t = 0
    spare: uint64_t = 0
    for index in range(MMS):
        mm = mm_at(index)
        if arch.load_acquire(cython.address(rows[index])) and mm.member == member:
            mine = arch.load(cython.address(mm.share))
            share += mine
            spare += mine - mm_least(index) if mine > mm_least(index) else 0
    return share > fair and spare > 0


def give_to_crowd():
    """May block. A member is coming: each of the others gives what it has above its part. All spaces alike."""
    crowd = arch.load(cython.address(shares.crowd))
    if crowd == 0:
        return
    fair = arch.load(cython.address(shares.limit)) // crowd
    share: uint64_t = 0
    for index in range(MMS):
        if arch.load_acquire(cython.address(rows[index])) and mm_mine(index):
            share += arch.load(cython.address(mm_at(index).share))
    for index in range(MMS):
        if share > fair and arch.load_acquire(cython.address(rows[index])) and mm_mine(index):
            mine = arch.load(cython.address(mm_at(index).share))
            give(mm_at(index), (mine * (share - fair) + share - 1) // share)


def ask_crowd():
    """May block, CROWD_NS at most: who is stopped gives nothing, and the parent gives the more (shares_fork)."""
    crowd = family_size()
    fair = arch.load(cython.address(shares.limit)) // crowd
    arch.store(cython.address(shares.crowd), crowd)
    family_call()
    give_to_crowd()
    began = arch.now_ns()
    member: cython.int = 0
    while member < MEMBERS and arch.now_ns() - began < CROWD_NS:
        if member != own.member and family_live(member) and has_too_much(member, fair):
            arch.nap_us(1000)
        else:
            member += 1
    arch.store(cython.address(shares.crowd), 0)


def shares_fork(member):
    """May block. Before a fork: each own space gives, or finds free, what its copy will have. False: too little for another process."""
    if not arch.load(cython.address(shares.limit)):
        return True
    ask_crowd()
    for index in range(MMS):
        mm = mm_at(index)
        own_shares.target[index] = 0
        if not arch.load_acquire(cython.address(rows[index])) or not mm_mine(index) or mm.shared:
            continue
        share = arch.load(cython.address(mm.share))
        arch.mutex_lock(cython.address(shares.lock))
        free = shares_free()
        arch.mutex_unlock(cython.address(shares.lock))
        if free < share:
            give(mm, (share - free + 1) >> 1)
        arch.mutex_lock(cython.address(shares.lock))
        free = shares_free()
        # What is in memory counts for the child as well; the parent's share holds that.
        share = arch.load(cython.address(mm.share))
        enough: cython.bint = free >= share
        if enough:
            own_shares.target[index] = share
            shares.pending[member] += share
        arch.mutex_unlock(cython.address(shares.lock))
        if not enough:
            return False
    return True


def shares_forget(member):
    """The spaces of a child have their shares, or there is no child."""
    arch.mutex_lock(cython.address(shares.lock))
    shares.pending[member] = 0
    for index in range(MMS):
        if arch.load_acquire(cython.address(rows[index])) and mm_at(index).member == member:
            mm_at(index).settled = True
    arch.mutex_unlock(cython.address(shares.lock))


# Turns


def shares_turn():
    """May block. In a service thread: own spaces give and take."""
    if not arch.load(cython.address(shares.limit)):
        return
    give_to_crowd()
    for index in range(MMS):
        if arch.load_acquire(cython.address(rows[index])) and mm_mine(index):
            need_noted(mm_at(index))
    for index in range(MMS):
        mm = mm_at(index)
        if not arch.load_acquire(cython.address(rows[index])) or not mm_mine(index):
            continue
        share = arch.load(cython.address(mm.share))
        target = target_of(mm)
        slack = arch.load(cython.address(shares.limit)) // STILL_SHARE // 2
        if share > target + slack:
            give(mm, (share - target) // STEP_SHARE)
        elif share < target:
            arch.mutex_lock(cython.address(own_shares.changing))
            arch.mutex_lock(cython.address(shares.lock))
            free = shares_free()
            more: uint64_t = free if free < target - share else target - share
            arch.store(cython.address(mm.share), share + more)
            arch.store(cython.address(mm.budget), share + more - mm.staging_pages)
            arch.mutex_unlock(cython.address(shares.lock))
            arch.mutex_unlock(cython.address(own_shares.changing))
            if more:
                arch.event_wake(cython.address(mm.relief))


def need_noted(mm):
    """What came back too soon since the last turn, and what was read at all, which counts less; slowly forgotten."""
    faults = arch.load(cython.address(mm.counter[REFAULTS])) * 4 + arch.load(cython.address(mm.counter[FAULTS_MAJOR]))
    fresh: uint64_t = faults - own_shares.faults[mm.index] if faults >= own_shares.faults[mm.index] else 0
    own_shares.faults[mm.index] = faults
    fresh = fresh if fresh < NEED_MOST else cython.cast(uint64_t, NEED_MOST)
    arch.store(cython.address(mm.need), (arch.load(cython.address(mm.need)) * 3 + fresh * 16) >> 2)


def target_of(mm):
    """What a space ought to have: what faults need and a little more, and of the rest a part by need. Nobody needs anything: what it has."""
    limit = arch.load(cython.address(shares.limit))
    needs: uint64_t = 0
    floors: uint64_t = 0
    spaces: uint64_t = 0
    wanting: cython.bint = False
    for index in range(MMS):
        other = mm_at(index)
        if arch.load_acquire(cython.address(rows[index])):
            needs += arch.load(cython.address(other.need)) + 1
            floors += mm_least(index)
            spaces += 1
            short: cython.bint = arch.load(cython.address(other.share)) < arch.load(cython.address(other.wish))
            wanting = wanting or (short and arch.load(cython.address(other.need)) > 8)
    share = arch.load(cython.address(mm.share))
    wish = arch.load(cython.address(mm.wish))
    if not wanting or floors >= limit:
        return share if share < wish else wish
    spare: uint64_t = (limit - floors) // FLOOR_SHARE
    part = (limit - floors - spare) * (arch.load(cython.address(mm.need)) + 1) // needs
    target: uint64_t = mm_least(mm.index) + spare // spaces + part
    return target if target < wish else wish
