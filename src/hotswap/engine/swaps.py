"""What ``/proc/swaps`` shows: the areas that are on, by name, and whose their open files are.

Areas come and go by two doors, Python's (api.py) and the steering thread's (steer.py), so what both have to know is here. A
descriptor, and with it the lock on its file, is the engine's from swaps_finish() on, and closed by swaps_reap().

A swapon is swaps_begin(), bad slots marked, swaps_finish() or swaps_undo(). A swapoff is swaps_off() by name; the one who called it waits
(``swapoff_wait``), and after DONE alone calls swaps_reap(): so the row is no other area's before.

Lock order: ``swaps.lock`` outermost, then calm (calm.py). It is held while tables are made and while a swapoff is started, never over a transfer, a
publish or a retire.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import SWP_WRITEOK, area_at, area_figures, area_release_row, area_row_taken
from cython.cimports.hotswap.engine.calm import calm_enter, calm_leave
from cython.cimports.hotswap.engine.commit import commit_area
from cython.cimports.hotswap.engine.entry import AREAS
from cython.cimports.hotswap.engine.family import family, family_call, family_size, own
from cython.cimports.hotswap.engine.guard.contract import choose_guard, guard_chosen, guard_retire
from cython.cimports.hotswap.engine.store.file import fd_of, file_gather, file_off, file_spread, opened, origins
from cython.cimports.hotswap.engine.store.ram import IN_RAM, ram_stop, rams_wake
from cython.cimports.hotswap.engine.swapoff import swapoff_forget, swapoff_start
from cython.cimports.hotswap.engine.swapon import area_front, area_label, area_publish, area_setup, area_teardown
from cython.cimports.hotswap.engine.writeback import writeback_start
from cython.cimports.libc.errno import EBUSY, EINVAL, ENAMETOOLONG, ENOMEM

listed = cython.cast(cython.pointer(Listed), arch.table(AREAS, cython.sizeof(Listed)))
swaps = cython.address(cython.cast(cython.pointer(Swaps), arch.table(1, cython.sizeof(Swaps)))[0])
if arch.founder():
    arch.mutex_init(cython.address(swaps.lock))


def swaps_begin(fd, slots, priority, how, name, length, most):
    """An area set up and not yet published: its type; ``most``: pages of compressed memory in front of it (SWAP_FRONT). -EBUSY: that name is on; else what area_setup() says. The caller keeps ``fd``."""
    if length >= NAME_BYTES:
        return -ENAMETOOLONG
    arch.mutex_lock(cython.address(swaps.lock))
    if find_name(name, length) >= 0:
        arch.mutex_unlock(cython.address(swaps.lock))
        return -EBUSY
    calm_enter()
    type = area_setup(IN_RAM if how & SWAP_RAM else fd, slots, priority)
    if type >= 0 and begin_packing(type, how, most):
        file_off(type)
        area_teardown(type)
        type = -ENOMEM
    calm_leave()
    if type >= 0:
        row = cython.address(listed[type])
        row.state = SWAPS_COMING
        row.member = own.member
        row.fd = fd
        row.how = how
        origins[type].direct = how & SWAP_DIRECT
        row.priority = priority
        row.length = length
        for place in range(length):
            row.name[place] = name[place]
        row.name[length] = 0
        area_label(type, arch.number(row.name))
    arch.mutex_unlock(cython.address(swaps.lock))
    return type


def begin_packing(type, how, most):
    """Compressed memory in front of the area, where that is asked for, and the thread that writes back; 0 or -ENOMEM."""
    if how & SWAP_FRONT and area_front(type, most):
        return -ENOMEM
    return writeback_start(type) if how & (SWAP_FRONT | SWAP_RAM) else 0


def swaps_finish(type):
    """Publishes it, and lists it. The descriptor is the engine's now."""
    if listed[type].fd >= 0:
        file_spread(type)
    area_publish(type)
    swaps_list(type)


def swaps_list(type):
    commit_area(type, area_at(type).usable)
    rams_wake()  # what was full may be written back into it
    arch.mutex_lock(cython.address(swaps.lock))
    listed[type].state = SWAPS_ON
    arch.mutex_unlock(cython.address(swaps.lock))


def swaps_undo(type):
    """Instead of swaps_finish(). This process's descriptor, or -1; the caller closes it."""
    arch.mutex_lock(cython.address(swaps.lock))
    listed[type].state = SWAPS_FREE
    ram_stop(type)
    calm_enter()
    fd: cython.int = file_off(type)
    area_teardown(type)
    calm_leave()
    arch.mutex_unlock(cython.address(swaps.lock))
    return fd


def swaps_off(name, length):
    """Starts a swapoff: the area's type. -EINVAL: no area of that name is on; -EBUSY: another swapoff of it is under way; -ENOMEM."""
    arch.mutex_lock(cython.address(swaps.lock))
    type = find_name(name, length)
    result = -EINVAL
    if type >= 0 and listed[type].state == SWAPS_ON:  # found and started in one go: the row may be another area's a moment later
        result = swapoff_start(type)
    arch.mutex_unlock(cython.address(swaps.lock))
    return result if result < 0 else type


def swaps_reap(type, member):
    """May block. After DONE, once the outcome was read, of a swapoff by ``member``: closes the file, and the row may be taken again."""
    arch.mutex_lock(cython.address(swaps.lock))
    gone = arch.load(cython.address(origins[type].generation))
    if listed[type].state == SWAPS_ON:  # else who died had got further, and swaps_mend() has done it
        listed[type].member = member
        listed[type].state = SWAPS_GOING
        swaps_let_go(type)
    arch.mutex_unlock(cython.address(swaps.lock))
    family_call()  # the others close theirs
    file_gather(type, gone)


def swaps_let_go(type):
    """May block. All that is left of an area that is off. Begun once more where it was cut short. Caller: swaps.lock."""
    calm_enter()  # nobody forks between what is said of a descriptor and its end
    fd = file_off(type)
    if fd >= 0:
        arch.disk_unlock(fd)
        arch.close_fd(fd)
    calm_leave()
    swapoff_forget(listed[type].member, type)
    commit_area(type, 0)
    area_release_row(type)
    listed[type].state = SWAPS_FREE


def swaps_mend(nothing):
    """May block. Under swaps.lock, whose holder died: an area that it let go of goes, and one that it was setting up too."""
    for type in range(AREAS):
        if listed[type].state == SWAPS_GOING:
            swaps_let_go(type)
        elif listed[type].state == SWAPS_FREE and area_row_taken(type):
            ram_stop(type)  # not in calm: it may wait for who cleans up after the dead one, and brings all to rest for that
            calm_enter()
            fd = file_off(type)
            if fd >= 0:
                arch.disk_unlock(fd)
                arch.close_fd(fd)
            area_teardown(type)
            calm_leave()


def swaps_look(type, found, figures):
    """What row ``type`` lists, into ``found`` and ``figures`` (zeros when the area has just gone off). False: nothing."""
    arch.mutex_lock(cython.address(swaps.lock))
    row = cython.address(listed[type])
    on: cython.bint = row.state == SWAPS_ON
    if on:
        found.state = row.state
        found.fd = row.fd
        found.how = row.how
        found.priority = row.priority
        found.length = row.length
        for place in range(row.length + 1):
            found.name[place] = row.name[place]
        if not area_figures(type, figures):
            figures.usable = 0
            figures.used = 0
            figures.pages_in = 0
            figures.pages_out = 0
            figures.errors = 0
            figures.flags = 0
            figures.most = 0
            figures.held = 0
            figures.stored = 0
            figures.packed = 0
            figures.backed = 0
            figures.declined = 0
    arch.mutex_unlock(cython.address(swaps.lock))
    return on


def swaps_choose_guard(which):
    """Another guard for the process. -EBUSY: an area is on, or coming."""
    arch.mutex_lock(cython.address(swaps.lock))
    result = -EBUSY if family_size() > 1 or own.door else 0  # it is each process's own to know which is in use
    for type in range(AREAS):
        if area_row_taken(type):
            result = -EBUSY
    if result == 0:
        result = choose_guard(which)
        family.guard = guard_chosen()
    arch.mutex_unlock(cython.address(swaps.lock))
    return result


def swaps_forked():
    """In a child of fork that is to be no member of the family: it does not hold its parent's locks. The tables are the family's."""
    for type in range(AREAS):
        word = arch.load(cython.address(opened[type]))
        if word:
            arch.close_fd(fd_of(word))


def swaps_orphan(type, member):
    """May block. An area that a member was switching on when it died: it is on when it was published, else it goes."""
    arch.mutex_lock(cython.address(swaps.lock))
    row = cython.address(listed[type])
    orphan: cython.bint = row.state == SWAPS_COMING and row.member == member
    arch.mutex_unlock(cython.address(swaps.lock))
    if not orphan:
        return
    if arch.load(cython.address(area_at(type).flags)) & SWP_WRITEOK:
        swaps_list(type)
    else:
        guard_retire(type, cython.NULL)  # it may have died in the midst of the publish
        fd = swaps_undo(type)
        if fd >= 0:
            arch.disk_unlock(fd)
            arch.close_fd(fd)


def find_name(name, length):
    """The row of an area that is on or coming, or -1. Caller: swaps.lock."""
    for type in range(AREAS):
        if listed[type].state != SWAPS_FREE and listed[type].length == length:
            same: cython.int = 0
            while same < length and listed[type].name[same] == name[same]:
                same += 1
            if same == length:
                return type
    return -1


arch.mutex_mend(cython.address(swaps.lock), swaps_mend, 0)
