"""Every schedule, once for each order of conflicting steps: source-DPOR with sleep sets; or all with few preemptions.

Depth first. Each finished schedule is looked at for *races*: two steps that touch the same place, one of them writing, with no chain of
such pairs in between. The other order of a race is tried by adding one more actor at the state before the first of them: one that can
begin a way to the second ("source sets": Abdulla, Aronis, Jonsson, Sagonas, POPL 2014 and JACM 2017, whose rule for locks is
used too: a lock races with the lock before it, not with the unlock that let it through). Sleep sets (Godefroid) keep an actor
from being tried again where all that begins with it was tried; a schedule in which only sleepers are left is given up, *pruned*.

With a preemption ``bound`` (an actor is preempted when another steps though it could go on) the other order of a race may
cost a preemption too many while a third way does not. So a bounded search adds the actor itself, or all when it cannot step there, there
and at the start of the stretch that the first step's CPU ran without a switch, and keeps no sleep sets: BPOR, Coons, Musuvathi, McKinley,
OOPSLA 2013. A store that does not leave its CPU's buffer at once costs one too, unless older ones are waiting there; when it leaves after
that costs nothing.

The tree of schedules can be shared out. A search with a ``root`` varies what comes after those choices only; an order that would
have to be tried within the root is a *request*, for whoever owns that part. ``export()`` gives away what is left of a search.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..machine import BUFFERS
from .contract import Strategy
from .happens import Event, Order

NEVER = -1


class Request(NamedTuple):
    """At the state after the choices ``path``, one of ``actors`` has to be tried, or all of them; none if one is already."""

    path: tuple[int, ...]
    actors: tuple[int, ...]
    all: bool


class Node:
    """The state before one step of the schedule under way."""

    __slots__ = ("actor", "at", "cost", "done", "enabled", "event", "free", "fresh", "sleep", "todo", "values")

    def __init__(self, enabled, at, sleep, cost=0, free=NEVER, fresh=NEVER):
        self.enabled = enabled
        self.at = at  # choices before it
        self.sleep: dict[int, Event] = sleep  # actors whose next step was tried where it commutes with all since
        self.cost = cost  # preemptions before this step
        self.free = free  # who may go on without one: the CPU that ran, where it can go on; else NEVER
        self.fresh = fresh  # the buffer that the last step put a store into, which was empty; else NEVER
        self.todo: set[int] = set()
        self.done: dict[int, Event] = {}
        self.actor = NEVER
        self.event: Event | None = None
        self.values: list[list[int]] = []  # of the memory model in this step: which, of how many


class Exhaustive(Strategy):
    watches = True

    def __init__(self, bound: int | None = None, root: Sequence[int] = ()):
        super().__init__()
        self.bound = bound
        self.order = Order(waits_race=bound is not None)
        self.nodes: list[Node] = []
        self.root = tuple(root)
        self.requests: set[Request] = set()
        self.first = True
        self.depth = 0  # of the step under way
        self.value_at = 0
        self.fixed = 0  # nodes of the root: of these only the last one's values are varied
        self.path: list[int] = []  # choices of the schedule under way

    # Schedules

    def begin(self):
        self.depth = 0
        self.value_at = 0
        if self.first:
            self.first = False
            return True
        while self.nodes and len(self.nodes) >= self.fixed:
            node = self.nodes[-1]
            self.order.undo(len(self.nodes) - 1)
            if self.next_values(node):
                return True
            if len(self.nodes) == self.fixed:
                break
            assert node.event is not None
            before = node.done.get(node.actor)
            node.done[node.actor] = node.event.joined(before) if before else node.event
            if self.next_actor(node):
                return True
            self.nodes.pop()
        self.complete = True
        return False

    def next_values(self, node: Node) -> bool:
        while node.values:
            if node.values[-1][0] + 1 < node.values[-1][1]:
                node.values[-1][0] += 1
                if node.event is not None:
                    before = node.done.get(node.actor)
                    node.done[node.actor] = node.event.joined(before) if before else node.event
                return True
            node.values.pop()
        return False

    def next_actor(self, node: Node) -> bool:
        for actor in sorted(node.todo):
            if actor not in node.done and actor not in node.sleep and self.affordable(node, actor):
                node.actor = actor
                return True
        return False

    def affordable(self, node: Node, actor: int) -> bool:
        return self.bound is None or node.cost + price(node, actor) <= self.bound

    # Choices

    def pick(self, machine, enabled):
        depth = self.depth
        self.value_at = 0
        nodes = self.nodes
        if depth < len(nodes):
            return nodes[depth].actor
        node = self.new_node(machine, enabled)
        if node.at < len(self.root):
            node.actor = self.root[node.at]
            if node.actor not in enabled:
                raise ValueError(f"choice {node.at} of the root cannot be made")
            self.fixed = depth + 1
            if not self.affordable(node, node.actor):
                self.fixed = len(self.root) + 1  # beyond all nodes: there is nothing to vary
                return None
        else:
            node.actor = self.default(machine, node)
            if node.actor == NEVER:
                return None
            if machine.forced:
                node.todo.update(enabled)  # which of the sleepers wakes first: no step has raced for that
        node.todo.add(node.actor)
        nodes.append(node)
        return node.actor

    def new_node(self, machine, enabled) -> Node:
        at = len(machine.choices)
        if not self.nodes:
            return Node(enabled, at, {})
        last = self.nodes[-1]
        if self.bound is not None:
            runs = next((node.actor for node in reversed(self.nodes) if node.actor < BUFFERS), NEVER)
            free = runs if runs in enabled and not machine.forced else NEVER
            buffer = last.actor + BUFFERS
            fresh = buffer if buffer in enabled and buffer not in last.enabled else NEVER
            return Node(enabled, at, {}, last.cost + price(last, last.actor), free, fresh)
        event = last.event
        assert event is not None
        asleep = last.sleep | last.done if last.done else last.sleep
        return Node(enabled, at, {a: other for a, other in asleep.items() if a != last.actor and not event.conflicts(other)})

    def default(self, machine, node: Node) -> int:
        last = machine.last
        if self.bound is not None:
            last = next((actor for actor in (node.fresh, node.free) if actor != NEVER), last)
        if last in node.enabled and last not in node.sleep:
            return last
        for actor in node.enabled:
            if actor not in node.sleep:
                return actor
        return NEVER

    def value(self, machine, n, label):
        node = self.nodes[self.depth]
        at, index = len(machine.choices), self.value_at
        self.value_at += 1
        if index == len(node.values):
            given = -1 - self.root[at] if at < len(self.root) else None
            node.values.append([0, n] if given is None else [given, given + 1])
        return node.values[index][0]

    # Races

    def stepped(self, machine, actor):
        depth = self.depth
        self.depth += 1
        nodes = self.nodes
        if depth + 1 < len(nodes):
            return  # the beginning that this schedule has in common with the last one
        node = nodes[depth]
        event, races = self.order.add(machine, actor, depth)
        node.event = event
        for race in races:
            self.reverse(race, event, machine.choices)

    def reverse(self, at: int, event: Event, path: list[int]) -> None:
        """The step at depth ``at`` and ``event`` race: have the other order tried."""
        if self.bound is not None:
            start, cpu = at, self.nodes[at].actor % BUFFERS
            while start > 0 and self.nodes[start - 1].actor % BUFFERS == cpu:
                start -= 1
            places = {at, start}
            if self.nodes[at].actor >= BUFFERS and (store := self.order.events[at].opener) is not None:
                places.add(store)  # to come before the store is cheaper than to keep it back
            for place in places:
                node = self.nodes[place]
                alone = event.actor in node.enabled and node.actor < BUFFERS
                self.want(place, [event.actor] if alone else node.enabled, True, path)
            return
        node = self.nodes[at]
        able = [actor for actor in self.order.initials(at, event) if actor in node.enabled]
        if event.actor in able:
            able.sort(key=lambda actor: actor != event.actor)
        self.want(at, able or node.enabled, not able, path)

    def want(self, at: int, actors: list[int], all_: bool, path: list[int]) -> None:
        """One of ``actors``, or all of them, is to be tried at depth ``at``."""
        node = self.nodes[at]
        if at < self.fixed:
            if not (node.actor in actors and (len(actors) == 1 or not all_)):
                self.requests.add(Request(tuple(path[: node.at]), tuple(actors), all_))
        elif all_:
            node.todo.update(actors)
        elif not any(actor in node.todo or actor in node.sleep for actor in actors):
            node.todo.add(actors[0])

    def export(self) -> tuple[list[tuple[int, ...]], list[Request]]:
        """Gives the rest of the search away, between two schedules: roots still to be searched; what was tried at states that others
        may yet want something of."""
        roots, tried = [], []
        for depth, node in enumerate(self.nodes):
            path = tuple(self.path[: node.at])
            if depth >= self.fixed:
                left = [a for a in node.todo if a not in node.done and a != node.actor and a not in node.sleep]
                roots += [(*path, actor) for actor in left if self.affordable(node, actor)]
                tried.append(Request(path, tuple(node.todo | node.sleep.keys()), True))
            if depth >= self.fixed - 1:
                for index, (value, n) in enumerate(node.values):
                    given = [-1 - v for v, _ in node.values[:index]]
                    roots += [(*path, node.actor, *given, -1 - other) for other in range(value + 1, n)]
        return roots, tried

    def ended(self, machine, outcome):
        super().ended(machine, outcome)
        self.path = machine.choices.copy()
        if self.depth < len(self.nodes):  # the last step was cut short by a finding
            self.stepped(machine, self.nodes[-1].actor)
        # The next begin() takes the step before this end first; who still waits for a lock would race with its holder.
        if not outcome.cut:
            for actor, op in enumerate(machine.ops):
                if op is not None:
                    for at, event in self.order.waiting(actor, op, len(self.nodes)):
                        self.reverse(at, event, machine.choices)


def price(node: Node, actor: int) -> int:
    """What it costs that this actor steps: a preemption, a store that is kept back."""
    preempts = node.free not in (NEVER, actor) and actor < BUFFERS
    return preempts + (node.fresh not in (NEVER, actor))
