"""Fixes that can be left out: each a named change to one function of the engine as it is loaded, its file stays as it is.

A switch says which statement of which function goes, or what stands there instead; a fix in several places is several of one
name. ``a+b`` leaves both out. When a place is not found, because the engine's source has changed, the switch is refused in one sentence.
"""

import ast
from dataclasses import dataclass

from ...errors import HotswapError


class NoSuchSwitch(HotswapError):
    """A switch that does not exist, or whose place in the source does not."""


@dataclass(frozen=True)
class Switch:
    """In ``function`` of the engine's ``module``, the statement that begins with ``statement`` goes; ``instead`` stands there then;
    ``if condition: ...`` and ``while condition: ...`` keep what stood in it.

    Where several begin so, ``nth`` says which (1: the first); 0: there is but one.
    """

    name: str
    module: str
    function: str
    statement: str
    instead: str = "pass"
    nth: int = 0

    def __call__(self, module: str, tree: ast.Module) -> ast.Module:
        """The tree of a module with the change made, if it is this one."""
        if module != f"hotswap.engine.{self.module}":
            return tree
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == self.function:
                change = _Change(self)
                change.found = sum(map(change.meant, ast.walk(node)))
                change.visit(node)
                if not change.made:
                    found = f"is there {change.found} times" if change.found else "is not there"
                    raise NoSuchSwitch(f"switch {self.name!r}: `{self.statement}` {found} in {self.module}.{self.function}().")
                return tree
        raise NoSuchSwitch(f"switch {self.name!r}: the engine has no function {self.module}.{self.function}().")


class _Change(ast.NodeTransformer):
    def __init__(self, switch: Switch):
        self.switch = switch
        self.found = 0
        self.passed = 0
        self.made = False

    def meant(self, node) -> bool:
        statement = isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef)
        return statement and ast.unparse(node).startswith(self.switch.statement)

    def visit(self, node):
        if not self.meant(node):
            return self.generic_visit(node)
        self.passed += 1
        if self.passed != (self.switch.nth or (self.found == 1)):
            return self.generic_visit(node)
        self.made = True
        new = ast.parse(self.switch.instead).body[0]
        for inner in ast.walk(new):
            if hasattr(inner, "lineno"):
                ast.copy_location(inner, node)
        if isinstance(new, ast.If | ast.While) and isinstance(node, ast.If | ast.While) and ast.unparse(new.body[0]) == "...":
            new.body, new.orelse = node.body, node.orelse
        return ast.copy_location(new, node)


_ALL = [
    Switch("no-acquire", "guard.percpu_ref", "enter", "arch.acquire()"),
    Switch("no-bounds", "swap_map", "in_bounds", "return ", "return True"),
    # R26: emptying believes what it noted of an entry without its lock; lets go of the lock for its transfer.
    Switch("hint-believed", "swapoff", "lock_found", "if pte_entry(state) == ", "if True: run.seen = pte_order(state); return True"),
    Switch(
        "unlocked-transfer", "swapoff", "lock_found", "if kind == PTE_SWAPPED:",
        "if kind == PTE_SWAPPED: arch.bit_unlock(cython.address(pte.state), state); return True",
    ),
    Switch(
        "unlocked-transfer", "swapoff", "load", "page = run.pages[number]",
        "if True: page = run.pages[number]; arch.bit_lock(cython.address(mm.ptes[page].state))",
    ),
    # R16, R25: a fault lets go of its entry while it reads; with the second it looks again afterwards.
    Switch(
        "unlocked-read", "fault", "swap_in", "frame = read_entry(",
        "if True:\n"
        "    arch.bit_unlock(cython.address(mm.ptes[page].state), state)\n"
        "    frame = read_entry(mm, entry, order, page)\n"
        "    arch.bit_lock(cython.address(mm.ptes[page].state))",
    ),
    Switch(
        "rechecked-read", "fault", "swap_in", "frame = read_entry(",
        "if True:\n"
        "    arch.bit_unlock(cython.address(mm.ptes[page].state), state)\n"
        "    frame = read_entry(mm, entry, order, page)\n"
        "    arch.bit_lock(cython.address(mm.ptes[page].state))\n"
        "    now = arch.load(cython.address(mm.ptes[page].state))\n"
        "    if now & PTE_KIND != PTE_SWAPPED or pte_entry(now) != entry:\n"
        "        if frame != NO_FRAME:\n"
        "            frame_put(mm, frame, FRAME_READY)\n"
        "        uncharge(mm, cython.cast(uint64_t, 1) << order)\n"
        "        return now",
    ),
    # R19, with "reserve-when-emptying": the cache takes slots that nobody refers to.
    Switch("cache-takes-free-slots", "swap_map", "cache_flag_set", "if value == 0 or ", "if value == SWAP_MAP_BAD: ..."),
    # R20, R24: slots are handed out on an area that is being emptied; it stays on the list of those that take new ones.
    Switch(
        "alloc-when-emptying", "swap_map", "swap_alloc", "if arch.load(cython.address(area.flags)) & SWP_WRITEOK and ",
        "if arch.load(cython.address(area.inuse)) + (1 << order) <= area.usable"
        " and cluster_take(area, order, want, cython.address(run)): ...",
    ),
    Switch("stays-on-the-list", "area", "area_deactivate", "active.count = left"),
    # R20: reclaim believes what an entry said before it was locked.
    Switch(
        "stale-victim", "victims", "isolate", "younger: uint32_t = pte.prev",
        "if True: younger: uint32_t = pte.prev; before = arch.load(cython.address(pte.state))",
    ),
    Switch("stale-victim", "victims", "isolate", "state = arch.load(", "state = before"),
    # R22: a swapoff that fails does not put the area back; keeps its entries locked; moves what it could not read.
    Switch("failed-stays-out", "swapoff", "swapoff_main", "area_activate(type)"),
    Switch("failed-keeps-locks", "swapoff", "empty_run", "for number in range(done, run.count):"),
    Switch("failed-moves-on", "swapoff", "empty_run", "while done < run.count and ", "while done < run.count: ..."),
    # R23: readahead stays in the section in which it took its slots until its transfer is over.
    Switch("section-over-transfer", "cache", "cache_reserve", "guard.exit(type)", "if result != 0: guard.exit(type)"),
    Switch("section-over-transfer", "cache", "cache_add", "guard.exit(type)"),
    Switch(
        "section-over-transfer", "cache", "cache_settle", "arch.mutex_unlock(cython.address(mm.frame_lock))",
        "if True: guard.exit(entry_type(record.entry)); arch.mutex_unlock(cython.address(mm.frame_lock))",
    ),
    Switch(
        "reserve-when-emptying", "cache", "cache_reserve", "if arch.load(cython.address(area.flags))",
        "result = cache_flag_set(area, entry_offset(entry), slots)",
    ),
    # R17: whether the frame is still in the cache is looked at before its lock is taken, by the fault or by swapoff.
    Switch(
        "unlocked-claim", "cache", "standby_claim", "arch.mutex_lock(",
        "if True:\n"
        "    claimed = mm.frames[frame].state == FRAME_STANDBY\n"
        "    arch.mutex_lock(cython.address(mm.frame_lock))",
    ),
    Switch("unlocked-claim", "cache", "standby_claim", "claimed: "),
    Switch(
        "unlocked-sweep", "cache", "cache_sweep", "arch.mutex_lock(",
        "if True:\n"
        "    seen = mm.frames[frame].state\n"
        "    arch.mutex_lock(cython.address(mm.frame_lock))",
    ),
    Switch("unlocked-sweep", "cache", "cache_sweep", "mine: ", "mine = meant and seen == FRAME_STANDBY"),
    # R21: a fault looks a shared object up and pages it in without the object's lock for the folio.
    Switch(
        "object-unlocked", "fault", "serve_view", "state = fault_folio(",
        "if True:\n"
        "    arch.bit_unlock(cython.address(pte.state), arch.load(cython.address(pte.state)))\n"
        "    state = fault_folio(shm, folio, write)\n"
        "    arch.bit_lock(cython.address(pte.state))",
    ),
    # R18: whether a frame may leave the cache is decided before its lock is taken; whether the cache alone has the slots is not looked at again.
    Switch(
        "frame-seen-before", "cache", "standby_drop", "arch.mutex_lock(",
        "if True:\n"
        "    seen = owner.frames[frame].state\n"
        "    arch.mutex_lock(cython.address(owner.frame_lock))",
    ),
    Switch("frame-seen-before", "cache", "standby_drop", "if record.state == ", "if seen == FRAME_STANDBY: ..."),
    Switch("count-believed", "cache", "cache_forget", "if handle and ", "if handle: ..."),
    Switch("no-recheck", "fault", "map_cached", "state = arch.load(", nth=2),
    Switch(
        "bounds-outside", "swap_map", "swap_count", "area: ",
        "if True: inside = in_bounds(area_at(type), offset, 1); area = guard.enter(type)",
    ),
    Switch(
        "bounds-outside", "swap_map", "swap_count", "if in_bounds(",
        "if inside and area.map[offset] & SWAP_MAP_BAD != SWAP_MAP_BAD: count = area.map[offset] & SWAP_MAP_BAD",
    ),
    # R05: what orders a swapon's publication, for each design.
    Switch(
        "publish-first", "swapon", "area_setup", "if map_setup(area)",
        "if True: guard_publish(type, cython.NULL); arch.check(not map_setup(area), b'the lab has memory')",
    ),
    Switch(
        "publish-no-release", "guard.percpu_ref", "resurrect", "arch.store_release",
        "arch.store(cython.address(refs[type].live), REF_LIVE)",
    ),
    Switch("no-grace-period", "guard.rcu", "publish", "synchronize_rcu()"),
    Switch("no-srcu-grace-period", "guard.srcu", "publish", "synchronize_srcu("),
    Switch("no-visit", "guard.mmlist", "publish", "visit_everyone()"),
    Switch("no-stop", "guard.stop_machine", "publish", "stop()"),
    Switch("no-stop", "guard.stop_machine", "publish", "go()"),
    Switch("count-outside", "swap_map", "swap_count", "area: ", "area = area_at(type)"),
    Switch("count-outside", "swap_map", "swap_count", "guard.exit("),
    Switch("continuation-outside", "swap_map", "add_swap_count_continuation", "area: ", "area = area_at(type)"),
    Switch("continuation-outside", "swap_map", "add_swap_count_continuation", "guard.exit("),
    Switch("refusal-unsaid", "swap_map", "add_swap_count_continuation", "result = -ENOMEM"),
    # R08: the flag is read before the section begins; the stop, its end and the way out order nothing.
    Switch(
        "flag-outside", "guard.stop_machine", "enter", "preempt_disable()",
        "if True:\n"
        "    seen = arch.load(cython.address(valid[type]))\n"
        "    preempt_disable()",
    ),
    Switch(
        "flag-outside", "guard.stop_machine", "enter", "if arch.load(",
        "if seen:\n"
        "    return cython.address(areas[type])",
    ),
    Switch("stop-without-barrier", "guard.stopper", "stop", "arch.heavy()"),
    Switch("go-without-barrier", "guard.stopper", "go", "arch.heavy()"),
    Switch(
        "leave-without-release", "guard.stopper", "preempt_enable", "arch.store_release",
        "arch.store(word, arch.load(word) - 1)",
    ),
    # R10: the reference is made anew, or exited and freed, under somebody who tries it.
    Switch(
        "re-init", "guard.percpu_ref", "resurrect", "arch.store_release",
        "if True:\n"
        "    for slot in range(arch.THREADS):\n"
        "        arch.store(cython.address(counts[slot].count[type]), 0)\n"
        "    arch.store_release(cython.address(refs[type].live), REF_LIVE)",
    ),
    # R11: an accessor, or the look at the pointer, outside the section.
    Switch(
        "accessor-outside", "area", "area_figures", "area: cython.pointer(Area) = guard.enter(",
        "area: cython.pointer(Area) = area_at(type)",
    ),
    Switch("accessor-outside", "area", "area_figures", "guard.exit("),
    Switch(
        "look-up-outside", "guard.rcu_pointer", "enter", "current = arch.load_acquire(",
        "if True:\n"
        "    current = arch.load_acquire(cython.address(slots[type].current))\n"
        "    rcu_read_unlock()\n"
        "    rcu_read_lock()",
    ),
    Switch(
        "exit", "guard.percpu_ref", "retire", "if detach:",
        "if True:\n"
        "    detach(type)\n"
        "    arch.table_free(counts, True)",
    ),
    Switch(
        "exit", "guard.percpu_ref", "publish", "refs[type].area = area_at(type)",
        "if True:\n"
        "    global counts\n"
        "    counts = cython.cast(cython.pointer(Counts), arch.table(arch.THREADS, cython.sizeof(Counts)))\n"
        "    refs[type].area = area_at(type)",
    ),
    # R12: the guard is left before the last look at the map.
    Switch(
        "free-swap-unguarded", "cache", "cache_forget", "if not area:",
        "if True:\n"
        "    if area:\n"
        "        guard.exit(type)\n"
        "        arch.mutex_lock(cython.address(area.lock))\n"
        "        handle = index_find(area, entry)\n"
        "        if handle and cached_only(area, entry_offset(entry)):\n"
        "            standby_drop(area, mm_at((handle >> HANDLE_SHIFT) - 1), handle & ((1 << HANDLE_SHIFT) - 1))\n"
        "        arch.mutex_unlock(cython.address(area.lock))\n"
        "    return",
    ),
    # R15, R14: an mm leaves the mmlist before its entries go; a child joins it when it has them.
    Switch("gone-first", "fork", "mm_exit", "mm = mm_at(index)", "if True: mm = mm_at(index); mm.gone = True"),
    Switch("child-unlisted", "fork", "mm_dup", "child = mm_at(", "if True: child = mm_at(child_index); child.gone = True"),
]  # fmt: skip
SWITCHES: dict[str, list[Switch]] = {}
for _switch in _ALL:
    SWITCHES.setdefault(_switch.name, []).append(_switch)


def named(names: str) -> tuple[Switch, ...]:
    """All that a name stands for, or several joined by +; nothing for ""."""
    found: list[Switch] = []
    for name in names.split("+") if names else ():
        if name not in SWITCHES:
            raise NoSuchSwitch(f"there is no switch {name!r}; there are {', '.join(SWITCHES)}.")
        found += SWITCHES[name]
    return tuple(found)
