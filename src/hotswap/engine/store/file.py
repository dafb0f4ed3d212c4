"""Slots in a file or on a block device: slot n is the page at n times 4 KiB. All pieces of a call are one transfer."""

import cython
from cython.cimports.hotswap import arch


def describe(store):
    store.read = file_read
    store.write = file_write
    store.discard = cython.NULL


def file_read(fd, addresses, count, pages, slot):
    return arch.disk_transfer(fd, False, addresses, count, pages << 12, slot << 12)


def file_write(fd, mm, addresses, count, pages, slot, element):
    failed = arch.disk_transfer(fd, True, addresses, count, pages << 12, slot << 12)
    return failed if failed else count
