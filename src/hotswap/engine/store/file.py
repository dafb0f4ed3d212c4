"""Slots in a file or on a block device: slot n is the page at n times 4 KiB. All pieces of a call are one transfer.

A descriptor is a process's own, an area the family's. A member that was forked while the area was on inherited it; another one
opens the file when it first needs it, through whoever has it open (``file_open_late``), or at once when it is told to
(``files_tidy``), so that the file can be had also when those have gone.

The kernel copies descriptors before memory when a process forks: who opens or closes one and says so in ``opened`` does both in calm (calm.py)
or with an mmap lock, as neither is had while somebody forks. Else the child would believe in a descriptor that it has not.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.family import MEMBERS, family_call, family_live, own
from cython.cimports.hotswap.engine.mover import mover_here
from cython.cimports.libc.errno import EBADF
from cython.cimports.libc.stdint import uint64_t

origins = cython.cast(cython.pointer(Origin), arch.table(FILE_ROWS, cython.sizeof(Origin)))
holders = cython.cast(cython.pointer(Holder), arch.table(FILE_HOLDERS * FILE_ROWS, cython.sizeof(Holder)))


def describe(store):
    store.read = file_read
    store.write = file_write
    store.discard = cython.NULL


def file_read(type, addresses, count, pages, slot):
    mover_here()
    fd = file_here(type)
    return arch.disk_transfer(fd, False, addresses, count, pages << 12, slot << 12) if fd >= 0 else fd


def file_read_each(types, addresses, slots, count, pages, results):
    """May block. Reads up to EACH pieces of ``pages`` pages from anywhere, all under way at one time; 0 or a negative errno for each."""
    fds = cython.declare(cython.int[EACH])
    offsets = cython.declare(uint64_t[EACH])
    arch.check(count <= EACH and EACH <= arch.DISK_EACH, b"no more is read at one go than there is room for")
    mover_here()
    for number in range(count):
        fds[number] = file_here(types[number])
        offsets[number] = slots[number] << 12
    arch.disk_read_each(fds, addresses, offsets, count, pages << 12, results)


def file_write(type, mm, addresses, count, pages, slot, element):
    mover_here()
    fd = file_here(type)
    failed = arch.disk_transfer(fd, True, addresses, count, pages << 12, slot << 12) if fd >= 0 else fd
    return failed if failed else count


def file_on(type, fd, direct):
    """The file of an area that comes, in the process that switches it on."""
    generation = arch.load(cython.address(origins[type].generation))
    origins[type].direct = direct
    origins[type].identity = arch.disk_identity(fd)
    arch.store_release(cython.address(origins[type].generation), generation + 1 + (generation & 1))
    file_note(type, generation + 1 + (generation & 1), fd)


def file_off(type):
    """The area has gone: the descriptor that this process has of it, or -1; the caller, in calm, closes it. Others close theirs
    (files_tidy)."""
    generation = arch.load(cython.address(origins[type].generation))
    arch.store_release(cython.address(origins[type].generation), generation + (generation & 1))
    word = arch.load_acquire(cython.address(opened[type]))
    if not generation & 1 or word >> FD_BITS != generation or not arch.cas(cython.address(opened[type]), word, 0):
        return -1  # or the service thread was faster (files_close)
    file_untell(type, generation)
    return fd_of(word)


def file_here(type):
    """This process's descriptor of an area that is on, or a negative errno. -1 is no row: the tables were taken out of the area."""
    if arch.rarely(type < 0):
        return -EBADF
    word = arch.load_acquire(cython.address(opened[type]))
    if arch.rarely(word >> FD_BITS != arch.load(cython.address(origins[type].generation))):
        return file_open_late(type)
    return fd_of(word)


def file_open_late(type):
    """May block. Another member switched it on: opens the file of one who has it open."""
    generation = arch.load_acquire(cython.address(origins[type].generation))
    files_close()
    for member in range(MEMBERS):
        holder = cython.address(holders[member * FILE_ROWS + type])
        if arch.load_acquire(cython.address(holder.generation)) == generation:
            fd = arch.disk_reopen(
                cython.cast(cython.int, arch.load(cython.address(holder.process))),
                cython.cast(cython.int, arch.load(cython.address(holder.fd))),
                origins[type].direct,
            )
            # What the row says may have been two members', or its process another program by now: is it that file?
            right: cython.bint = fd >= 0 and arch.disk_identity(fd) == origins[type].identity
            if right and arch.load(cython.address(origins[type].generation)) == generation:
                if arch.cas(cython.address(opened[type]), 0, word_of(generation, fd)):
                    file_tell(type, generation, fd)  # not file_note(): the area may have gone by now, and the word with it
                    return fd
                arch.close_fd(fd)  # another thread was faster
                word = arch.load_acquire(cython.address(opened[type]))
                return fd_of(word) if word >> FD_BITS == generation else -EBADF
            if fd >= 0:
                arch.close_fd(fd)
    return -EBADF


def file_note(type, generation, fd):
    """This process has it open. What it had open before in that row, and did not come to close, is closed."""
    before = arch.swap(cython.address(opened[type]), word_of(generation, fd))
    if before and before != word_of(generation, fd):
        arch.close_fd(fd_of(before))
    file_tell(type, generation, fd)


def file_tell(type, generation, fd):
    """Where others can find what this process has open."""
    holder = cython.address(holders[own.member * FILE_ROWS + type])
    arch.store(cython.address(holder.process), arch.process())
    arch.store(cython.address(holder.fd), fd)
    arch.store_release(cython.address(holder.generation), generation)


def file_untell(type, generation):
    """What it had open of that generation, and may have told of, it has no longer."""
    arch.cas(cython.address(holders[own.member * FILE_ROWS + type].generation), generation, 0)


def word_of(generation, fd):
    """Both in one word, so that who closes a descriptor knows that it is that area's."""
    return generation << FD_BITS | cython.cast(uint64_t, fd)


def fd_of(word):
    return cython.cast(cython.int, word & ((1 << FD_BITS) - 1))


def file_spread(type):
    """May block, for a fifth of a second at most. The others have opened the file, those who are not stopped: before the area is
    published, so that it does not go with the one who switches it on."""
    generation = arch.load(cython.address(origins[type].generation))
    family_call()
    for member in range(MEMBERS):
        if member == own.member or not family_live(member):
            continue
        tries: cython.int = 0
        while tries < SPREAD_TRIES and arch.load(cython.address(holders[member * FILE_ROWS + type].generation)) != generation:
            arch.nap_us(2000)
            tries += 1


def file_gather(type, gone):
    """May block, for a fifth of a second at most: until the others, but those who are stopped, have closed the file of an area that has gone,
    and with that its lock. ``gone`` is its generation."""
    tries: cython.int = 0
    for member in range(MEMBERS):
        while tries < SPREAD_TRIES and member != own.member and file_held(member, type, gone):
            arch.nap_us(2000)
            tries += 1


def file_held(member, type, gone):
    """Has a living member a file of that row open that is of this generation or an earlier one?"""
    generation = arch.load(cython.address(holders[member * FILE_ROWS + type].generation))
    return generation != 0 and generation <= gone and family_live(member)


def files_settled():
    """Has everybody closed what is no area's any more?"""
    for type in range(FILE_ROWS):
        now = arch.load(cython.address(origins[type].generation))
        for member in range(MEMBERS):
            if now and file_held(member, type, now if not now & 1 else now - 1):
                return False
    return True


def files_forked():
    """In a child of fork: what it inherited is its own now, of areas that are on as of those that have gone."""
    arch.disk_forked()
    for type in range(FILE_ROWS):
        word = arch.load(cython.address(opened[type]))
        arch.store(cython.address(holders[own.member * FILE_ROWS + type].generation), 0)
        if word:
            file_tell(type, word >> FD_BITS, fd_of(word))


def files_tidy():
    """May block. Opens the files of areas that others switched on and closes those of areas that have gone. For the service thread, in
    calm."""
    files_close()
    for type in range(FILE_ROWS):
        generation = arch.load_acquire(cython.address(origins[type].generation))
        if generation & 1 and arch.load(cython.address(opened[type])) == 0:
            file_open_late(type)


def files_all():
    """May block. Opens the files of all areas that are on, for a process that joins; False: one cannot be had."""
    there: cython.bint = True
    for type in range(FILE_ROWS):
        if arch.load_acquire(cython.address(origins[type].generation)) & 1 and file_here(type) < 0:
            # The area may have gone off meanwhile.
            there = there and not arch.load_acquire(cython.address(origins[type].generation)) & 1
    return there


def files_lock():
    """Who cleans up after a member locks what is not locked any more: the lock went with that one's open file where this process had to open
    the file anew."""
    for type in range(FILE_ROWS):
        word = arch.load_acquire(cython.address(opened[type]))
        if word and word >> FD_BITS == arch.load(cython.address(origins[type].generation)):
            arch.disk_lock(fd_of(word))


def files_close():
    """Closes what is no area's any more: nobody reads or writes there, since no slot of it is left."""
    for type in range(FILE_ROWS):
        word = arch.load_acquire(cython.address(opened[type]))
        stale: cython.bint = word and word >> FD_BITS != arch.load(cython.address(origins[type].generation))
        if stale and arch.cas(cython.address(opened[type]), word, 0):
            arch.close_fd(fd_of(word))
            file_untell(type, word >> FD_BITS)
