"""Shared objects: memory that several address spaces map, of one process or of a family, paged as one thing.

An object has what an address space has (``Mm``): a page-table entry for each of its pages, a limit, reclaim lists, staging
frames (in family memory), a place on the mmlist, where a swapoff visits it like everybody else. It has no userfaultfd and no program: its memory is
a file in memory, of which each process that uses it has the descriptor and a mapping for the engine (``Here``; nothing is a fault there), and which
address spaces attach. Where a page is, is said by the object's table only, by page of the object; an attachment (a *view*) has no entries of
its own. So a fault in any view of any process looks the object up, and what one view has brought in is there for all.

The entry of a folio is the object's lock for it. It sleeps, and is held over look-up, page-in and mapping (fault.py), over
eviction and over what swapoff does with the folio; that two page the same entry in cannot happen (seed 001 left that open in
2000 for want of such a lock: R21). Who holds it may be a process that dies: so whoever waits for it gives up while everybody is asked to
rest (folio.py), when shm_death.py puts the object right. For that, each step that cannot be undone is preceded by what says that it
was made: entries before counts (``shm_said``), a frame's note of the folio whose bytes it has before they leave the object (``Frame.holds``).

In, for an object, means: in its memory. A view may have a page mapped only while its folio is in, as the kernel's table of the
view says; where that has none the touch is a fault, and ``shm_view()`` maps it. No process can unmap what another one has mapped, so a folio
leaves like this, under its entry's lock (decision 16): a pipe takes hold of its pages, without a copy; a hole is punched into the object, by which
the kernel unmaps them everywhere; then the pipe has the bytes, with all that was written until then. A clean one is mapped write-protected
wherever it is mapped, and needs no pipe.

What the kernel has no means to tell: whether a device still writes to a page (MOVE would say EBUSY for private memory). So a direct
transfer into a view is only safe while the folios are pinned (pin.py).

Lock order: an mm's mmap lock, an entry of the object, ``take``; the object's ``lock`` (its views and who has it open) is a leaf.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.family import MEMBERS, family_live, own
from cython.cimports.hotswap.engine.mm import MMS, address_of, mm_at
from cython.cimports.hotswap.engine.mover import mover_here
from cython.cimports.libc.errno import EBADF, EMFILE, ENOMEM, ENOSYS
from cython.cimports.libc.stdint import int64_t, uint64_t

shms = cython.cast(cython.pointer(Shm), arch.table(MMS, cython.sizeof(Shm)))
opened_by = cython.cast(cython.pointer(Opened), arch.table(MEMBERS * MMS, cython.sizeof(Opened)))
if arch.founder():
    for _index in range(MMS):
        arch.mutex_init(cython.address(shms[_index].lock))
        arch.mutex_init(cython.address(shms[_index].take))


# Descriptors and the mapping: each process's own


def here_make(shm):
    """A new object's memory. 0, or a negative errno; what there is of it then goes with here_close()."""
    mine = cython.address(here[shm.index])
    mine.fd = arch.shm_open(shm.arena_pages << 12)
    if mine.fd < 0:
        failed: cython.int = mine.fd
        mine.fd = 0
        return failed
    capacity = arch.shm_pipe(mine.ends)
    if capacity < 0:
        mine.ends[0] = 0
        return capacity
    shms[shm.index].capacity = capacity
    mine.base = arch.shm_map(mine.fd, shm.arena_pages << 12)
    if not mine.base:
        return -ENOMEM
    here_tell(shm.index)
    return 0


def here_late(shm):
    """May block. Opens an object that others of the family have open, through one who has. 0, or a negative errno."""
    if here[shm.index].fd:
        return 0
    failed: cython.int = -EBADF
    for member in range(MEMBERS):
        other = cython.address(opened_by[member * MMS + shm.index])
        if failed and family_live(member) and arch.load_acquire(cython.address(other.process)):
            failed = here_from(shm, other)
    return failed


def here_from(shm, other):
    mine = cython.address(here[shm.index])
    process = cython.cast(cython.int, arch.load(cython.address(other.process)))
    mine.fd = arch.disk_reopen(process, cython.cast(cython.int, arch.load(cython.address(other.fd))), False)
    mine.fd = mine.fd if mine.fd > 0 else 0
    for end in range(2):
        got = arch.disk_reopen(process, cython.cast(cython.int, arch.load(cython.address(other.ends[end]))), False)
        mine.ends[end] = got if got > 0 else 0
    if mine.fd and mine.ends[0] and mine.ends[1]:
        mine.base = arch.shm_map(mine.fd, shm.arena_pages << 12)
    if mine.base:
        here_tell(shm.index)
        return 0
    here_close(shm)
    return -EBADF


def here_close(shm):
    mine = cython.address(here[shm.index])
    arch.store(cython.address(opened_by[own.member * MMS + shm.index].process), 0)
    if mine.base:
        arch.release(mine.base, shm.arena_pages << 12)
    for end in range(2):
        if mine.ends[end]:
            arch.close_fd(mine.ends[end])
        mine.ends[end] = 0
    if mine.fd:
        arch.close_fd(mine.fd)
    mine.fd = 0
    mine.base = 0


def here_tell(index):
    """Where others can find what this process has open."""
    told = cython.address(opened_by[own.member * MMS + index])
    arch.store(cython.address(told.fd), here[index].fd)
    for end in range(2):
        arch.store(cython.address(told.ends[end]), here[index].ends[end])
    arch.store_release(cython.address(told.process), arch.process())


# Views


def shm_attach(shm, mm, start):
    """Attaches all of an object at page ``start`` of an arena; nothing of it is mapped yet. -EMFILE: it has 128 views; -ENOSYS: the
    two cannot protect alike; else what the kernel said. Caller: mm's mmap lock for writing, the range is its to give."""
    kept = arch.MMU_SHARED | arch.MMU_SHARED_WP
    if mm.features & kept != shm.features & kept:
        return -ENOSYS
    if view_add(shm, mm.index, start):
        return -EMFILE
    protects: cython.bint = (mm.features & arch.MMU_SHARED_WP) != 0
    failed = arch.shm_attach(mm.fd, here[shm.index].fd, address_of(mm, start), shm.arena_pages << 12, protects)
    if failed:
        view_drop(shm, mm.index, start)
    return failed


def shm_detach(shm, mm, start):
    """Takes a view away. Caller: mm's mmap lock for writing."""
    failed = arch.shm_detach(mm.fd, address_of(mm, start), shm.arena_pages << 12)
    arch.check(not failed, b"a view can be taken away")
    view_drop(shm, mm.index, start)


def view_add(shm, mm, start):
    object = cython.address(shms[shm.index])
    result: cython.int = -EMFILE
    arch.mutex_lock(cython.address(object.lock))
    if object.view_count < VIEWS:
        object.views[object.view_count].mm = mm
        object.views[object.view_count].start = start
        object.view_count += 1
        result = 0
    arch.mutex_unlock(cython.address(object.lock))
    return result


def view_drop(shm, mm, start):
    object = cython.address(shms[shm.index])
    arch.mutex_lock(cython.address(object.lock))
    place: cython.int = 0
    while place < object.view_count and (object.views[place].mm != mm or object.views[place].start != start):
        place += 1
    arch.check(place < object.view_count, b"a view that goes was one of the object's")
    last = cython.address(object.views[object.view_count - 1])
    object.views[place].mm = last.mm
    object.views[place].start = last.start
    object.view_count -= 1
    arch.mutex_unlock(cython.address(object.lock))


def shm_view_count(shm):
    """Of this process."""
    object = cython.address(shms[shm.index])
    count: cython.int = 0
    arch.mutex_lock(cython.address(object.lock))
    for place in range(object.view_count):
        if mm_at(object.views[place].mm).member == own.member:
            count += 1
    arch.mutex_unlock(cython.address(object.lock))
    return count


# A folio of an object: its entry is the caller's, locked.


def shm_zero(shm, page, order):
    """Zeros, in its memory."""
    failed = arch.mmu_populate(here[shm.index].base + (page << 12), cython.cast(uint64_t, 4096) << order)
    arch.check(not failed, b"there is memory for what was charged")


def shm_fill(shm, page, bytes, source):
    """The bytes at ``source``, in its memory; nobody has it mapped."""
    to: uint64_t = here[shm.index].base + (page << 12)
    if bytes > 4096:
        arch.check(not arch.mmu_populate(to, bytes), b"there is memory for what was charged")
    arch.copy(to, source, bytes)


def shm_take_out(shm, page, order, to):
    """Its bytes go to ``to`` and its memory is given back; false, and it is as it was, when the kernel has no room to hold it."""
    mover_here()
    object = cython.address(shms[shm.index])
    mine = cython.address(here[shm.index])
    length = cython.cast(uint64_t, 4096) << order
    done: uint64_t = 0
    while done < length:
        part: uint64_t = length - done if length - done < object.capacity else object.capacity
        offset: uint64_t = (page << 12) + done
        arch.mutex_lock(cython.address(object.take))
        object.take_to = to + done
        arch.store_release(cython.address(object.taking), TAKING_HOLDS)
        held: int64_t = arch.shm_hold(mine.fd, mine.ends[1], offset, part)
        if held > 0:
            object.take_bytes = cython.cast(uint64_t, held)
            arch.store_release(cython.address(object.taking), TAKING_HELD)
            arch.check(not arch.shm_punch(mine.fd, offset, cython.cast(uint64_t, held)), b"an object gives memory back")
            arch.check(not arch.shm_held(mine.ends[0], to + done, cython.cast(uint64_t, held)), b"a pipe gives what it holds")
        arch.store_release(cython.address(object.taking), TAKING_NOTHING)
        arch.mutex_unlock(cython.address(object.take))
        if held <= 0:
            if done:
                shm_fill(shm, page, done, to)
            return False
        done += cython.cast(uint64_t, held)
    return True


def take_mend(index):
    """Under ``take``, whose holder died: what the pipe holds goes where it was to go, so that the frame there has the folio's bytes, as
    far as the object does not (shm_death.py)."""
    object = cython.address(shms[index])
    left = arch.shm_holds(here[index].ends[0])
    if left and arch.load_acquire(cython.address(object.taking)) == TAKING_HELD:
        arch.shm_held(here[index].ends[0], object.take_to + object.take_bytes - left, left)
    elif left:
        arch.shm_held(here[index].ends[0], object.take_to, left)
    arch.store(cython.address(object.taking), TAKING_NOTHING)


def shm_drop(shm, page, order):
    """Gives the memory of a clean folio back: whatever is mapped of it is write-protected, so its slots hold the same."""
    mover_here()
    failed = arch.shm_punch(here[shm.index].fd, page << 12, cython.cast(uint64_t, 4096) << order)
    arch.check(not failed, b"an object gives memory back")


def shm_view(mm, page, order, protect, write):
    """Maps a folio that is in where a view of ``mm`` has it, and wakes who waits there. What is mapped already may still be
    protected from when the folio was clean: a write lifts that. ``page`` is one of the mm's arena."""
    address = address_of(mm, page)
    length = cython.cast(uint64_t, 4096) << order
    arch.check(not arch.mmu_continue(mm.fd, address, length, protect), b"what an object has can be mapped")
    if write and not protect and mm.features & arch.MMU_SHARED_WP:
        arch.mmu_protect(mm.fd, address, length, False)


def shm_said(shm, page, state):
    """The entry says something new from now on, and stays locked: before references that it had are let go, which may be all that is
    left to see of it if this process dies."""
    word = cython.address(shm.ptes[page].state)
    while True:
        old = arch.load(word)
        if arch.cas(word, old, (old & (arch.LOCKED | arch.WAITERS)) | state):
            return


for _index in range(MMS):
    arch.mutex_mend(cython.address(shms[_index].take), take_mend, _index)
