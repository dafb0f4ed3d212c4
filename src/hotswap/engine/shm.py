"""Shared objects: memory that several address spaces map, paged as one thing.

An object has what an address space has (``Mm``): a page-table entry for each of its pages, a limit, reclaim lists, staging
frames, a place on the mmlist, where a swapoff visits it like everybody else. It has no userfaultfd and no program: its memory is
a file in memory, which the engine maps for itself (``arena``; nothing is a fault there), and which address spaces attach. Where
a page is, is said by the object's table only, by page of the object; an attachment (a *view*) has no entries of its own. So a
fault in any view looks the object up, by its place in it and not by address, and what one view has brought in is there for all.

The entry of a folio is the object's lock for it. It sleeps, and is held over look-up, page-in and mapping (fault.py), over
eviction and over what swapoff does with the folio; that two page the same entry in cannot happen (seed 001 left that open in
2000 for want of such a lock: R21).

In, for an object, means: in its memory. A view may have a page mapped only while its folio is in, as the kernel's table of the
view says; where that has none the touch is a fault, and ``shm_view()`` maps it. A folio leaves in this order, under its
entry's lock: unmapped from all views, so that nobody writes it from then on; copied or not; its memory given back. A clean
one is mapped write-protected wherever it is mapped.

What the kernel has no means to tell: whether a device still writes to a page (MOVE would say EBUSY for private memory). So a direct
transfer into a view is only safe while the folios are pinned (pin.py).

Lock order: an mm's mmap lock, an entry of the object, the object's ``lock`` (its list of views; held over their unmapping, which
is a system call and no transfer).
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import MMS, address_of, mm_at
from cython.cimports.libc.errno import EMFILE, ENOSYS
from cython.cimports.libc.stdint import uint64_t

shms = cython.cast(cython.pointer(Shm), arch.table(MMS, cython.sizeof(Shm)))
if arch.founder():
    for _index in range(MMS):
        arch.mutex_init(cython.address(shms[_index].lock))


def shm_attach(shm, mm, start):
    """Attaches all of an object at page ``start`` of an arena; nothing of it is mapped yet. -EMFILE: it has 32 views; -ENOSYS: the
    two cannot protect alike; else what the kernel said. Caller: mm's mmap lock for writing, the range is its to give."""
    kept = arch.MMU_SHARED | arch.MMU_SHARED_WP
    if mm.features & kept != shm.features & kept:
        return -ENOSYS
    object = cython.address(shms[shm.index])
    result: cython.int = -EMFILE
    arch.mutex_lock(cython.address(object.lock))
    if object.view_count < VIEWS:
        protects: cython.bint = (mm.features & arch.MMU_SHARED_WP) != 0
        result = arch.shm_attach(mm.fd, shm.fd, address_of(mm, start), shm.arena_pages << 12, protects)
    if not result:
        object.views[object.view_count].mm = mm.index
        object.views[object.view_count].start = start
        object.view_count += 1
    arch.mutex_unlock(cython.address(object.lock))
    return result


def shm_detach(shm, mm, start):
    """Takes a view away. Under the object's lock: an eviction may be about to unmap a folio there. Caller: mm's mmap lock for writing."""
    object = cython.address(shms[shm.index])
    arch.mutex_lock(cython.address(object.lock))
    failed = arch.shm_detach(mm.fd, address_of(mm, start), shm.arena_pages << 12)
    arch.check(not failed, b"a view can be taken away")
    place: cython.int = 0
    while object.views[place].mm != mm.index or object.views[place].start != start:
        place += 1
        arch.check(place < object.view_count, b"a view that goes was one of the object's")
    object.view_count -= 1
    object.views[place].mm = object.views[object.view_count].mm
    object.views[place].start = object.views[object.view_count].start
    arch.mutex_unlock(cython.address(object.lock))


def shm_view_count(shm):
    object = cython.address(shms[shm.index])
    arch.mutex_lock(cython.address(object.lock))
    count: cython.int = object.view_count
    arch.mutex_unlock(cython.address(object.lock))
    return count


# A folio of an object: its entry is the caller's, locked.


def shm_unmap(shm, page, order):
    """From here on nobody has it mapped, and no touch of it ends before the entry is unlocked."""
    object = cython.address(shms[shm.index])
    length = cython.cast(uint64_t, 4096) << order
    arch.mutex_lock(cython.address(object.lock))
    for number in range(object.view_count):
        view = cython.address(object.views[number])
        arch.mmu_drop(address_of(mm_at(view.mm), view.start + page), length)
    arch.mutex_unlock(cython.address(object.lock))


def shm_zero(shm, page, order):
    """Zeros, in its memory."""
    failed = arch.mmu_populate(address_of(shm, page), cython.cast(uint64_t, 4096) << order)
    arch.check(not failed, b"there is memory for what was charged")


def shm_fill(shm, page, order, source):
    """The bytes at ``source``, in its memory; nobody has it mapped."""
    arch.copy(address_of(shm, page), source, cython.cast(uint64_t, 4096) << order)


def shm_take_out(shm, page, order, to):
    """Its bytes go to ``to`` and its memory is given back: unmapped first, so that no view writes after the copy."""
    length = cython.cast(uint64_t, 4096) << order
    shm_unmap(shm, page, order)
    arch.copy(to, address_of(shm, page), length)
    arch.check(not arch.shm_punch(shm.fd, page << 12, length), b"an object gives memory back")


def shm_drop(shm, page, order):
    """Gives the memory of a clean folio back: whatever is mapped of it is write-protected, so its slots hold the same."""
    shm_unmap(shm, page, order)
    arch.check(not arch.shm_punch(shm.fd, page << 12, cython.cast(uint64_t, 4096) << order), b"an object gives memory back")


def shm_view(mm, page, order, protect, write):
    """Maps a folio that is in where a view of ``mm`` has it, and wakes who waits there. What is mapped already may still be
    protected from when the folio was clean: a write lifts that. ``page`` is one of the mm's arena."""
    address = address_of(mm, page)
    length = cython.cast(uint64_t, 4096) << order
    arch.check(not arch.mmu_continue(mm.fd, address, length, protect), b"what an object has can be mapped")
    if write and not protect and mm.features & arch.MMU_SHARED_WP:
        arch.mmu_protect(mm.fd, address, length, False)
