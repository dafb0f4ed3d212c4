"""Shared objects come, are attached to address spaces, and go; what they are stands in shm.py.

An object is made with the memory and the table for all its pages, attached by ``mm_attach`` and detached by ``mm_unmap`` (mmap.py)
like any range, and goes when it has no view left. Errors are negative errnos.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.fork import mm_exit
from cython.cimports.hotswap.engine.mm import Pte, find_vma, mm_at, vma_insert, vma_remove
from cython.cimports.hotswap.engine.mmap import mm_begin, mm_new, set_up_tables, start_threads
from cython.cimports.hotswap.engine.shm import shm_attach, shm_view_count
from cython.cimports.libc.errno import EBUSY, EMFILE, ENOMEM, ENOSYS


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
    mm.shared = True
    mm.features = features
    mm.fd = arch.shm_open(pages << 12)
    if mm.fd < 0:
        return mm.fd
    mm.arena_pages = pages
    mm.ptes = cython.cast(cython.pointer(Pte), arch.table(pages, cython.sizeof(Pte)))
    if mm.ptes:
        mm.arena = arch.shm_map(mm.fd, pages << 12)
    failed = set_up_tables(mm)
    if failed:
        return failed
    vma_insert(mm, pages, mm.order)
    return start_threads(mm, 0)


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


def shm_destroy(index):
    """May block. The object goes, with its memory and its slots. -EBUSY while it is attached anywhere."""
    return -EBUSY if shm_view_count(mm_at(index)) else mm_exit(index)
