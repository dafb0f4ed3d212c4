"""The twin of mmu.h: pages by address, as userfaultfd over private anonymous ranges shows them to an unprivileged process.

Longer than 400 lines: it is the whole of one header.

A page is there or missing; one that is there can be write-protected; a place can be poisoned. Touching what is missing in a
range that was registered for it, or writing to what is protected, is a fault: it goes to ``on_fault(address, flags)``,
over and over until the access can be made, and raises UnservedFault where nobody listens. Elsewhere missing pages read as
zeros. Moved pages lose their protection, holes are moved as holes, a page in the way is EEXIST and nothing moves.

The memory of a shared object is where the engine maps it for itself; elsewhere a mapped page only says which one of those it
shows. Taking memory from the object takes it from whoever has it mapped, as in the kernel.

What is in memory changes only in ``page_at``, ``put_page`` and ``forbid``: pages themselves never change, a write makes a new one.
So a stepping twin, which notes and undoes, has three places to do it.
"""

import errno
from typing import NamedTuple

from .findings import AccessDenied, BusError, UnservedFault
from .kinds import INTEGERS, Pointer, StructKind

PAGE = 4096
FIRST = 0x7000_0000_0000
HELD, HOLDS = 1 << 56, 1 << 57  # no addresses: pages that a pipe holds, and where it says so of an object's page
TRIES = 1000  # faults in a row for one access: then whoever serves them does nothing


class Page(NamedTuple):
    data: bytes = bytes(PAGE)
    protected: bool = False
    poisoned: bool = False
    shows: int = 0  # the place of an object's page that is mapped here


def pages_of(address, length):
    return range(address, address + length, PAGE)


class Mmu:
    """Half of the seam: the other gives ``on_access``, ``on_block`` and ``injected``."""

    fault_call = Pointer("fault_call")
    keep = StructKind("keep", {"stopper": INTEGERS["int"]})
    fault_info = StructKind("fault_info", {"address": INTEGERS["uint64_t"], "flags": INTEGERS["int"]})

    def __init__(self):
        super().__init__()
        self.pages: dict[int, Page] = {}
        self.reserved: dict[int, int] = {}  # address: bytes
        self.registered: list[tuple[int, int]] = []  # from, to: missing pages are faults
        self.forbidden: set[int] = set()
        self.next_address = FIRST
        self.next_descriptor = 3
        self.faults: list[tuple[int, int]] = []  # that wait for mmu_next()
        self.stopped: set[int] = set()
        self.waiters: dict[int, int] = {}  # waiter: stopper
        self.features = 7 | 32 | 64  # MMU_WP | MMU_MOVE | MMU_POISON | MMU_SHARED | MMU_SHARED_WP
        self.objects: dict[int, tuple[int, int]] = {}  # descriptor: address and bytes of the engine's own mapping
        self.views: list[tuple[int, int, int]] = []  # from, to, descriptor
        self.kernel_faults = True
        self.on_fault = self.unserved

    def unserved(self, address, flags):
        raise UnservedFault(f"fault at {address:#x}, flags {flags}")

    def new_fd(self):
        self.next_descriptor += 1
        return self.next_descriptor

    # Memory

    def page_at(self, place):
        """The page there, or None."""
        return self.pages.get(place)

    def put_page(self, place, page):
        """What is there from now on; None: nothing."""
        if page is None:
            self.pages.pop(place, None)
        else:
            self.pages[place] = page

    def is_forbidden(self, place):
        return place in self.forbidden

    def forbid(self, place, forbidden):
        (self.forbidden.add if forbidden else self.forbidden.discard)(place)

    def next_range(self, bytes):
        """A gap after each range: overruns hit nothing."""
        address = self.next_address
        self.next_address += (bytes + PAGE - 1) // PAGE * PAGE + (1 << 30)
        return address

    def reserve(self, bytes):
        if self.injected("reserve"):
            return 0
        address = self.next_range(bytes)
        self.reserved[address] = bytes
        return address

    def release(self, address, bytes):
        self.on_access("release", address, bytes)
        if self.reserved.pop(address, None) != bytes:
            raise AccessDenied(f"release of {address:#x}+{bytes:#x}, which was not reserved so")
        self.registered = [r for r in self.registered if not address <= r[0] < address + bytes]
        for place in [p for p in self.pages if address <= p < address + bytes]:
            self.put_page(place, None)

    table_room = reserve
    table_room_free = release

    def table_punch(self, address, bytes):
        self.on_access("table_punch", address, bytes)
        for place in pages_of(address, bytes):
            self.put_page(place, None)

    def page_for(self, address, write):
        """Where the page of an access is, and the page, after the faults it takes."""
        for _ in range(TRIES):
            place = address // PAGE * PAGE
            if self.is_forbidden(place) or not any(a <= place < a + n for a, n in self.reserved.items()):
                raise AccessDenied(f"access to {address:#x}")
            page = self.page_at(place)
            if page is None and not any(a <= place < b for a, b in self.registered):
                page = Page()
                self.put_page(place, page)
            if page is None:
                self.on_fault(address, self.FAULT_WRITE if write else 0)
            elif page.poisoned:
                raise BusError(f"access to {address:#x}")
            elif write and page.protected:
                self.on_fault(address, self.FAULT_WRITE | self.FAULT_PROTECTED)
            else:
                return (page.shows, self.page_at(page.shows)) if page.shows else (place, page)
        raise UnservedFault(f"fault at {address:#x}: served {TRIES} times and still not there")

    def read_memory(self, address, length):
        found = bytearray()
        while length:
            at = address % PAGE
            n = min(length, PAGE - at)
            found += self.page_for(address, False)[1].data[at : at + n]
            address, length = address + n, length - n
        return bytes(found)

    def write_memory(self, address, data):
        while data:
            at = address % PAGE
            n = min(len(data), PAGE - at)
            place, page = self.page_for(address, True)
            self.put_page(place, Page(page.data[:at] + bytes(data[:n]) + page.data[at + n :]))
            address, data = address + n, data[n:]

    def same_filled(self, address, bytes):
        data = self.read_memory(address, bytes)
        return data == data[:8] * (bytes // 8)

    def first_word(self, address):
        return int.from_bytes(self.read_memory(address, 8), "little")

    def fill(self, address, bytes, value):
        self.write_memory(address, value.to_bytes(8, "little") * (bytes // 8))

    def copy(self, to, source, bytes):
        self.on_access("copy", to, source, bytes)
        self.write_memory(to, self.read_memory(source, bytes))

    def touch(self, address, bytes):
        for place in pages_of(address, bytes):
            self.on_access("touch", place)
            self.page_for(place, False)

    # userfaultfd

    def mmu_open(self):
        return self.injected("mmu_open") or self.new_fd()

    def mmu_kernel_faults(self):
        return self.kernel_faults

    def mmu_handshake(self, fd, refuse, signal):
        return self.injected("mmu_handshake") or (self.features & ~refuse) | (self.MMU_SIGBUS if signal else 0)

    def child_setup(self, before, after, begins):
        return 0  # nobody forks the lab

    def pipe_open(self, ends):
        return -errno.EMFILE

    def pipe_tell(self, end, what):
        pass

    def pipe_hear(self, end):
        return -1

    def inherit(self, address, bytes, inherited):
        pass

    def blank(self, address, bytes):
        return 0

    def child_bar(self, address, bytes):
        pass

    def child_tell(self, ours):
        pass

    def signal_known(self):
        return True

    def signal_setup(self, call):
        """Who serves a fault is for the lab to say (``on_fault``), here as with handler threads."""
        self.signal_call = call
        return 0

    def mmu_register(self, fd, address, bytes, missing):
        if error := self.injected("mmu_register"):
            return error
        if missing:
            self.registered.append((address, address + bytes))
        return 0

    def mmu_next(self, fd, fault):
        self.on_access("mmu_next", fd)
        if not self.faults:
            return 0
        fault.address, fault.flags = self.faults.pop(0)
        return 1

    def stopper(self):
        return self.new_fd()

    def stopper_set(self, fd):
        self.on_access("stopper_set", fd)
        self.stopped.add(fd)

    def mmu_waiter(self, fd, stopper):
        waiter = self.new_fd()
        self.waiters[waiter] = stopper
        return waiter

    def mmu_wait(self, waiter, fd, fault):
        self.on_access("mmu_wait", waiter)
        while not self.faults and self.waiters[waiter] not in self.stopped:
            self.on_block("mmu_wait", waiter)
        return self.mmu_next(fd, fault)

    def mmu_poll(self, fd, stopper):
        while not self.faults and stopper not in self.stopped:
            self.on_block("mmu_poll", fd)

    def mmu_watch(self, waiter, fd, fault, ns):
        """The time that it may take is none here: it looks once."""
        return self.mmu_next(fd, fault)

    def is_open(self, fd):
        return True

    def keep_begin(self, keep, fd, stopper):
        """Nobody closes a descriptor that is not his own here."""
        keep.stopper = stopper
        return 0

    def keep_stop(self, keep):
        if keep.stopper:
            self.stopper_set(keep.stopper)

    def keep_end(self, keep):
        keep.stopper = 0

    def keep_forked(self, keep):
        keep.stopper = 0

    def keep_closed(self, keep):
        raise AssertionError("a descriptor is closed")

    def mmu_wake(self, fd, address, bytes):
        self.on_access("mmu_wake", address, bytes)
        return 0

    def mmu_zero(self, fd, address, bytes):
        self.on_access("mmu_zero", address, bytes)
        if error := self.injected("mmu_zero"):
            return error
        for place in pages_of(address, bytes):
            if not self.page_at(place):
                self.put_page(place, Page())
        return 0

    def mmu_copy(self, fd, to, source, bytes, protect):
        """Stops at the first page in the way; those before it stay, as in the kernel."""
        self.on_access("mmu_copy", to, source, bytes, protect)
        if error := self.injected("mmu_copy"):
            return error
        for done in range(0, bytes, PAGE):
            if self.page_at(to + done):
                return -errno.EEXIST
            self.put_page(to + done, Page(self.read_memory(source + done, PAGE), bool(protect)))
        return 0

    def mmu_move(self, fd, to, source, bytes):
        self.on_access("mmu_move", to, source, bytes)
        if error := self.injected("mmu_move"):
            return error
        offsets = range(0, bytes, PAGE)
        if any(self.page_at(to + n) for n in offsets):
            return -errno.EEXIST
        for n in offsets:
            if page := self.page_at(source + n):
                self.put_page(source + n, None)
                self.put_page(to + n, page._replace(protected=False))
        return 0

    def mmu_protect(self, fd, address, bytes, protect):
        """Of the pages that are there; missing ones take no protection."""
        self.on_access("mmu_protect", address, bytes, protect)
        for place in pages_of(address, bytes):
            if page := self.page_at(place):
                self.put_page(place, page._replace(protected=bool(protect)))
        return self.injected("mmu_protect")

    def mmu_drop(self, address, bytes):
        self.on_access("mmu_drop", address, bytes)
        for place in pages_of(address, bytes):
            self.put_page(place, None)
        return 0

    def mmu_populate(self, address, bytes):
        self.on_access("mmu_populate", address, bytes)
        if error := self.injected("mmu_populate"):
            return error
        for place in pages_of(address, bytes):
            self.page_for(place, True)
        return 0

    def huge(self, address, bytes):
        """Pages are what they are here."""

    # Shared objects

    def shm_open(self, bytes):
        fd = self.injected("shm_open") or self.new_fd()
        if fd > 0:
            self.objects[fd] = (0, bytes)
        return fd

    def shm_map(self, shm, bytes):
        address = self.reserve(bytes)
        self.objects[shm] = (address, bytes)
        return address

    def shm_attach(self, fd, shm, address, bytes, protects):
        if error := self.injected("shm_attach"):
            return error
        for place in pages_of(address, bytes):
            self.put_page(place, None)
        self.views.append((address, address + bytes, shm))
        return 0

    def shm_detach(self, fd, address, bytes):
        for place in pages_of(address, bytes):
            self.put_page(place, None)
        self.views = [view for view in self.views if view[0] != address]
        return 0

    def shm_pipe(self, ends):
        if error := self.injected("shm_pipe"):
            return error
        ends[0] = ends[1] = self.new_fd()
        return 1 << 20

    def shm_hold(self, shm, end, offset, bytes):
        """The pages themselves, which others may write until they are out of the object: the pipe has the places where they are kept."""
        self.on_access("shm_hold", shm, end, offset, bytes)
        memory, _ = self.objects[shm]
        for page in pages_of(offset, bytes):
            kept = HELD + (end << 32) + page - offset
            self.put_page(kept, self.page_at(memory + page) or Page())
            self.put_page(HOLDS + memory + page, Page(shows=kept))
        return bytes

    def shm_held(self, end, to, bytes):
        self.on_access("shm_held", end, to, bytes)
        for done in range(0, bytes, PAGE):
            kept = HELD + (end << 32) + done
            self.write_memory(to + done, self.page_at(kept).data)
            self.put_page(kept, None)
        return 0

    def shm_holds(self, end):
        held = 0
        while self.page_at(HELD + (end << 32) + held):
            held += PAGE
        return held

    def shm_has(self, shm, offset):
        return self.page_at(self.objects[shm][0] + offset) is not None

    def shm_punch(self, shm, offset, bytes):
        """Nobody has those pages mapped afterwards; a pipe that holds them has what was written to them up to now."""
        self.on_access("shm_punch", shm, offset, bytes)
        memory, _ = self.objects[shm]
        for page in pages_of(offset, bytes):
            if holds := self.page_at(HOLDS + memory + page):
                self.put_page(HOLDS + memory + page, None)
                if self.page_at(holds.shows) and (last := self.page_at(memory + page)):
                    self.put_page(holds.shows, last)
            self.put_page(memory + page, None)
            for start, end, of in self.views:
                if of == shm and start + page < end and self.page_at(start + page):
                    self.put_page(start + page, None)
        return 0

    def mmu_continue(self, fd, address, bytes, protect):
        self.on_access("mmu_continue", address, bytes, protect)
        start, _, shm = next(view for view in self.views if view[0] <= address < view[1])
        memory, _ = self.objects[shm]
        for place in pages_of(address, bytes):
            shown = memory + place - start
            if not self.page_at(shown):
                return -errno.EFAULT
            if not self.page_at(place):
                self.put_page(place, Page(protected=bool(protect), shows=shown))
        return 0

    def mmu_poison(self, fd, address, bytes):
        self.on_access("mmu_poison", address, bytes)
        if not self.features & self.MMU_POISON:
            return -errno.ENOSYS
        for place in pages_of(address, bytes):
            if self.page_at(place):
                return -errno.EEXIST
            self.put_page(place, Page(poisoned=True))
        return 0

    def mmu_forbid(self, address, bytes):
        self.on_access("mmu_forbid", address, bytes)
        for place in pages_of(address, bytes):
            self.forbid(place, True)
        return 0

    def mmu_allow(self, address, bytes):
        self.on_access("mmu_allow", address, bytes)
        for place in pages_of(address, bytes):
            self.forbid(place, False)
        return 0


class User:
    """The program whose memory is paged: its reads and writes, byte by byte as it sees them."""

    def __init__(self, seam, on_fault=None):
        self.seam = seam
        if on_fault:
            seam.on_fault = on_fault

    def read(self, address, length):
        self.seam.on_access("user_read", address, length)
        return self.seam.read_memory(address, length)

    def write(self, address, data):
        self.seam.on_access("user_write", address, data)
        self.seam.write_memory(address, data)
