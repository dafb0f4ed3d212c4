"""The way of a command from outside, top to bottom: ``hotswap ps``, ``show``, ``on``, ``off``, ``limit``, ``top``.

A thread of the engine waits for callers (``steer_main``); each gets a thread of its own (``serve_main``), which reads a message, acts
and answers, until the caller hangs up. So figures are told while somebody waits for a swapoff, and while the program computes: none of
these threads ever needs the interpreter's lock or touches memory that may be swapped out. Who may call is the channel's affair (arch/channel.h).

What opening an area asks of Python (not to follow links, to check owner, mode and header, to lock, to format) was done by the caller,
who is the same user: here come its descriptor and the facts. A caller who hangs up while a swapoff runs has cancelled it.

Locks: an mm is held (mmlist) while its figures are read or its limit moves; all others are taken by what is called.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import SWP_EMPTYING, Figures, area_figures
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import own
from cython.cimports.hotswap.engine.guard.contract import guard_chosen
from cython.cimports.hotswap.engine.mm import COUNTERS, MM_NIL, mm_at, mmlist_hold_mine, mmlist_release
from cython.cimports.hotswap.engine.mmap import mm_figure, mm_least, mm_limit
from cython.cimports.hotswap.engine.profile import STAGES
from cython.cimports.hotswap.engine.swap_map import swap_map_mark_bad, swap_map_picture
from cython.cimports.hotswap.engine.swapoff import (
    OFF_DONE,
    OFF_ERRNO,
    OFF_LOADED,
    OFF_MOVED,
    OFF_SLOT,
    OFF_UNDER_WAY,
    OFF_WAITING,
    swapoff_cancel,
    swapoff_progress,
    swapoff_wait,
)
from cython.cimports.hotswap.engine.swaps import (
    SWAP_RAM,
    Listed,
    swaps_begin,
    swaps_finish,
    swaps_look,
    swaps_off,
    swaps_reap,
    swaps_undo,
)
from cython.cimports.libc.errno import EAGAIN, EBADF, EINVAL, ENOENT, ENOTUNIQ, EPROTO
from cython.cimports.libc.stdint import int64_t, uint64_t

arch.mutex_init(cython.address(door.lock))
door.listener = -1


def steer_open():
    """Makes the socket and starts the thread, the first time. 0, or a negative errno: then nobody can call."""
    arch.mutex_lock(cython.address(door.lock))
    result: cython.int = 0
    if door.listener < 0:
        listener = arch.channel_listen()
        result = listener if listener < 0 else 0
        if listener >= 0:
            door.listener = listener
            door.thread = arch.thread_start(steer_main, 0, b"hotswap-steer")
            if not door.thread:
                arch.channel_close(listener)
                door.listener = -1
                result = -EAGAIN
    arch.mutex_unlock(cython.address(door.lock))
    return result


def steer_forked():
    """In a child of fork: the socket and its callers are the parent's."""
    arch.mutex_init(cython.address(door.lock))
    door.listener = -1
    for seat in range(CALLERS):
        arch.store(cython.address(callers[seat].busy), SEAT_FREE)


def steer_main(argument):
    """Lets callers in until the process ends."""
    while True:
        fd = arch.channel_accept(door.listener)
        if fd < 0:
            arch.nap_us(100000)  # no descriptors left, most likely
            continue
        seat = seat_take()
        if seat < 0:
            arch.channel_close(fd)
            continue
        callers[seat].fd = fd
        callers[seat].thread = arch.thread_start(serve_main, seat, b"hotswap-caller")
        if not callers[seat].thread:
            arch.channel_close(fd)
            arch.store_release(cython.address(callers[seat].busy), SEAT_FREE)


def seat_take():
    """A free seat, or one whose thread is over; -1 when there is none. Only steer_main() takes seats."""
    for seat in range(CALLERS):
        state = arch.load_acquire(cython.address(callers[seat].busy))  # pairs with the release in serve_main()
        if state == SEAT_TAKEN:
            continue
        if state == SEAT_OVER:
            arch.thread_join(callers[seat].thread)
        arch.store(cython.address(callers[seat].busy), SEAT_TAKEN)
        return seat
    return -1


def serve_main(seat):
    """A caller's thread."""
    fd: cython.int = callers[seat].fd
    message = cython.declare(Message)
    passed = cython.declare(cython.int[1])
    while arch.channel_receive(fd, cython.address(message), cython.sizeof(Message), passed, -1) == 1:
        answer(fd, cython.address(message), passed[0])
    arch.channel_close(fd)
    arch.store_release(cython.address(callers[seat].busy), SEAT_OVER)


def answer(fd, message, passed):
    """One call. A descriptor that came along is closed here unless it became an area's."""
    if message.kind == CALL_ON and message.version == STEER_VERSION and (passed >= 0) != (message.value[2] & SWAP_RAM != 0):
        call_on(fd, message, passed)
        return
    if passed >= 0:
        arch.close_fd(passed)
    if message.version != STEER_VERSION:
        done(fd, message, -EPROTO)
    elif message.kind == CALL_LOOK:
        look(fd, message)
    elif message.kind == CALL_OFF:
        call_off(fd, message)
    elif message.kind == CALL_LIMIT:
        call_limit(fd, message)
    else:
        done(fd, message, -EBADF if message.kind == CALL_ON else -EPROTO)


def tell(fd, message, kind):
    """May block. False: the caller has gone."""
    message.kind = kind
    message.version = STEER_VERSION
    return arch.channel_send(fd, message, cython.sizeof(Message)) == 0


def done(fd, message, result):
    message.value[0] = result
    tell(fd, message, TELL_DONE)


def look(fd, message):
    """The process, each area with its picture, each address space."""
    cells: int64_t = message.value[0]
    if cells < 0 or cells > TEXT_BYTES:
        done(fd, message, -EINVAL)
        return
    message.length = 0
    message.value[1] = look_at_areas(fd, message, 0, False)
    message.value[2] = look_at_spaces(fd, message, False)
    message.value[0] = arch.process()
    message.value[3] = guard_chosen()
    message.value[4] = cython.cast(int64_t, arch.now_ns())
    if tell(fd, message, TELL_PROCESS):
        look_at_areas(fd, message, cells, True)
        look_at_spaces(fd, message, True)
        done(fd, message, 0)


def look_at_areas(fd, message, cells, telling):
    """How many are on."""
    found = cython.declare(Listed)
    figures = cython.declare(Figures)
    count: cython.int = 0
    for type in range(AREAS):
        if not swaps_look(type, cython.address(found), cython.address(figures)):
            continue
        count += 1
        if not telling:
            continue
        message.value[0] = type
        message.value[1] = found.how
        message.value[2] = cython.cast(int64_t, figures.usable)
        message.value[3] = cython.cast(int64_t, figures.used)
        message.value[4] = found.priority
        message.value[5] = cython.cast(int64_t, figures.pages_in)
        message.value[6] = cython.cast(int64_t, figures.pages_out)
        message.value[7] = cython.cast(int64_t, figures.errors)
        message.value[8] = 1 if figures.flags & SWP_EMPTYING else 0
        message.value[9] = cython.cast(int64_t, figures.held)
        message.value[10] = cython.cast(int64_t, figures.stored)
        message.value[11] = cython.cast(int64_t, figures.packed)
        message.value[12] = cython.cast(int64_t, figures.most)
        message.value[13] = cython.cast(int64_t, figures.backed)
        message.value[14] = cython.cast(int64_t, figures.declined)
        message.length = found.length
        for place in range(found.length):
            message.text[place] = found.name[place]
        if tell(fd, message, TELL_AREA) and cells and figures.usable:
            picture(fd, message, type, cython.cast(int64_t, figures.usable), cells)
    return count


def picture(fd, message, type, slots, cells):
    """Small areas have fewer cells. Nothing is told of an area that has just gone off."""
    message.value[0] = type
    message.length = cells if cells < slots else slots
    if swap_map_picture(type, message.text, cython.cast(cython.int, message.length)):
        tell(fd, message, TELL_PICTURE)


def look_at_spaces(fd, message, telling):
    """How many there are."""
    count: cython.int = 0
    index = mmlist_hold_mine(MM_NIL)
    while index != MM_NIL:
        count += 1
        if telling:
            mm = mm_at(index)
            message.value[0] = index
            message.value[1] = mm.order
            message.value[2] = cython.cast(int64_t, mm_least(index))
            message.value[3] = 1 if mm.features & arch.MMU_SIGBUS else 0
            for which in range(COUNTERS + 7 + STAGES):
                message.value[4 + which] = cython.cast(int64_t, mm_figure(index, which))
            message.length = 0
            tell(fd, message, TELL_SPACE)
        index = mmlist_hold_mine(index)
    return count


def call_on(fd, message, passed):
    """Done: 0 or why not."""
    slots: int64_t = message.value[0]
    bad: int64_t = message.value[3]
    result: cython.int = -EINVAL
    if 1 < slots <= cython.cast(int64_t, 1) << 32 and 0 <= bad < slots and 0 < message.length < TEXT_BYTES:
        result = swaps_begin(
            passed,
            cython.cast(uint64_t, slots),
            cython.cast(cython.int, message.value[1]),
            cython.cast(cython.int, message.value[2]),
            message.text,
            cython.cast(cython.int, message.length),
            cython.cast(uint64_t, message.value[4]),
        )
    if result >= 0:
        failed = mark_bad(fd, message, result, bad)
        if failed:
            swaps_undo(result)
            result = failed
        else:
            swaps_finish(result)
    if result < 0 and passed >= 0:
        arch.close_fd(passed)
    done(fd, message, result if result < 0 else 0)


def mark_bad(fd, message, type, count):
    """May block. The bad slots come in messages of their own."""
    passed = cython.declare(cython.int[1])
    left: int64_t = count
    while left > 0:
        if arch.channel_receive(fd, message, cython.sizeof(Message), passed, PATIENCE_US) != 1 or message.kind != CALL_BAD:
            return -EPROTO
        if passed[0] >= 0:
            arch.close_fd(passed[0])
        for place in range(VALUES):
            if left > 0:
                if message.value[place] <= 0 or not swap_map_mark_bad(type, cython.cast(uint64_t, message.value[place])):
                    return -EINVAL
                left -= 1
    return 0


def call_off(fd, message):
    """Starts it, tells how far it is ten times a second, cancels it when the caller says so or hangs up. Done: 0 or why not, pages
    moved to other areas, pages put into memory, pages left, nanoseconds, the slot that could not be read."""
    if message.length <= 0 or message.length >= TEXT_BYTES:
        done(fd, message, -EINVAL)
        return
    began = arch.now_ns()
    type = swaps_off(message.text, cython.cast(cython.int, message.length))
    if type < 0:
        done(fd, message, type)
        return
    message.length = 0
    passed = cython.declare(cython.int[1])
    turn: cython.int = 0
    heard: cython.int = -EAGAIN
    state: cython.int = swapoff_wait(type, SHORT_US)
    while state == OFF_UNDER_WAY:
        turn += 1
        if heard == -EAGAIN:
            if turn % TURNS == 0:
                message.value[0] = swapoff_progress(type, OFF_MOVED)
                message.value[1] = swapoff_progress(type, OFF_LOADED)
                message.value[2] = left_in(type)
                message.value[3] = cython.cast(int64_t, arch.now_ns() - began)
                message.value[4] = swapoff_progress(type, OFF_WAITING)
                tell(fd, message, TELL_PROGRESS)
            heard = arch.channel_receive(fd, message, cython.sizeof(Message), passed, SHORT_US)
            if heard == 1 and passed[0] >= 0:
                arch.close_fd(passed[0])
            if heard != -EAGAIN:
                swapoff_cancel(type)
            state = swapoff_wait(type, 0)
        else:
            state = swapoff_wait(type, SHORT_US)
    message.value[1] = swapoff_progress(type, OFF_MOVED)
    message.value[2] = swapoff_progress(type, OFF_LOADED)
    message.value[3] = left_in(type)
    message.value[4] = cython.cast(int64_t, arch.now_ns() - began)
    message.value[5] = swapoff_progress(type, OFF_SLOT)
    message.length = 0
    result: int64_t = -swapoff_progress(type, OFF_ERRNO)
    if state == OFF_DONE:
        swaps_reap(type, own.member)
        result = 0
    done(fd, message, result)


def left_in(type):
    """Pages of an area that are in use. Guard: its own, as the area may go off meanwhile."""
    figures = cython.declare(Figures)
    return cython.cast(int64_t, figures.used) if area_figures(type, cython.address(figures)) else 0


def call_limit(fd, message):
    """May block, until enough has left. Done: 0 or why not, the space, the limit now, the least that could be."""
    wanted = cython.cast(cython.int, message.value[0])
    pages: int64_t = message.value[1]
    index = hold_space(wanted)
    message.length = 0
    if index < 0 or pages < 0:
        if index >= 0:
            mmlist_release(index)
        done(fd, message, index if index < 0 else -EINVAL)
        return
    result = mm_limit(index, cython.cast(uint64_t, pages))
    message.value[1] = index
    message.value[2] = cython.cast(int64_t, mm_figure(index, COUNTERS + 1))
    message.value[3] = cython.cast(int64_t, mm_least(index))
    mmlist_release(index)
    done(fd, message, result)


def hold_space(wanted):
    """Holds an address space: the one that is meant, or with -1 the only one. -ENOENT: there is none; -ENOTUNIQ: there are several."""
    found: cython.int = -ENOENT
    index = mmlist_hold_mine(MM_NIL)
    while index != MM_NIL:
        if wanted == index:
            return index
        if wanted < 0:
            found = index if found == -ENOENT else -ENOTUNIQ
        index = mmlist_hold_mine(index)
    return hold_space(found) if found >= 0 else found
