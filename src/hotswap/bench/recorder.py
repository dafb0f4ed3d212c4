"""Records which pages a program touches, in their order, as it really runs.

The memory is a file in memory, mapped over a range of a userfaultfd that raises SIGBUS. Only the last few pages that were touched
are mapped (``window``); a touch of any other is a fault in the thread that touched it, whose handler notes the page, maps it, and
unmaps the oldest. Nothing is copied: an unmapped page keeps its bytes in the file. A page is mapped write-protected after a read, so that
a later write in the same visit is seen too. So the trace has every visit of every page; what it leaves out are touches of
the few pages touched just before, which any replacement with more memory than those keeps.

Compiled, as the engine: the handler runs inside whatever the program was doing, holding the interpreter's lock. One recording at a time;
one thread touches; system calls on the memory fail with EFAULT.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.libc.errno import EBUSY, ENOMEM, ENOSYS
from cython.cimports.libc.stdint import uint32_t, uint64_t

_state = {"open": False}


def begin(size: cython.ulonglong, window: cython.int, most: cython.ulonglong):
    """Makes ``size`` bytes (a multiple of 4096) of zeros that are recorded from now on: their address, or a negative errno. ``window``: pages
    mapped at one time, 2 to 64 (a gather of the processor may need several at once); ``most``: records that are kept."""
    if _state["open"]:
        return -EBUSY
    if not arch.signal_known():
        return -ENOSYS
    recorder.fd = arch.mmu_open()
    if recorder.fd < 0:
        return recorder.fd
    result: cython.int = arch.mmu_handshake(recorder.fd, 0, True)
    wanted: cython.int = arch.MMU_SIGBUS | arch.MMU_SHARED | arch.MMU_SHARED_WP
    if result >= 0 and result & wanted != wanted:
        result = -ENOSYS
    recorder.memory = -1
    recorder.bytes = size
    recorder.window = window if window < WINDOW_MOST else WINDOW_MOST
    recorder.turn = 0
    recorder.room = most
    for place in range(recorder.window):
        recorder.mapped[place] = size >> 12  # none
    arch.store(cython.address(recorder.count), 0)
    recorder.first = arch.reserve(size)
    recorder.trace = cython.cast(cython.pointer(uint32_t), arch.table(most, cython.sizeof(uint32_t)))
    if result >= 0:
        recorder.memory = arch.shm_open(size)
        result = recorder.memory
    if result >= 0:
        mine: uint64_t = arch.shm_map(recorder.memory, size)
        if mine:  # the file gets its pages
            result = arch.mmu_populate(mine, size)
            arch.release(mine, size)
        if mine and result == 0:
            result = arch.shm_attach(recorder.fd, recorder.memory, recorder.first, size, True)
        elif not mine:
            result = -ENOMEM
    if result >= 0:
        result = arch.signal_setup(on_touch)
    _state["open"] = True
    if result < 0:
        end()
        return result
    return recorder.first


def taken():
    """What was recorded so far: bytes of 32-bit numbers, page << 2 | how it was touched, and how many there should be (more: there was no room)."""
    count: uint64_t = arch.load(cython.address(recorder.count))
    kept: uint64_t = count if count < recorder.room else recorder.room
    return cython.cast(cython.p_char, recorder.trace)[: kept * 4], count


def forget():
    """The recording begins anew."""
    arch.store(cython.address(recorder.count), 0)
    for place in range(recorder.window):
        if recorder.mapped[place] < recorder.bytes >> 12:
            arch.mmu_drop(recorder.first + (recorder.mapped[place] << 12), 4096)
        recorder.mapped[place] = recorder.bytes >> 12


def end():
    """The memory goes, with all that lies in it."""
    if not _state["open"]:
        return
    _state["open"] = False
    arch.release(recorder.first, recorder.bytes)
    arch.close_fd(recorder.fd)
    if recorder.memory >= 0:
        arch.close_fd(recorder.memory)
    arch.table_free(recorder.trace, False)
    recorder.bytes = 0


def on_touch(address, write):
    """The signal handler. 0: the address is not ours."""
    if address < recorder.first or address - recorder.first >= recorder.bytes:
        return 0
    page: uint64_t = (address - recorder.first) >> 12
    where: uint64_t = recorder.first + (page << 12)
    for place in range(recorder.window):
        if recorder.mapped[place] == page:  # mapped for reading, and written now
            if recorder.record[place] < recorder.room:
                recorder.trace[recorder.record[place]] |= WRITTEN_LATER
            arch.mmu_protect(recorder.fd, where, 4096, False)
            return 1
    count: uint64_t = arch.load(cython.address(recorder.count))
    if count < recorder.room:
        recorder.trace[count] = cython.cast(uint32_t, page << 2) | (WRITTEN if write else 0)
    arch.store(cython.address(recorder.count), count + 1)
    oldest: uint64_t = recorder.mapped[recorder.turn]
    if oldest < recorder.bytes >> 12:
        arch.mmu_drop(recorder.first + (oldest << 12), 4096)
    recorder.mapped[recorder.turn] = page
    recorder.record[recorder.turn] = count
    recorder.turn = (recorder.turn + 1) % recorder.window
    return arch.mmu_continue(recorder.fd, where, 4096, not write) == 0
