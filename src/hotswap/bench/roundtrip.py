"""The least that a fault can cost which another thread serves: wait, read the message, copy the bytes in, wake; and nothing else.

Compiled, like the engine, and on the same seam, so that the difference between the two is what the engine does in between.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.libc.stdint import uint64_t


def measure(count: cython.int, size: cython.ulonglong, pause: cython.ulonglong):
    """Nanoseconds of each of ``count`` touches of pages that lie ``size`` bytes apart, so much copied in each time, ``pause`` nanoseconds of
    other work before each; or a negative errno."""
    total: uint64_t = count * size
    took = cython.cast(cython.pointer(uint64_t), arch.table(count, 8))
    arena: uint64_t = arch.reserve(total)
    probe.source = arch.reserve(size)
    probe.bytes = size
    probe.fd = arch.mmu_open()
    probe.stopper = arch.stopper()
    arch.store(cython.address(probe.stop), 0)
    result: cython.int = probe.fd if probe.fd < 0 else 0
    if result == 0:
        result = arch.mmu_handshake(probe.fd, 0, False)
    if result >= 0:
        result = arch.mmu_register(probe.fd, arena, total, True)
    if result == 0:
        arch.fill(probe.source, size, 1)
        thread: uint64_t = arch.thread_start(handler_main, 0, b"roundtrip")
        with cython.nogil:
            result = touch(arena, count, pause, took)
            arch.store(cython.address(probe.stop), 1)
            arch.stopper_set(probe.stopper)
            arch.thread_join(thread)
    found = [took[k] for k in range(count)] if result == 0 else result
    if probe.fd >= 0:
        arch.close_fd(probe.fd)
    arch.close_fd(probe.stopper)
    arch.release(arena, total)
    arch.release(probe.source, size)
    arch.table_free(took, False)
    return found


def touch(address, count, pause, took):
    for k in range(count):
        until = arch.now_ns() + pause
        while arch.now_ns() < until:
            pass
        begun = arch.now_ns()
        value = arch.first_word(address + k * probe.bytes)
        took[k] = arch.now_ns() - begun
        arch.check(value == 1, b"a page that was copied in holds what was copied")
    return 0


def handler_main(argument):
    fault = cython.declare(arch.fault_info)
    while not arch.load(cython.address(probe.stop)):
        if arch.mmu_next(probe.fd, cython.address(fault)) > 0:
            page: uint64_t = fault.address & ~(probe.bytes - 1)
            arch.check(not arch.mmu_copy(probe.fd, page, probe.source, probe.bytes, False), b"the probe can copy a page in")
        else:
            arch.mmu_poll(probe.fd, probe.stopper)
