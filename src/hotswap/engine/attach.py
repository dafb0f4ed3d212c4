"""Shared objects come, are opened by other processes, are attached to address spaces, and go; what they are stands in shm.py.

An object is made with the memory and the table for all its pages, attached by ``mm_attach`` and detached by ``mm_unmap`` (mmap.py)
like any range. Each process of the family that uses it has it open (a bit of ``Shm.open``): who made it, a child of who had it open, and
who opened it by its name. It goes with the last of them. One of them owns it (``Mm.member``): its threads read ahead and
reclaim in the background, and a swapoff has it emptied there. When that one leaves, or dies, another one takes over (``shm_adopt``).

Errors are negative errnos. Lock order: ``names.lock``, then an object's ``lock``.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.cache import EVERY_AREA, cache_sweep
from cython.cimports.hotswap.engine.calm import calm_enter, calm_leave
from cython.cimports.hotswap.engine.commit import commit_drop
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import family_call, own
from cython.cimports.hotswap.engine.mm import MMS, Pte, find_vma, mm_at, mmlist_remove, vma_insert, vma_remove
from cython.cimports.hotswap.engine.mmap import (
    mm_begin,
    mm_new,
    row_give,
    set_up_tables,
    start_threads,
    stop_threads,
    tear_down,
    unmap_folios,
)
from cython.cimports.hotswap.engine.shm import (
    SHM_INFO,
    SHM_NAME,
    TAKING_NOTHING,
    here,
    here_close,
    here_late,
    here_make,
    here_tell,
    shm_attach,
    shm_view_count,
    shms,
)
from cython.cimports.hotswap.engine.store.ram import ram_disown
from cython.cimports.libc.errno import EBUSY, EEXIST, EINVAL, EMFILE, ENOENT, ENOMEM, ENOSYS
from cython.cimports.libc.stdint import uint64_t

names = cython.address(cython.cast(cython.pointer(Names), arch.table(1, cython.sizeof(Names)))[0])
if arch.founder():
    arch.mutex_init(cython.address(names.lock))


def shm_create(pages, limit, order, features):
    """A new shared object of ``pages`` pages, whole folios; ``limit`` is what of it may be in memory, ``features`` those of the address
    spaces that will attach it. Its index. -EMFILE: 64 exist with the address spaces; -ENOSYS: the kernel cannot say who misses a page
    of shared memory; -ENOMEM: no memory or no threads; else what the kernel said of the memory asked for.
    """
    if not features & arch.MMU_SHARED:
        return -ENOSYS
    mm = mm_new(limit, order)
    return mm_begin(mm, shm_set_up(mm, pages, features)) if mm else -EMFILE


def shm_set_up(mm, pages, features):
    """Its memory, one range that is all of it, and threads for readahead and reclaim; faults are served by those of its views."""
    object = cython.address(shms[mm.index])
    mm.shared = True
    mm.features = features
    mm.arena_pages = pages
    object.view_count = 0
    object.name_length = 0
    object.hurt = False
    here[mm.index].users = 0
    here[mm.index].leaving = False
    arch.store(cython.address(object.taking), TAKING_NOTHING)
    arch.store(cython.address(object.open), 0)
    arch.mutex_mend(cython.address(mm.lru_lock), shm_cut_lru, mm.index)
    arch.mutex_mend(cython.address(mm.frame_lock), shm_cut_frames, mm.index)
    failed = here_make(mm)
    if failed:
        return failed
    mm.ptes = cython.cast(cython.pointer(Pte), arch.table(pages, cython.sizeof(Pte)))
    failed = set_up_tables(mm)
    if failed:
        return failed
    vma_insert(mm, pages, mm.order)
    failed = start_threads(mm, 0)
    if not failed:  # now that it has its threads: the service thread would start others
        arch.mutex_lock(cython.address(object.lock))
        arch.store(cython.address(object.open), cython.cast(uint64_t, 1) << own.member)
        arch.mutex_unlock(cython.address(object.lock))
    return failed


def shm_cut_lru(index):
    """Under the lock of its lists, whose holder died: they may be half linked, and nobody uses them until they are made anew."""
    mm_at(index).lru_cut = True


def shm_cut_frames(index):
    mm_at(index).frames_cut = True


def mm_attach(index, shm_index):
    """Attaches all of a shared object: the first page of the range. -ENOMEM: the arena has no room; or as shm_attach() says."""
    mm = mm_at(index)
    shm = mm_at(shm_index)
    arch.write_lock(cython.address(mm.mmap_lock))
    start = vma_insert(mm, shm.arena_pages, shm.order)
    if start >= 0:
        number = find_vma(mm, start)
        failed = shm_attach(shm, mm, start)
        if failed:
            vma_remove(mm, number)
            start = failed
        else:
            mm.vmas[number].shm = shm_index
    else:
        start = -ENOMEM
    arch.write_unlock(cython.address(mm.mmap_lock))
    return start


# Processes come to it and leave it


def shm_destroy(index):
    """May block. This process has no use for it any more; it goes, with its memory and its slots, when no other one has. -EBUSY while it is
    attached here."""
    mm = mm_at(index)
    if shm_view_count(mm):
        return -EBUSY
    if shm_leave(mm):
        calm_enter()  # not while somebody forks
        here_close(mm)
        calm_leave()
        family_call()  # who owns it now has threads to start
    else:
        shm_end(mm)
    return 0


def shm_leave(mm):
    """May block. Has somebody else it open?"""
    object = cython.address(shms[mm.index])
    arch.mutex_lock(cython.address(object.lock))
    here[mm.index].leaving = True
    arch.mutex_unlock(cython.address(object.lock))
    if mm.member == own.member:  # not under the lock: a thread that ends may wait for a fork, which wants the lock
        stop_threads(mm)
        arch.store(cython.address(mm.stop), 0)
    arch.mutex_lock(cython.address(object.lock))
    others = arch.load(cython.address(object.open)) & ~(cython.cast(uint64_t, 1) << own.member)
    if others == 0:
        mm.member = own.member  # and stays so until it has gone
    elif mm.member == own.member:
        mm.member = lowest_of(others)
    arch.store(cython.address(object.open), others)
    arch.mutex_unlock(cython.address(object.lock))
    return others != 0


def shm_end(mm):
    """May block. Nobody has it open. Its entries go before it leaves the mmlist (R15)."""
    index: cython.int = mm.index
    arch.mutex_lock(cython.address(names.lock))
    shms[index].name_length = 0
    arch.mutex_unlock(cython.address(names.lock))
    arch.store(cython.address(mm.stop), 1)
    calm_enter()  # not while everything is counted
    unmap_folios(mm, 0, mm.arena_pages)
    cache_sweep(mm, EVERY_AREA)
    commit_drop(index)
    calm_leave()
    mmlist_remove(mm)
    calm_enter()
    if arch.load(cython.address(mm.packed)):
        for type in range(AREAS):
            ram_disown(type, index)
    tear_down(mm)
    row_give(mm)
    calm_leave()


def shm_adopt():
    """In a service thread: threads for the objects that are this process's to look after, and have none."""
    for index in range(MMS):
        mm = mm_at(index)
        if not here[index].fd or mm.member != own.member or mm.thread_count:
            continue
        object = cython.address(shms[index])
        arch.mutex_lock(cython.address(object.lock))
        mine: cython.bint = (arch.load(cython.address(object.open)) >> own.member) & 1 != 0
        if mine and mm.member == own.member and not mm.thread_count and not here[index].leaving:
            start_threads(mm, 0)  # without, who faults reclaims, and nobody reads ahead
        arch.mutex_unlock(cython.address(object.lock))


def lowest_of(members):
    member: cython.int = 0
    while not (members >> member) & 1:
        member += 1
    return member


def shm_inherit(member):
    """Before a fork, at rest: the child will have open what this process has."""
    for index in range(MMS):
        if here[index].fd:
            object = cython.address(shms[index])
            arch.mutex_lock(cython.address(object.lock))
            mine: cython.bint = (arch.load(cython.address(object.open)) >> own.member) & 1 != 0
            if mine and not here[index].leaving:
                now = arch.load(cython.address(object.open)) | cython.cast(uint64_t, 1) << member
                arch.store(cython.address(object.open), now)
            arch.mutex_unlock(cython.address(object.lock))


def shm_disinherit(member):
    """There is no child, or it has no engine."""
    for index in range(MMS):
        object = cython.address(shms[index])
        arch.mutex_lock(cython.address(object.lock))
        now = arch.load(cython.address(object.open)) & ~(cython.cast(uint64_t, 1) << member)
        arch.store(cython.address(object.open), now)
        arch.mutex_unlock(cython.address(object.lock))


def shm_join():
    """In a child of fork: it has the descriptors, and no mapping yet."""
    for index in range(MMS):
        if here[index].fd:
            here[index].base = arch.shm_map(here[index].fd, mm_at(index).arena_pages << 12)
            if not here[index].base:
                return -ENOMEM
            here_tell(index)
    return 0


# Names: by them members of the family find an object that they did not inherit


def shm_find(name, length):
    """Its index, or -ENOENT. Caller: the lock of names."""
    for index in range(MMS):
        if length and shms[index].name_length == length and arch.load(cython.address(shms[index].open)):
            same: cython.bint = True
            for place in range(length):
                same = same and shms[index].name[place] == name[place]
            if same:
                return index
    return -ENOENT


def shm_name(index, name, length, info, info_length):
    """Names an object of one's own. -EEXIST: another one has that name; -EINVAL: the name or what is said about it is too long."""
    if length > SHM_NAME or info_length > SHM_INFO or length == 0:
        return -EINVAL
    result: cython.int = -EEXIST
    arch.mutex_lock(cython.address(names.lock))
    if shm_find(name, length) < 0:
        object = cython.address(shms[index])
        for place in range(length):
            object.name[place] = name[place]
        for place in range(info_length):
            object.info[place] = info[place]
        object.info_length = info_length
        object.name_length = length
        result = 0
    arch.mutex_unlock(cython.address(names.lock))
    return result


def shm_open_named(name, length):
    """May block. Opens an object of the family: its index. -ENOENT: none has that name; -EBADF: who has it open lets nobody look."""
    arch.mutex_lock(cython.address(names.lock))
    index = shm_find(name, length)
    if index >= 0:
        object = cython.address(shms[index])
        failed = here_late(mm_at(index))
        arch.mutex_lock(cython.address(object.lock))
        now = arch.load(cython.address(object.open))
        if not failed and now:
            here[index].leaving = False
            arch.store(cython.address(object.open), now | cython.cast(uint64_t, 1) << own.member)
        arch.mutex_unlock(cython.address(object.lock))
        if not now and not failed:
            here_close(mm_at(index))
            failed = -ENOENT
        index = failed if failed else index
    arch.mutex_unlock(cython.address(names.lock))
    return index


def shm_unname(name, length):
    """The name is free; the object stays as long as somebody has it open. -ENOENT."""
    arch.mutex_lock(cython.address(names.lock))
    index = shm_find(name, length)
    if index >= 0:
        shms[index].name_length = 0
    arch.mutex_unlock(cython.address(names.lock))
    return 0 if index >= 0 else index


# Of locks of objects that come later, and that other processes may have to mend.
arch.mend_known(shm_cut_lru)
arch.mend_known(shm_cut_frames)
