"""Release/acquire views: every store stays readable until a CPU has, by some chain of orders, seen a newer one.

After Kang, Hur, Lahav, Vafeiadis and Dreyer, "A promising semantics for relaxed-memory concurrency" (POPL 2017), without promises;
declaratively this is RC11 (Lahav, Vafeiadis, Kang, Hur and Dreyer, "Repairing sequential consistency in C/C++11", PLDI 2017)
without SC accesses and with C++20's release sequences (only read-modify-writes continue them). The tests compare the two.

A word has a history of messages in coherence order, each with a timestamp and, if it was a release, the view of the CPU that
stored it. A view is a timestamp by word: nothing older may be read. A relaxed load picks any message its view allows (0 the
newest); an acquire also joins the message's view, a relaxed one keeps that for a later acquire fence. A full barrier joins the
CPU's view with the one view of all full barriers. A store goes to the end of the history, or before messages the CPU has not seen
(2+2W), but never between a read-modify-write and what it read. Locks, thread starts and ends and the like carry a view from
``hand_over`` to ``take_over``. ``heavy`` is a full barrier on every CPU at one instant.

What it shows: each missing acquire, release or full barrier (R05, R08's message passing, R09, percpu_ref's pairing), loads that pass
loads and stores, stores that pass stores, CPUs that disagree about the order of stores (IRIW). What it cannot show: *load
buffering*, a store that is seen before an earlier load of its CPU is done (R08's second pattern). Neither a relaxed nor a missing
order there is ever found; ``docs/litmus`` has those patterns for herd7. It has no dependencies: an address or data dependency
orders loads in the kernel's model, here only an acquire does.

Bounded: after PATIENCE stale loads of a word in a row a CPU reads its newest value, so that a loop that waits ends. Read-modify-writes
take the newest value, as the locks made of them must; one that stores nothing (a failed cas) may have read an older one, so
``update`` is called more than once and must not have effects. ``free_rmw`` lets them read what a store may be put behind.
"""

from collections import defaultdict

from ..watch import newest
from .contract import EVERYTHING, FENCES, Model

PATIENCE = 4
View = dict  # timestamp by word (or field) it has seen; what is absent is 0.0, the value at the start


class Message:
    __slots__ = ("at", "value", "view", "chained")

    def __init__(self, at, value, view):
        self.at = at
        self.value = value
        self.view = view  # never changed once it is here
        self.chained = False  # a read-modify-write read it, and comes next


def join(view, other):
    for key, at in other.items():
        if view.get(key, 0.0) < at:
            view[key] = at


def no_older(history, seen):
    """The messages that a view allows, newest first: few, at the end."""
    first = len(history)
    while first and history[first - 1].at >= seen:
        first -= 1
    return history[first:][::-1]


class Views(Model):
    name = "weak"
    ordered = False
    in_order = False
    stale_fields = True

    def __init__(self, watch, free_rmw=False):
        super().__init__(watch)
        self.free_rmw = free_rmw
        self.history: dict = {}  # by word: its messages, oldest first. Absent: never stored to
        self.now = defaultdict(lambda: self.floor.copy())  # by CPU: the oldest it may read
        self.pending = defaultdict(list)  # by CPU: views of messages it read relaxed
        self.base: dict = {}  # by CPU: what its relaxed stores carry, from its last full barrier
        self.handed: dict = {}  # by lock or thread: a view
        self.stale: dict = {}  # by (CPU, word): stale loads in a row
        self.barriers: View = {}  # of all full barriers
        self.floor: View = {}  # of every CPU, from the last ``heavy``

    # Loads

    def load(self, cpu, word, acquire):
        key = word.uid
        self.read(key)
        self.read(EVERYTHING)
        if key not in self.history:
            return word.v
        return self.look(cpu, key, acquire)

    def look(self, cpu, key, acquire):
        view = self.now[cpu]
        history = self.history[key]
        seen = view.get(key, 0.0)
        message = history[-1]
        if message.at > seen:
            message = self.chosen(cpu, key, no_older(history, seen))
            view[key] = message.at
        self.sees(cpu, message, acquire)
        return message.value

    def chosen(self, cpu, key, allowed):
        """One of the messages, newest first; the newest when the CPU has waited long enough."""
        which = 0
        stale = self.stale.get((cpu, key), 0)
        if len(allowed) > 1 and stale < PATIENCE:
            field = f"{key[1]}: " if isinstance(key, tuple) else ""
            which = self.choose(len(allowed), field + " or ".join(str(m.value) for m in allowed))
        self.stale[cpu, key] = stale + 1 if which else 0
        return allowed[which]

    def sees(self, cpu, message, acquire):
        if message.view:
            if acquire:
                join(self.now[cpu], message.view)
            elif not self.pending[cpu] or self.pending[cpu][-1] is not message.view:
                self.pending[cpu].append(message.view)

    # Stores

    def store(self, cpu, word, value, release):
        key = word.uid
        self.read(EVERYTHING)
        history = self.history_of(key, word.v)
        view = self.now[cpu]
        seen = view.get(key, 0.0)
        after = history[-1]
        if after.at > seen:
            places = [m for m in no_older(history, seen) if not m.chained]
            if len(places) > 1:
                after = places[self.choose(len(places), " or ".join(f"after {m.value}" for m in places))]
        at = self.add(cpu, word, history, after, value)
        view[key] = at.at
        at.view = view.copy() if release else self.base.get(cpu, self.floor)

    def history_of(self, key, value):
        if key not in self.history:
            self.history[key] = [Message(0.0, value, None)]
        return self.history[key]

    def add(self, cpu, word, history, after, value):
        """A message next to ``after``, without a view."""
        if after is history[-1]:
            message = Message(after.at + 1.0, value, None)
            history.append(message)
            self.put(word, value)
        else:
            place = history.index(after) + 1
            message = Message((after.at + history[place].at) / 2, value, None)
            assert after.at < message.at < history[place].at, "no timestamp is left between two stores"
            history.insert(place, message)
            self.wrote(word.uid)
        return message

    def rmw(self, cpu, word, update, acquire, release):
        key = word.uid
        self.read(EVERYTHING)
        history = self.history_of(key, word.v)
        view = self.now[cpu]
        seen = view.get(key, 0.0)
        message = history[-1]
        if message.at > seen:
            may = [m for m in no_older(history, seen)[1:] if (self.free_rmw and not m.chained) or update(m.value) is None]
            message = self.chosen(cpu, key, [message, *may])
            view[key] = message.at
        new = update(message.value)
        self.sees(cpu, message, acquire and new is not None)
        if new is None:
            self.read(key)
            return message.value
        message.chained = True
        made = self.add(cpu, word, history, message, new)
        view[key] = made.at
        made.view = view.copy() if release else self.base.get(cpu, self.floor)
        if message.view:  # what was released there goes on being released here
            made.view = made.view.copy()
            join(made.view, message.view)
        return message.value

    # Orders

    def acquire(self, cpu):
        if cpu in self.pending:
            view = self.now[cpu]
            for other in self.pending.pop(cpu):
                join(view, other)

    def fence(self, cpu):
        self.read(EVERYTHING)
        self.wrote(FENCES)
        self.acquire(cpu)
        join(self.barriers, self.now[cpu])
        self.now[cpu] = self.barriers.copy()
        self.base[cpu] = self.barriers.copy()

    def heavy(self, cpu):
        self.wrote(EVERYTHING)
        self.wrote(FENCES)
        self.settle()

    def settle(self):
        for cpu in list(self.now):
            self.acquire(cpu)
            join(self.barriers, self.now[cpu])
        self.floor = self.barriers.copy()
        self.now.clear()
        self.base.clear()

    def hand_over(self, cpu, thing):
        self.read(EVERYTHING)
        self.wrote(thing.uid)
        if thing.uid in self.handed:
            join(self.handed[thing.uid], self.now[cpu])
        else:
            self.handed[thing.uid] = self.now[cpu].copy()

    def take_over(self, cpu, thing):
        """Of a word: a wait looked at it, and it is not read older than that again."""
        self.read(EVERYTHING)
        self.read(thing.uid)
        if thing.uid in self.handed:
            join(self.now[cpu], self.handed[thing.uid])
        if thing.uid in self.history:
            self.now[cpu][thing.uid] = self.history[thing.uid][-1].at

    # Fields of guarded structs: relaxed, and stored in coherence order

    def plain_load(self, cpu, struct, field):
        self.read(EVERYTHING)
        key = (struct.uid, field)
        if key not in self.history:
            return newest(struct, field)
        return self.look(cpu, key, False)

    def plain_store(self, cpu, struct, field, value):
        self.read(EVERYTHING)
        key = (struct.uid, field)
        history = self.history_of(key, newest(struct, field))
        message = Message(history[-1].at + 1.0, struct.FIELDS[field].accept(value, None), self.base.get(cpu, self.floor))
        history.append(message)
        self.now[cpu][key] = message.at

    def reset(self):
        for kept in (self.history, self.now, self.pending, self.base, self.handed, self.stale):
            kept.clear()
        self.barriers = {}
        self.floor = {}
