"""The way of a fork, top to bottom: a child that goes on with all its parent had, and shares its slots.

``fork_before`` runs in the parent: it brings the process to rest and gives the child a row for each address space, with a copy of its
page table (family_copy.py). What is out is shared by count. What is in memory the kernel shares, until either writes; it is charged
to both. ``fork_child`` runs in the child before anything that could touch swappable memory: the descriptors it inherited act on the
parent's memory and are closed; arenas are registered anew, what is clean is protected again, shared objects are attached where they were, frames, threads and descriptors are
its own. Then it tells the parent on a pipe, which waits for that (``fork_after``), since only the parent can clean up after a child that never
came. A child that cannot be set up is told so when it touches swappable memory (child.py).

A process has a thread of its own that serves the family (``serve_main``). It holds the member's mutex ``alive`` from its first moment on. Before,
the child's only thread does (``is_born``), so that one that dies while it comes is found by anybody (``bury_unborn``).

Lock order: ``forking.lock``, calm, the mmap locks of all own spaces by row, then what copying takes. All of it is held over the fork. In a child
``alive``, then ``family.lock``, under which ``alive`` changes hands; who looks after others only tries both.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.attach import shm_adopt, shm_disinherit, shm_inherit, shm_join
from cython.cimports.hotswap.engine.cache import EVERY_AREA, cache_serve, cache_sweep
from cython.cimports.hotswap.engine.calm import calm_begin, calm_enter, calm_go, calm_leave, calm_stop
from cython.cimports.hotswap.engine.child import child_alone, child_is, child_note
from cython.cimports.hotswap.engine.commit import commit_drop
from cython.cimports.hotswap.engine.death import MOURN_BUSY, WATCH_US, death_watch, rest_serve
from cython.cimports.hotswap.engine.everyone import everyone_forked, everyone_serve
from cython.cimports.hotswap.engine.family import (
    MEMBER_COMING,
    MEMBER_LIVE,
    MEMBERS,
    NO_MEMBER,
    NOT_BEGUN,
    family,
    family_enter,
    family_give,
    family_size,
    family_take,
    members,
    own,
)
from cython.cimports.hotswap.engine.family_copy import copy_space, drop_space
from cython.cimports.hotswap.engine.frames import frames_setup
from cython.cimports.hotswap.engine.guard.mmlist import visit_forked, visit_serve
from cython.cimports.hotswap.engine.handle import handles_forked
from cython.cimports.hotswap.engine.heap import heap, heap_forked
from cython.cimports.hotswap.engine.mm import (
    HANDLERS,
    MM_NIL,
    MMS,
    PTE_CLEAN,
    PTE_KIND,
    address_of,
    mm_at,
    mm_mine,
    pte_order,
)
from cython.cimports.hotswap.engine.mmap import rows, staging_begin, start_threads, stop_threads, waiters_forked
from cython.cimports.hotswap.engine.shares import shares, shares_begin, shares_forget, shares_fork, shares_turn
from cython.cimports.hotswap.engine.shm import here
from cython.cimports.hotswap.engine.sigbus import sigbus_add, sigbus_forked
from cython.cimports.hotswap.engine.steer import steer_forked
from cython.cimports.hotswap.engine.store.file import files_forked, files_tidy
from cython.cimports.hotswap.engine.store.packing import packing_forked
from cython.cimports.hotswap.engine.swapoff import swapoff_forked
from cython.cimports.libc.errno import EAGAIN, EMFILE, ENOMEM, ENOSYS
from cython.cimports.libc.stdint import uint64_t

arch.mutex_init(cython.address(forking.lock))


def process_watch():
    """From now on forks are looked after. Called once, when the engine is loaded; 0, or a negative errno."""
    return arch.child_setup(fork_before, fork_after, fork_child)


# The service thread


def serve_start():
    """May block. There is a service thread, and it has the member's mutex."""
    first: cython.bint = arch.cas(cython.address(forking.serving), 0, 1)
    if first and not arch.thread_start(serve_main, 0, b"hotswap-family"):
        arch.store(cython.address(forking.serving), 0)
        return False
    while arch.load_acquire(cython.address(forking.serving)) != 2:
        arch.nap_us(20)
    return True


def serve_wake():
    arch.event_wake(cython.address(members[own.member].call))


def serve_main(argument):
    """As long as the process lives."""
    me = cython.address(members[own.member])
    arch.mutex_lock(cython.address(me.alive))
    arch.store_release(cython.address(forking.serving), 2)
    while True:
        seen = arch.event_read(cython.address(me.call))
        rest_serve()
        calm_enter()
        files_tidy()
        calm_leave()
        visit_serve()
        cache_serve()
        everyone_serve()
        shm_adopt()
        shares_turn()
        left = death_watch()
        bury_unborn()
        pause: cython.longlong = WATCH_US if family_size() > 1 or arch.load(cython.address(shares.limit)) else -1
        if left:
            pause = WATCH_US // 10 if left == MOURN_BUSY else 10 * WATCH_US
        arch.event_wait(cython.address(me.call), seen, pause)


# Rest


def rest():
    """May block. Nothing of the engine moves in this process until resume()."""
    calm_stop()
    for index in range(MMS):
        if arch.load_acquire(cython.address(rows[index])) and mm_mine(index) and not mm_at(index).shared:
            arch.write_lock(cython.address(mm_at(index).mmap_lock))


def resume():
    for index in range(MMS):
        if arch.load_acquire(cython.address(rows[index])) and mm_mine(index) and not mm_at(index).shared:
            arch.write_unlock(cython.address(mm_at(index).mmap_lock))
    calm_go()


# Around a fork


def fork_before():
    """May block. In the parent. One without an engine has nothing to give: what it has of the family is what its parent was."""
    if child_is():
        return
    arch.mutex_lock(cython.address(forking.lock))
    forking.member = NO_MEMBER
    forking.ends[0] = NO_DESCRIPTOR
    forking.ends[1] = NO_DESCRIPTOR
    if serve_start() and not arch.pipe_open(forking.ends):
        forking.member = family_take()
        if forking.member != NO_MEMBER:
            forking.coming = arch.load(cython.address(members[forking.member].process))
        if forking.member != NO_MEMBER and not shares_fork(forking.member):
            arch.log(
                b"hotswap: process %llu: the family's limit leaves too little for a child: it has no engine", arch.process(), 0, 0
            )
            bury(forking.member)
            forking.member = NO_MEMBER
    rest()
    for index in range(MMS):
        mm = mm_at(index)
        here: cython.bint = arch.load_acquire(cython.address(rows[index])) != 0 and mm_mine(index) and not mm.shared
        forking.rows[index] = MM_NIL
        forking.fds[index] = mm.fd if here else NO_DESCRIPTOR
        forking.stoppers[index] = mm.stopper if here else NO_DESCRIPTOR
        child_note(index, mm.arena if here else 0, mm.arena_pages << 12)
    if forking.member != NO_MEMBER and copy_spaces(forking.member):
        bury(forking.member)
        forking.member = NO_MEMBER
    if forking.member != NO_MEMBER:
        shares_forget(forking.member)
    arch.mutex_lock(cython.address(heap.lock))


def fork_after():
    """May block: until the child is ready, or there is none. In the parent, also when the fork failed."""
    if child_is():
        return
    arch.mutex_unlock(cython.address(heap.lock))
    for index in range(MMS):
        if forking.rows[index] != MM_NIL:
            arch.inherit(mm_at(index).arena, mm_at(index).arena_pages << 12, False)
    resume()
    if forking.ends[1] != NO_DESCRIPTOR:
        arch.close_fd(forking.ends[1])
        told = arch.pipe_hear(forking.ends[0])
        arch.close_fd(forking.ends[0])
        if told != CHILD_READY and forking.member != NO_MEMBER:
            bury(forking.member)
    arch.event_wake(cython.address(members[own.member].call))  # there is somebody to watch over
    arch.mutex_unlock(cython.address(forking.lock))


def fork_child():
    """In the child, whose only thread this is."""
    if child_is():
        return
    arch.mutex_init(cython.address(forking.lock))
    arch.store(cython.address(forking.serving), 0)
    calm_begin()
    calm_stop()  # its threads begin nothing before it is a member that others know of
    heap_forked(forking.rows)
    steer_forked()
    sigbus_forked()
    packing_forked()
    shares_begin()
    for index in range(MMS):
        if forking.fds[index] != NO_DESCRIPTOR:
            arch.close_fd(forking.fds[index])
        if forking.stoppers[index] != NO_DESCRIPTOR:
            arch.close_fd(forking.stoppers[index])
    waiters_forked()
    ready: cython.bint = forking.member != NO_MEMBER
    if ready and is_born():
        own.member = forking.member
        handles_forked(forking.rows)
        ready = fork_join() == 0
    else:
        ready = False
    calm_go()
    if not ready:
        child_alone()
    if forking.ends[1] != NO_DESCRIPTOR:
        arch.pipe_tell(forking.ends[1], CHILD_READY if ready else CHILD_ALONE)
        arch.close_fd(forking.ends[0])
        arch.close_fd(forking.ends[1])


def is_born():
    """In the child. From here on it is somebody, and has the mutex that says so; before, it goes with its parent (remove_member())."""
    me = cython.address(members[forking.member])
    while arch.load(cython.address(me.process)) == forking.coming:
        if not arch.mutex_try(cython.address(me.alive)):
            arch.nap_us(100)  # somebody who looks
        elif arch.cas(cython.address(me.process), forking.coming, arch.process()):
            return True
        else:
            arch.mutex_unlock(cython.address(me.alive))
    return False


def copy_spaces(member):
    """A row and a page table for each own space; the arena will be inherited. Shared objects are the child's as they are the parent's.
    0, or why the child can have none."""
    shm_inherit(member)
    for index in range(MMS):
        mm = mm_at(index)
        if not arch.load_acquire(cython.address(rows[index])) or not mm_mine(index) or mm.shared:
            continue
        copy = copy_space(mm, member)
        if copy < 0:
            return copy
        forking.rows[index] = copy
        arch.inherit(mm.arena, mm.arena_pages << 12, True)
    return 0


def fork_join():
    """In the child, which has its own mutex. 0, or a negative errno: then it is on its own."""
    arch.barrier_setup()
    me = cython.address(members[own.member])
    arch.store(cython.address(me.process), arch.process())
    arch.store(cython.address(me.rested), arch.load(cython.address(family.rest)))
    files_forked()
    swapoff_forked()
    everyone_forked()
    visit_forked()
    failed: cython.int = shm_join()
    family_enter()  # threads that run are counted as a member's
    for index in range(MMS):
        if not failed and forking.rows[index] != MM_NIL:
            failed = join_space(mm_at(forking.rows[index]))
    arch.mutex_unlock(cython.address(me.alive))  # who finds it free now has to wait for the family's lock: bury_unborn()
    if not failed and not serve_start():
        failed = -EAGAIN
    if failed:
        for index in range(MMS):
            if forking.rows[index] != MM_NIL:
                stop_threads(mm_at(forking.rows[index]))
    else:
        arch.store_release(cython.address(me.state), MEMBER_LIVE)
    arch.mutex_unlock(cython.address(family.lock))
    return failed


def join_space(mm):
    """In the child: what of an address space is a process's own. What stays half done goes with the child's arena (child.py)."""
    mm.fd = arch.mmu_open()
    if mm.fd < 0:
        return -EMFILE
    wanted = mm.features
    refuse = ~wanted & (arch.MMU_MOVE | arch.MMU_POISON | arch.MMU_SHARED_WP)
    if arch.mmu_handshake(mm.fd, refuse, wanted & arch.MMU_SIGBUS) != wanted:
        return -ENOSYS
    mm.stopper = arch.stopper()
    mm.staging = arch.reserve(mm.staging_pages << 12)
    if mm.stopper < 0 or not mm.staging:
        return -ENOMEM
    frames_setup(mm)
    for number in range(mm.vma_count):
        attached: cython.bint = (
            mm.vmas[number].shm != MM_NIL
        )  # no mapping of the object's yet: what is registered here is the range
        if attached and arch.blank(address_of(mm, mm.vmas[number].start), mm.vmas[number].pages << 12):
            return -ENOMEM
    failed = arch.mmu_register(mm.fd, mm.arena, mm.arena_pages << 12, True)
    if not failed:
        failed = staging_begin(mm)
    if failed:
        return failed
    arch.inherit(mm.arena, mm.arena_pages << 12, False)
    failed = join_views(mm)
    if failed:
        return failed
    protect_clean(mm)
    if wanted & arch.MMU_SIGBUS:
        failed = sigbus_add(mm)
    return failed if failed else start_threads(mm, 0 if wanted & arch.MMU_SIGBUS else HANDLERS)


def join_views(mm):
    """The objects that the parent has attached, at the same places; nothing of them is mapped yet."""
    for number in range(mm.vma_count):
        vma = cython.address(mm.vmas[number])
        if vma.shm != MM_NIL:
            protects: cython.bint = (mm.features & arch.MMU_SHARED_WP) != 0
            failed = arch.shm_attach(mm.fd, here[vma.shm].fd, address_of(mm, vma.start), vma.pages << 12, protects)
            if failed:
                return failed
    return 0


def protect_clean(mm):
    """Clean folios are write-protected, which the kernel does not copy; those in a row in one go."""
    for number in range(mm.vma_count):
        page: uint64_t = mm.vmas[number].start
        end: uint64_t = page + mm.vmas[number].pages
        first: uint64_t = page
        after: uint64_t = page  # of the clean ones in a row
        while page < end:
            state = arch.load(cython.address(mm.ptes[page].state))
            if state & PTE_KIND == PTE_CLEAN:
                if after != page:
                    if after > first:
                        arch.mmu_protect(mm.fd, address_of(mm, first), (after - first) << 12, True)
                    first = page
                page += cython.cast(uint64_t, 1) << pte_order(state)
                after = page
            else:
                page += 1
        if after > first:
            arch.mmu_protect(mm.fd, address_of(mm, first), (after - first) << 12, True)


def bury(member):
    """May block. Nothing is left of a member that never ran, or runs without: its spaces' references, rows and tables. One that has come, and
    died since, is for whoever cleans up."""
    family_enter()  # not while somebody counts references
    row = cython.address(members[member])
    if arch.load(cython.address(row.state)) == MEMBER_COMING and arch.load(cython.address(row.parent)) == own.member + 1:
        bury_coming(member)
    arch.mutex_unlock(cython.address(family.lock))


def bury_unborn():
    """May block. In a service thread: of a child that came and died, or failed, before it was a member, when its parent may have died too.
    While it comes it has its mutex, or the family's lock."""
    for member in range(MEMBERS):
        alive = cython.address(members[member].alive)
        if has_come(member) and arch.mutex_try(alive):
            if arch.mutex_try(cython.address(family.lock)):
                if has_come(member) and not arch.load(cython.address(family.half)):
                    bury_coming(member)
                arch.mutex_unlock(cython.address(family.lock))
            arch.mutex_unlock(alive)


def has_come(member):
    """Is there, or was there, a process, and it is not a member yet?"""
    row = cython.address(members[member])
    coming: cython.bint = arch.load_acquire(cython.address(row.state)) == MEMBER_COMING
    process = arch.load(cython.address(row.process))
    return coming and process and not process & NOT_BEGUN


def bury_coming(member):
    for index in range(MMS):
        mm = mm_at(index)
        if arch.load_acquire(cython.address(rows[index])) and mm.member == member:
            if mm.frames:  # there was memory for them
                cache_sweep(mm, EVERY_AREA)
            commit_drop(index)
            drop_space(mm)
    shm_disinherit(member)
    shares_forget(member)
    family_give(member)
