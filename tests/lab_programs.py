"""Small programs for the race lab's own tests: random ones, and a strategy that leaves nothing out."""

import random

from hotswap.lab import declarations, twin
from hotswap.lab.findings import WouldWaitForEver
from hotswap.lab.machine import Actor, Machine
from hotswap.lab.memory import Struct, Table, Thing
from hotswap.lab.strategy.contract import Strategy
from hotswap.lab.watch import newest, zeroed


class Everything(Strategy):
    """Every choice at every step, in every combination, with at most ``bound`` preemptions: what a reduction must agree with."""

    def __init__(self, bound=None):
        super().__init__()
        self.bound = bound
        self.stack = []  # [choices that can be made, which one]

    def begin(self):
        while self.stack and self.stack[-1][1] + 1 == len(self.stack[-1][0]):
            self.stack.pop()
        if self.stack:
            self.stack[-1][1] += 1
        elif self.schedules:
            self.complete = True
            return False
        self.at = 0
        self.cost = 0
        self.before = []
        return True

    def pick(self, machine, enabled):
        last = next((c for c in reversed(machine.choices) if c >= 0), -1)  # values come after the step that they are of
        runs = next((c for c in reversed(machine.choices) if 0 <= c < 32), -1)
        fresh = last + 32 if last + 32 in enabled and last + 32 not in self.before else None
        self.before = enabled
        able = [
            a for a in enabled if self.bound is None or self.cost + self.price(machine, enabled, runs, fresh, a) <= self.bound
        ]
        actor = self.choose(able)
        self.cost += self.price(machine, enabled, runs, fresh, actor)
        return actor

    def price(self, machine, enabled, runs, fresh, actor):
        """A preemption; a store that stays in its buffer."""
        preempts = actor < 32 and runs in enabled and actor != runs and not machine.forced
        return preempts + (fresh not in (None, actor))

    def value(self, machine, n, label):
        return self.choose(list(range(n)))

    def choose(self, able):
        if self.at == len(self.stack):
            self.stack.append([able, 0])
        self.at += 1
        able, which = self.stack[self.at - 1]
        return able[which]


class Program:
    """Threads of a few operations each on shared words and locks; what each thread read is part of the outcome."""

    def __init__(self, seed, model="sc", threads=None, words=2, most=3, kinds=None):
        self.random = random.Random(seed)
        self.twin = twin.load([], stepping=True, model=model)
        seam = self.twin.seam
        self.words = [seam.word.make(f"w{n}") for n in range(words)]
        self.locks = [seam.mutex.make(f"m{n}") for n in range(2)]
        self.bits = [seam.word.make("b0")]
        self.rw = seam.rwlock.make("rw")
        self.event = seam.word.make("event")
        self.plain = [0]
        self.kinds = kinds or [
            "load",
            "store",
            "add",
            "cas",
            "mutex",
            "mutexes",
            "bit",
            "try",
            "read",
            "write",
            "wait",
            "wake",
            "nap",
        ]
        self.threads = [self.thread(n, most) for n in range(threads or self.random.choice([2, 2, 3]))]
        self.read = []
        self.twin.checkpoint()
        self.text = "\n".join(f"{n}: {body}" for n, body in enumerate(self.threads))

    def thread(self, number, most):
        return [self.operation(number) for _ in range(self.random.randint(1, most))]

    def operation(self, number):
        r = self.random
        kind = r.choice(self.kinds)
        return kind, r.randrange(len(self.words)), r.randrange(len(self.locks)), number * 10 + r.randint(1, 3)

    def run_thread(self, number):
        for kind, word, lock, value in self.threads[number]:
            w, m = self.words[word], self.locks[lock]
            note = self.read[number].append
            if kind in ("load", "load_acquire"):
                note((yield (kind, w)))
            elif kind in ("store", "store_release"):
                yield kind, w, value
            elif kind == "add":
                note((yield "add", w, value))
            elif kind == "cas":
                note((yield "cas", w, 0, value))
            elif kind in ("fence", "heavy"):
                yield (kind,)
            elif kind == "mutex":
                yield "mutex_lock", m
                note((yield "load", w))
                yield "mutex_unlock", m
            elif kind == "mutexes":
                yield "mutex_lock", m
                yield "mutex_lock", self.locks[1 - lock]
                yield "store", w, value
                yield "mutex_unlock", self.locks[1 - lock]
                yield "mutex_unlock", m
            elif kind == "bit":
                yield "bit_lock", self.bits[0]
                yield "bit_unlock", self.bits[0], value << 2
            elif kind == "try":
                got = yield "bit_trylock", self.bits[0]
                note(got)
                if got:
                    note((yield "load", self.bits[0]))
                    yield "bit_unlock", self.bits[0], value << 2
            elif kind in ("read", "write"):
                yield f"{kind}_lock", self.rw
                note((yield "load", w))
                yield f"{kind}_unlock", self.rw
            elif kind == "wait":
                seen = yield "event_read", self.event
                if not (yield "load", w):
                    yield "event_wait", self.event, seen, -1
                note("woken")
            elif kind == "wake":
                yield "store", w, value
                yield "event_wake", self.event
            elif kind == "nap":
                yield "nap_us", 1

    def outcome(self, result):
        stuck = isinstance(result.finding, WouldWaitForEver)
        assert result.finding is None or stuck, result.finding
        values = [w.v for w in (*self.words, *self.bits)]
        return stuck, tuple(values), tuple(map(tuple, self.read))

    def outcomes(self, strategy, most=10**9):
        """The set of outcomes that a strategy meets; None when that takes too long."""
        found = set()

        def fresh(number):
            self.read[number:] = []
            self.read.append([])
            return self.run_thread(number)

        machine = Machine(self.twin, [Actor(f"t{n}", lambda n=n: fresh(n)) for n in range(len(self.threads))])
        while strategy.begin():
            result = machine.run(strategy)
            if not result.cut:
                found.add(self.outcome(result))
            if strategy.schedules > most:
                return None
        return found


def state_of(twin):
    """Everything that a schedule could have changed, as text by path; what was never touched is left out, as are zeros."""
    found = {}
    seen = set()

    def walk(thing, path):
        if isinstance(thing, Thing):
            where = object.__getattribute__(thing, "_up")
            found[f"{path} is"] = (type(thing).__name__, where if isinstance(where, str) else None)
            if id(thing) in seen or "Freed" in type(thing).__name__ or zeroed(thing):
                return
            seen.add(id(thing))
            if isinstance(thing, Table):
                for index, part in sorted(thing.items.items()):
                    if not (thing.kind.plain and not part) and not (isinstance(part, Thing) and zeroed(part)):
                        walk(part, f"{path}[{index}]")
            elif isinstance(thing, Struct):
                for field, kind in thing.FIELDS.items():
                    walk(newest(thing, field) if kind.plain else getattr(thing, field), f"{path}.{field}")
            else:
                found[path] = [getattr(thing, slot) for slot in type(thing).__slots__ if slot != "uid"]
        else:
            found[path] = repr(thing)

    for name in twin.started:
        for variable in declarations.of_module(name).variables:
            walk(vars(twin.modules[name])[variable], f"{name}.{variable}")
    seam = twin.seam
    for name in (
        "clock",
        "tables",
        "next_address",
        "next_descriptor",
        "reserved",
        "registered",
        "forbidden",
        "stopped",
        "threads",
    ):
        found[name] = repr(getattr(seam, name))
    found["pages"] = repr(sorted(seam.pages.items()))
    found["files"] = repr({fd: bytes(content) for fd, content in seam.files.items()})
    return found
