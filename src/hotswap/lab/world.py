"""What a scenario acts on: a small engine with areas and address spaces, and what must be true of them at the end.

``World(...)`` loads a stepping twin with small constants; ``area()`` and ``space()`` set up; ``user_read``, ``user_write`` and
``swapoff`` are actors' calls beside the engine's own functions. Calls of engine functions while setting up, and in a check, go through
``alone()``. Who faults serves its fault on its own CPU, as a handler does for it while it waits.

``audit()`` is the list of DESIGN.md section 3 as far as it holds at rest: counts are the number of references, nothing is leaked, locks are
free, the limit is kept.
"""

from collections import Counter

from . import twin
from .findings import AccessDenied, BusError, UnservedFault, WrongEnd
from .memory import freed, name_of
from .mmu import PAGE
from .steps import Fault
from .watch import newest

SMALL = {
    "THREADS": 3, "AREAS": 3, "CLUSTER_SLOTS": 16, "ORDERS": 3, "BUCKETS": 4, "MMS": 2, "VMAS": 4, "HANDLERS": 1, "AHEADERS": 1,
    "STREAMS": 1, "STRIDES": 1, "REQUESTS": 4, "ARENA_BITS": 6, "ARENA_LEAST": 4, "FRAMES_LEAST": 4, "FOLIOS_LEAST": 4, "STAGING_MOST": 64,
    "EMPTIERS": 1, "COPY_PAGES": 4, "BOUNCE_PAGES": 4, "FOUND": 8, "CLAIM": 8, "AROUND_PAGES": 4, "WATCH_NS": 0, "WIDEST": 4, "AHEAD_READ": 2, "BATCH": 4,
    "BATCH_PAGES": 4, "BARREN_ROUNDS": 2, "AGED": 4, "LARGEST": 4, "PARTS": 4,
    "LARGEST_ORDER": 2, "MIDDLE_ORDER": 1, "STAGING_LEAST": 16, "PAGE_SHARE": 2, "PROFILED": 0, "MEMBERS": 1,
}  # fmt: skip
TRIES = 20  # faults of one access


class Space:
    """An address space with one array in it, at page ``start``; or a shared object, which has nothing but that."""

    def __init__(self, world: "World", index: int, pages: int, order: int, start: int):
        self.world = world
        self.index = index
        self.mm = world.twin.mm.mm_at(index)
        self.order = order
        self.start = start
        self.base = newest(self.mm, "arena") + self.start * PAGE
        self.pages = pages

    def address(self, page: int) -> int:
        return self.base + page * PAGE

    def pte(self, page: int) -> int:
        """What the entry of a page of the array says."""
        return self.world.twin.mm.mms[self.index].ptes[self.start + page].state.v


class World:
    """``guard`` by its name in the engine; ``patches`` are switches' (scenario/switches.py); ``constants`` go over SMALL."""

    def __init__(self, guard: str = "percpu_ref", model: str = "sc", patches: tuple = (), **constants: int):
        self.twin = twin.load(stepping=True, model=model, patches=patches, **{**SMALL, **constants})
        self.seam = self.twin.seam
        self.seam.inline = frozenset({"hotswap-off"})
        self.guard = guard
        contract = self.twin.guard.contract
        number = getattr(contract, f"GUARD_{guard.upper()}", None)
        if number is None or self.alone(contract.choose_guard(number)) < 0:
            raise ValueError(f"the engine has no guard {guard!r}")
        self.areas: list[int] = []
        self.spaces: list[Space] = []
        self.tables = 0

    def alone(self, running):
        return self.twin.alone(running)

    # Setting up

    def area(self, slots: int = 16, priority: int = 0) -> int:
        """An area that is on; its type."""
        swapon = self.twin.swapon
        type = self.alone(swapon.area_setup(self.seam.disk_file(slots * PAGE), slots, priority))
        self.alone(swapon.area_publish(type))
        self.areas.append(type)
        return type

    def packing(self, slots: int = 16, priority: int = 0, front: bool = True) -> int:
        """An area in compressed RAM, or with that in front of its file; its type. Whoever writes back is an actor, or nobody."""
        swapon = self.twin.swapon
        fd = self.seam.disk_file(slots * PAGE) if front else self.twin.store.ram.IN_RAM
        type = self.alone(swapon.area_setup(fd, slots, priority))
        if front:
            self.alone(swapon.area_front(type, slots))
        self.alone(swapon.area_publish(type))
        self.areas.append(type)
        return type

    def space(self, pages: int, limit: int = 0, order: int = 0) -> Space:
        """An address space with an array of ``pages`` pages; ``limit`` in pages besides what it needs at least. ``order`` of its folios,
        or sizes.ADAPTIVE."""
        mmap = self.twin.mmap
        index = self.alone(mmap.mm_create(self.twin.sizes.least_limit(order) + limit, order, 0, False))
        start = self.alone(mmap.mm_map(index, pages, order if order >= 0 else self.twin.sizes.LARGEST_ORDER))
        self.spaces.append(Space(self, index, pages, order, start))
        return self.spaces[-1]

    def shared(self, pages: int, limit: int = 0, order: int = 0) -> Space:
        """A shared object of ``pages`` pages, which nobody has attached yet; ``limit`` as of a space."""
        least = self.twin.sizes.least_limit(order)
        index = self.alone(self.twin.attach.shm_create(pages, least + limit, order, self.seam.features))
        self.spaces.append(Space(self, index, pages, order, 0))
        return self.spaces[-1]

    def view(self, shared: Space) -> Space:
        """A new address space whose array is the shared object."""
        mmap = self.twin.mmap
        index = self.alone(mmap.mm_create(self.twin.sizes.least_limit(shared.order), shared.order, 0, False))
        start = self.alone(self.twin.attach.mm_attach(index, shared.index))
        self.spaces.append(Space(self, index, shared.pages, shared.order, start))
        return self.spaces[-1]

    def child(self, parent: Space, limit: int = 0) -> Space:
        """An address space that is empty as yet, and where the parent's array will be after ``fork``."""
        mmap = self.twin.mmap
        index = self.alone(mmap.mm_create(self.twin.sizes.least_limit(parent.order) + limit, parent.order, 0, False))
        self.spaces.append(Space(self, index, parent.pages, parent.order, parent.start))
        return self.spaces[-1]

    def fork(self, parent: Space, child: Space):
        return (yield from self.twin.fork.mm_dup(parent.index, child.index))

    def fill(self, space: Space, pages: range | None = None) -> None:
        """Each page of the array gets bytes of its own (``stamp``)."""
        for page in pages or range(space.pages):
            self.alone(self.user_write(space, page, stamp(page)))

    def evict(self, space: Space, pages: int) -> None:
        """So many pages leave memory, oldest first; what frames keep of them in the swap cache goes, too."""
        left = pages
        while left > 0 and (out := self.alone(self.twin.reclaim.shrink(space.mm, left, True))):
            left -= out
        self.alone(self.twin.cache.cache_sweep(space.mm, self.twin.cache.EVERY_AREA))

    def late_readahead(self, space: Space, page: int = 0) -> None:
        """What read_window() does with an entry that it read just before the page came in: a frame of the cache has its slot too."""
        mm, cache, area, entry = space.mm, self.twin.cache, self.twin.area, self.twin.entry
        out = space.pte(page) >> self.twin.mm.PTE_ENTRY_SHIFT
        frame = self.alone(self.twin.frames.frame_take(mm, False, 0))
        failed = self.alone(cache.cache_reserve(mm, out, 1, frame))
        at = area.area_at(entry.entry_type(out))
        failed = failed or self.alone(
            area.area_read(at, [self.twin.frames.frame_address(mm, frame)], 1, 1, entry.entry_offset(out))
        )
        assert not failed
        self.alone(cache.cache_settle(mm, frame, True))

    def ready(self) -> None:
        """Set-up is over; a schedule begins here."""
        self.twin.checkpoint()
        self.tables = self.seam.tables

    # Actors

    def user_read(self, space: Space, page: int, length: int = 8):
        return (yield from self.access(space, "user_read", space.address(page), length))

    def user_write(self, space: Space, page: int, data: bytes):
        return (yield from self.access(space, "user_write", space.address(page), data))

    def access(self, space: Space, kind: str, address: int, what):
        """One access of the program. It faults until the page is there, and its fault is served meanwhile."""
        for _ in range(TRIES):
            result = yield kind, address, what
            if not isinstance(result, Fault):
                return result
            yield from self.twin.fault.serve(space.mm, address, result.flags)
        raise UnservedFault(f"fault at {address:#x}: served {TRIES} times and still not there")

    def swapoff(self, type: int):
        """What control.swapoff() has the engine do; the emptying itself runs on this CPU, not on a thread of its own."""
        swapoff = self.twin.swapoff
        if (yield from swapoff.swapoff_start(type)):
            return False
        yield from swapoff.swapoff_main(type)
        if self.state_of(type) == swapoff.OFF_DONE:
            yield from self.twin.store.file.file_off(type)
            yield from self.twin.area.area_release_row(type)
            return True
        return False

    def swapon(self, slots: int, priority: int = 0):
        """What control.swapon() has the engine do, with a file of its own."""
        type = yield from self.twin.swapon.area_setup(self.seam.disk_file(slots * PAGE), slots, priority)
        yield from self.twin.swapon.area_publish(type)
        return type

    def reclaim(self, space: Space, pages: int):
        """One round of reclaim, as the thread in the background makes it."""
        return self.outside(self.twin.reclaim.shrink(space.mm, pages, True), space)

    def outside(self, running, space: Space | None = None):
        """A call of somebody who holds no mmap lock, and says for which address space he works or that it is none: ``mmlist`` wants it."""
        contract = self.twin.guard.contract
        index = space.index if space else contract.NO_MM
        used = yield from contract.guard_use_mm(index)
        result = yield from running
        yield from contract.guard_unuse_mm(index, used)
        return result

    def count(self, entry: int):
        """swap_count() of an entry that somebody read long ago, without its lock."""
        return self.outside(self.twin.swap_map.swap_count(entry))

    def state_of(self, type: int) -> int:
        return self.twin.swapoff.emptyings[type].state.v

    # The end

    def expect_bytes(self, space: Space, pages: dict[int, bytes] | None = None) -> None:
        """A page reads as what was last written there: its stamp, or what ``pages`` says."""
        for page in range(space.pages):
            want = (pages or {}).get(page, stamp(page))
            try:
                got = self.alone(self.user_read(space, page, len(want)))
            except (BusError, AccessDenied) as error:
                raise WrongEnd(f"page {page} of the array is lost: {error}") from None
            if got != want:
                raise WrongEnd(f"page {page} of the array reads {got!r}, and {want!r} was written")

    def expect_off(self, type: int) -> None:
        """A swapoff has ended well and nothing of the area is left."""
        area = self.twin.area.objects[type]
        if self.state_of(type) != self.twin.swapoff.OFF_DONE or area.flags.v or area.inuse.v:
            raise WrongEnd(
                f"area {type} is not off: state {self.state_of(type)}, flags {area.flags.v}, {area.inuse.v} slots in use"
            )

    def audit(self) -> None:
        """Counts, leaks, locks and limits, of everything."""
        for thing, held in self.locks():
            if held:
                raise WrongEnd(f"{thing} is held at the end, by {held}")
        references, resident = self.references()
        for space in self.spaces:
            self.audit_folios(space)
            held = resident[space.index] + (space.mm.packed.v + 63 >> 6)  # compressed RAM counts too
            if newest(space.mm, "vma_count") and space.mm.resident.v != held:
                raise WrongEnd(f"space {space.index} counts {space.mm.resident.v} pages in memory and has {held}")
            if space.mm.resident.v > space.mm.budget.v:
                raise WrongEnd(f"space {space.index} has {space.mm.resident.v} pages in memory and may have {space.mm.budget.v}")
        cached = self.cached()
        for type in range(self.twin.entry.AREAS):
            self.audit_area(type, references, cached)

    def audit_folios(self, space: Space) -> None:
        """Every folio is all of its pages, and every tail is of one."""
        mm, tails = self.twin.mm, {}
        ptes = newest(space.mm, "ptes")
        entries = {page: pte.state.v for page, pte in ptes.items.items()} if ptes and not freed(ptes) else {}
        for page, state in entries.items():
            order = state >> mm.PTE_ORDER_SHIFT & 15
            if state & mm.PTE_KIND != mm.PTE_TAIL:
                tails.update((page + n, order) for n in range(1, 1 << order))
        for page, state in entries.items():
            said = state >> mm.PTE_ORDER_SHIFT & 15 if state & mm.PTE_KIND == mm.PTE_TAIL else None
            if said != tails.pop(page, None):
                raise WrongEnd(f"page {page} of space {space.index} is not in one folio: its entry says {state:#x}")
        if tails:
            raise WrongEnd(f"pages {sorted(tails)} of space {space.index} are of folios, and their entries say nothing")

    def audit_area(self, type: int, references: Counter, cached: Counter) -> None:
        area, swap_map = self.twin.area.objects[type], self.twin.swap_map
        table = newest(area, "map")
        if not table:
            for kept, how in ((references, "referred to"), (cached, "held by a frame")):
                stale = [slot for off, slot in kept if off == type]
                if stale:
                    raise WrongEnd(f"area {type} is off and slot {stale[0]} of it is still {how}")
            return
        if freed(table):
            raise WrongEnd(f"area {type} still has its map, {name_of(table)}")
        used = 0
        for slot in range(1, newest(area, "slots")):
            byte = table.items.get(slot, 0)
            if byte == swap_map.SWAP_MAP_BAD:
                continue
            used += byte != 0
            count, cache = self.counted(area, slot, byte), bool(byte & swap_map.SWAP_HAS_CACHE)
            if count != references[type, slot]:
                raise WrongEnd(f"slot {slot} of area {type} counts {count} references and has {references[type, slot]}")
            if cache != bool(cached[type, slot]):
                says = "says that the cache has it" if cache else "does not say so"
                raise WrongEnd(f"slot {slot} of area {type} is held by {cached[type, slot]} frames and {says}")
        if area.inuse.v != used:
            raise WrongEnd(f"area {type} says that {area.inuse.v} slots are in use, and {used} are")

    def counted(self, area, slot: int, byte: int) -> int:
        """A slot's count, what stands in its continuation included."""
        swap_map, size = self.twin.swap_map, self.twin.area.CLUSTER_SLOTS
        extra = newest(newest(area, "clusters").items[slot // size], "extra") if byte & swap_map.COUNT_CONTINUED else None
        return (byte & swap_map.SWAP_MAP_BAD) + (extra.items.get(slot % size, 0) if extra else 0)

    def references(self) -> tuple[Counter, Counter]:
        """How many entries refer to each (type, slot); how many pages of each space are in memory."""
        mm_module, entry_module = self.twin.mm, self.twin.entry
        references: Counter = Counter()
        resident: Counter = Counter()
        for space in self.spaces:
            ptes = newest(space.mm, "ptes")
            for pte in ptes.items.values() if ptes and not freed(ptes) else ():
                state = pte.state.v
                kind, size = state & mm_module.PTE_KIND, 1 << (state >> mm_module.PTE_ORDER_SHIFT & 15)
                if kind in (mm_module.PTE_CLEAN, mm_module.PTE_DIRTY):
                    resident[space.index] += size
                if kind in (mm_module.PTE_CLEAN, mm_module.PTE_SWAPPED):
                    entry = state >> mm_module.PTE_ENTRY_SHIFT
                    type, slot = entry >> entry_module.TYPE_SHIFT, entry & (1 << entry_module.TYPE_SHIFT) - 1
                    references.update((type, slot + n) for n in range(size))
        return references, resident

    def cached(self) -> Counter:
        """How many frames of the swap cache hold each (type, slot)."""
        mm_module, shift = self.twin.mm, self.twin.entry.TYPE_SHIFT
        found: Counter = Counter()
        for space in self.spaces:
            frames = newest(space.mm, "frames")
            for frame in frames.items.values() if frames and not freed(frames) else ():
                if newest(frame, "state") in (mm_module.FRAME_READING, mm_module.FRAME_STANDBY):
                    entry = newest(frame, "entry")
                    found.update((entry >> shift, (entry & (1 << shift) - 1) + n) for n in range(newest(frame, "slots")))
        return found

    def locks(self):
        """(name, who holds it) of every lock that a schedule could have left."""
        area, mm = self.twin.area, self.twin.mm
        mutexes = [area.active.lock, mm.mmlist.lock, *(row.lock for row in area.areas.items.values())]
        for space in self.spaces:
            mutexes += [space.mm.lru_lock, space.mm.frame_lock, space.mm.request_lock]
            lock = space.mm.mmap_lock
            yield name_of(lock), "" if lock.writer is None and not lock.readers else f"CPUs {[lock.writer, *lock.readers]}"
            ptes = newest(space.mm, "ptes")
            for pte in ptes.items.values() if ptes and not freed(ptes) else ():
                yield name_of(pte.state), "somebody" if pte.state.v & 1 else ""
        for mutex in mutexes:
            yield name_of(mutex), "" if mutex.owner is None else f"CPU {mutex.owner}"


def stamp(page: int) -> bytes:
    return f"page {page:3}".encode()
