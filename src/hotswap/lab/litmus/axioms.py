"""All outcomes of a litmus test from a memory model's axioms: every candidate execution is built and judged.

A candidate guesses what each load reads, from which store (rf), and the order of the stores to each location (co); fr is the
derived "read before that store". Nothing here is shared with the operational models but the program.

- ``sc``: program order, rf, co and fr have no cycle.
- ``tso``: the same without the order from a store to a later load, unless a locked instruction or a barrier lies between, and with
  rf only between CPUs; and coherence. (Alglave, Maranget and Tautschnig, "Herding cats", TOPLAS 2014.)
- ``weak``: RC11 without SC accesses and with C++20's release sequences (Lahav et al., PLDI 2017): coherence, atomicity, the order of
  full barriers (psc), and no cycle of program order and rf, which is what rules load buffering out.

``heavy`` is a full barrier on every CPU at one instant: one event in the program order of all, at every place it could have. Locks and
grace periods have no axioms here.
"""

from collections.abc import Generator, Iterable, Sequence
from itertools import permutations, product
from typing import NamedTuple

from .program import Op, Program, running
from .run import ReadState

FULL = ("fence", "heavy")


class Event(NamedTuple):
    number: int
    kind: str  # "R", "W", "U" (both), "fence", "heavy", "acquire"
    place: str = ""
    read: int = 0
    written: int = 0
    acquires: bool = False
    releases: bool = False
    locked: bool = False  # a failed cas: on x86 a barrier all the same

    @property
    def reads(self) -> bool:
        return self.kind in "RU"

    @property
    def writes(self) -> bool:
        return self.kind in "WU"


Way = tuple[list[Event], dict[str, int]]  # a CPU's events if its loads return what was guessed, and its registers
Order = list[int]  # for each event, the set (bits) of those after it


def ends(program: Program, model: str) -> Generator[ReadState, None, None]:
    """The end of every execution that the model's axioms allow."""
    allowed = {"sc": _sc, "tso": _tso, "weak": _weak}[model]
    places = program.places()
    start = [program.start.get(place, 0) for place in places]
    for ways in product(*_all_ways(program)):
        threads, events = _numbered([way[0] for way in ways], len(places))
        first = [Event(n, "W", place, 0, value) for n, (place, value) in enumerate(zip(places, start))]
        everything = first + events
        for co in _coherence_orders(everything, places):
            for rf in _reads_from(everything):
                if not _atomic(everything, rf, co):
                    continue
                for po in _program_orders(threads, len(everything), len(first)):
                    if allowed(Execution(everything, po, rf, co)):
                        memory = {place: everything[order[-1]].written for place, order in co.items()}
                        yield [way[1] for way in ways], memory
                        break


# Candidates


def _all_ways(program: Program) -> list[list[Way]]:
    """Each CPU's possible runs. Loads return what some run of some CPU stores: a fixpoint, as values are stored that were read."""
    domain = {place: {program.start.get(place, 0)} for place in program.places()}
    atomics = sum(op.kind.startswith(("add", "swap", "cas")) for thread in program.threads for op in thread)
    for _ in range(2 + atomics):
        ways = [list(_ways(thread, domain)) for thread in program.threads]
        before = {place: set(values) for place, values in domain.items()}
        for event in (event for runs in ways for events, _registers in runs for event in events if event.writes):
            domain[event.place].add(event.written)
        if domain == before:
            return ways
    return ways  # counters never stop: these rounds give each atomic its turn


def _ways(thread: Sequence[Op], domain: dict[str, set[int]]) -> Generator[Way, None, None]:
    guesses: list[list[int]] = []  # what the loads return; the first is the one under way
    while True:
        registers: dict[str, int] = {}
        events: list[Event] = []
        way = running(thread, registers)
        loads = 0
        answer = None
        while True:
            try:
                op, value, expected = way.send(answer) if answer is not None else next(way)
            except StopIteration:
                break
            answer = 0
            if "load" in op.kind or op.register:
                if loads == len(guesses):
                    guesses.append(sorted(domain[op.place]))
                answer = guesses[loads][0]
                loads += 1
            if event := _event(op, value, expected, answer):
                events.append(event)
        yield events, registers
        while guesses and len(guesses[-1]) == 1:
            guesses.pop()
        if not guesses:
            return
        guesses[-1].pop(0)


def _event(op: Op, value: int, expected: int, read: int) -> Event | None:
    strong = op.kind.endswith("acq_rel")
    match op.kind.removesuffix("_acq_rel"):
        case "light":
            return None
        case "fence" | "heavy" | "acquire":
            return Event(0, op.kind)
        case "load" | "plain_load" | "load_acquire":
            return Event(0, "R", op.place, read, acquires=op.kind == "load_acquire")
        case "store" | "plain_store" | "store_release":
            return Event(0, "W", op.place, 0, value, releases=op.kind == "store_release")
        case "add":
            return Event(0, "U", op.place, read, read + value, strong, strong)
        case "swap":
            return Event(0, "U", op.place, read, value, strong, strong)
        case "cas":
            return (
                Event(0, "U", op.place, read, value, True, True)
                if read == expected
                else Event(0, "R", op.place, read, locked=True)
            )
    raise ValueError(f"{op.kind} has no axioms here")


def _numbered(threads: list[list[Event]], number: int) -> tuple[list[list[Event]], list[Event]]:
    result, everything = [], []
    for thread in threads:
        own = [event._replace(number=number + len(everything) + place) for place, event in enumerate(thread)]
        result.append(own)
        everything += own
    return result, everything


def _coherence_orders(events: list[Event], places: list[str]) -> Generator[dict[str, list[int]], None, None]:
    """By place, its stores' numbers in an order that begins with the initial one (whose number is the place's)."""
    later = [[e.number for e in events[len(places) :] if e.writes and e.place == place] for place in places]
    for orders in product(*(permutations(numbers) for numbers in later)):
        yield {place: [n, *order] for n, (place, order) in enumerate(zip(places, orders))}


def _reads_from(events: list[Event]) -> Generator[dict[int, int], None, None]:
    loads = [e for e in events if e.reads]
    sources = [[w.number for w in events if w.writes and w.place == r.place and w.written == r.read and w != r] for r in loads]
    for chosen in product(*sources):
        yield {load.number: source for load, source in zip(loads, chosen)}


def _atomic(events: list[Event], rf: dict[int, int], co: dict[str, list[int]]) -> bool:
    """A read-modify-write comes right after what it read."""
    return all(co[e.place].index(e.number) == co[e.place].index(rf[e.number]) + 1 for e in events if e.kind == "U")


def _program_orders(threads: list[list[Event]], count: int, first: int) -> Generator[Order, None, None]:
    """Program order; of each ``heavy``, with every place it could have among the others' operations."""
    heavy = [(n, e) for n, thread in enumerate(threads) for e in thread if e.kind == "heavy"]
    if len(heavy) > 1:
        raise ValueError("one heavy barrier at most")
    spots = [[None] if not heavy or n == heavy[0][0] else range(len(thread) + 1) for n, thread in enumerate(threads)]
    for places in product(*spots):
        order = [0] * count
        for number in range(first):
            order[number] = (1 << count) - (1 << first)
        for thread, place in zip(threads, places):
            numbers = [e.number for e in thread]
            if place is not None:
                numbers.insert(place, heavy[0][1].number)
            for at, number in enumerate(numbers):
                order[number] |= _bits(numbers[at + 1 :])
        yield _closed(order)


# Relations, as a set of bits for each event


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << n for n in set(numbers))


def _numbers(bits: int) -> list[int]:
    return [n for n in range(bits.bit_length()) if bits >> n & 1]


def _union(*orders: Order) -> Order:
    return [_or(parts) for parts in zip(*orders)]


def _or(parts: Iterable[int]) -> int:
    result = 0
    for part in parts:
        result |= part
    return result


def _then(first: Order, second: Order) -> Order:
    return [_or(second[n] for n in _numbers(after)) for after in first]


def _closed(order: Order) -> Order:
    result = list(order)
    for middle, _ in enumerate(result):
        for n, after in enumerate(result):
            if after >> middle & 1:
                result[n] |= result[middle]
    return result


def _acyclic(order: Order) -> bool:
    return not any(after >> n & 1 for n, after in enumerate(_closed(order)))


class Execution:
    """A candidate: events, program order (closed), who reads from whom, and the stores' order by place."""

    def __init__(self, events: list[Event], po: Order, rf: dict[int, int], co: dict[str, list[int]]):
        self.events = events
        self.po = po
        self.source = rf
        size = len(events)
        self.rf, self.co, self.fr = [0] * size, [0] * size, [0] * size
        for order in co.values():
            for at, number in enumerate(order):
                self.co[number] = _bits(order[at + 1 :])
        for load, store in rf.items():
            self.rf[store] |= 1 << load
            self.fr[load] = self.co[store] & ~(1 << load)
        self.com = _union(self.rf, self.co, self.fr)

    def pick(self, order: Order, wanted) -> Order:
        """The pairs of an order for which ``wanted(event, event)`` holds."""
        events = self.events
        return [_bits(m for m in _numbers(after) if wanted(events[n], events[m])) for n, after in enumerate(order)]


# Axioms


def _sc(x: Execution) -> bool:
    return _acyclic(_union(x.po, x.com))


def _tso(x: Execution) -> bool:
    same_place = x.pick(x.po, lambda a, b: a.place and a.place == b.place)
    kept = x.pick(x.po, lambda a, b: "acquire" not in (a.kind, b.kind) and not (a.kind == "W" and b.kind == "R" and not b.locked))
    outside = [after & ~x.po[n] for n, after in enumerate(x.rf)]
    return _acyclic(_union(same_place, x.com)) and _acyclic(_union(kept, outside, x.co, x.fr))


def _weak(x: Execution) -> bool:
    if not _acyclic(_union(x.po, x.rf)):
        return False
    hb = _closed(_union(x.po, _synchronizes(x)))
    eco = _closed(x.com)
    if any(after >> n & 1 for n, after in enumerate(_union(hb, _then(hb, eco)))):
        return False
    around = _union(hb, _then(_then(hb, eco), hb))
    return _acyclic(x.pick(around, lambda a, b: a.kind in FULL and b.kind in FULL))


def _synchronizes(x: Execution) -> Order:
    """From releases, or full barriers before a store, to acquires, or barriers after a load that reads from its sequence."""
    result = [0] * len(x.events)
    barriers = [e.number for e in x.events if e.kind in FULL]
    for load, store in x.source.items():
        to = 1 << load if x.events[load].acquires else 0
        to |= _bits(n for n in _numbers(x.po[load]) if x.events[n].kind in (*FULL, "acquire"))
        while True:  # back along the sequence: a read-modify-write hands on what it read
            if x.events[store].releases:
                result[store] |= to
            for barrier in barriers:
                if x.po[barrier] >> store & 1:
                    result[barrier] |= to
            if x.events[store].kind != "U":
                break
            store = x.source[store]
    return [after & ~(1 << n) for n, after in enumerate(result)]
