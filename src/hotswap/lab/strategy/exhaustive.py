"""Every schedule, once for each order of conflicting steps: source-DPOR with sleep sets; or all with few preemptions.

Depth first. Each finished schedule is looked at for *races*: two steps that touch the same place, one of them writing, with no chain of
such pairs in between. The other order of a race is tried by adding one more actor at the state before the first of them: one that can
begin a way to the second ("source sets": Abdulla, Aronis, Jonsson, Sagonas, POPL 2014 and JACM 2017, whose rule for locks is
used too: a lock races with the lock before it, not with the unlock that let it through). Sleep sets (Godefroid) keep an actor
from being tried again where all that begins with it was tried; a schedule in which only sleepers are left is given up, *pruned*.

With a preemption ``bound`` (an actor is preempted when another steps though it could go on) the other order of a race may
cost a preemption too many while a third way does not. So a bounded search adds the actor itself, or all when it cannot step there, there
and at the start of the stretch that the first step's CPU ran without a switch, and keeps no sleep sets: BPOR, Coons, Musuvathi, McKinley,
OOPSLA 2013. What the memory model does by itself costs nothing.

``roots``: a beginning of choices that is somebody else's to vary (``explore`` splits the tree so).
"""

from ..machine import BUFFERS
from .contract import Strategy
from .happens import Event, Order

NEVER = -1


class Node:
    """The state before one step of the schedule under way."""

    __slots__ = ("actor", "cost", "done", "enabled", "event", "free", "sleep", "todo", "values")

    def __init__(self, enabled, sleep, cost, free):
        self.enabled = enabled
        self.sleep: dict[int, Event] = sleep  # actors whose next step was tried where it commutes with all since
        self.cost = cost  # preemptions before this step
        self.free = free  # who may go on without one: the CPU that ran, where it can go on; else NEVER
        self.todo: set[int] = set()
        self.done: dict[int, Event] = {}
        self.actor = NEVER
        self.event: Event | None = None
        self.values: list[list[int]] = []  # of the memory model in this step: which, of how many


class Exhaustive(Strategy):
    watches = True

    def __init__(self, bound: int | None = None, root: tuple[int, ...] = (), sleep: dict[int, Event] | None = None):
        super().__init__()
        self.bound = bound
        self.order = Order(waits_race=bound is not None)
        self.nodes: list[Node] = []
        self.root = list(root)
        self.root_sleep = sleep or {}
        self.first = True
        self.depth = 0  # of the step under way
        self.value_at = 0
        self.fixed = 0  # nodes below this depth are not varied

    # Schedules

    def begin(self):
        self.depth = 0
        self.value_at = 0
        if self.first:
            self.first = False
            return True
        while len(self.nodes) > self.fixed:
            node = self.nodes[-1]
            self.order.undo(len(self.nodes) - 1)
            if self.next_values(node):
                return True
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
        return self.bound is None or node.cost + preempts(node, actor) <= self.bound

    # Choices

    def pick(self, machine, enabled):
        depth = self.depth
        self.value_at = 0
        nodes = self.nodes
        if depth < len(nodes):
            return nodes[depth].actor
        node = self.new_node(machine, enabled)
        if depth < len(self.root):
            node.actor = self.root[depth]
            self.fixed = depth + 1
        else:
            node.actor = self.default(machine, node)
            if node.actor == NEVER:
                return None
        node.todo.add(node.actor)
        if machine.forced and depth >= len(self.root):
            node.todo.update(enabled)  # which of the sleepers wakes first: no step has raced for that
        nodes.append(node)
        return node.actor

    def new_node(self, machine, enabled) -> Node:
        if not self.nodes:
            return Node(enabled, {}, 0, NEVER)
        last = self.nodes[-1]
        if self.bound is not None:
            runs = next((node.actor for node in reversed(self.nodes) if node.actor < BUFFERS), NEVER)
            free = runs if runs in enabled and not machine.forced else NEVER
            return Node(enabled, {}, last.cost + preempts(last, last.actor), free)
        event = last.event
        assert event is not None
        asleep = last.sleep | last.done if last.done else last.sleep
        if self.depth == len(self.root):
            asleep = asleep | self.root_sleep if self.depth else self.root_sleep
        sleep = {actor: other for actor, other in asleep.items() if actor != last.actor and not event.conflicts(other)}
        return Node(enabled, sleep, 0, NEVER)

    def default(self, machine, node: Node) -> int:
        last = machine.last if self.bound is None or node.free == NEVER else node.free
        if last in node.enabled and last not in node.sleep:
            return last
        for actor in node.enabled:
            if actor not in node.sleep:
                return actor
        return NEVER

    def value(self, machine, n, label):
        node = self.nodes[self.depth]
        at = self.value_at
        self.value_at += 1
        if at == len(node.values):
            node.values.append([0, n])
        return node.values[at][0]

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
            self.reverse(race, event)

    def reverse(self, at: int, event: Event) -> None:
        """The step at depth ``at`` and ``event`` race: have the other order tried."""
        if at < self.fixed:
            return
        node = self.nodes[at]
        if self.bound is not None:
            self.reverse_bounded(at, event)
            return
        initials = self.order.initials(at, event)
        if not any(actor in node.todo or actor in node.sleep for actor in initials):
            able = [actor for actor in initials if actor in node.enabled]
            if able:
                node.todo.add(event.actor if event.actor in able else able[0])
            else:
                node.todo.update(node.enabled)

    def reverse_bounded(self, at: int, event: Event) -> None:
        start = at
        while start > self.fixed and self.nodes[start - 1].actor == self.nodes[at].actor:
            start -= 1
        for place in {at, start}:
            node = self.nodes[place]
            if event.actor in node.enabled:
                node.todo.add(event.actor)
            else:
                node.todo.update(node.enabled)

    def ended(self, machine, outcome):
        super().ended(machine, outcome)
        if self.depth < len(self.nodes):  # the last step was cut short by a finding
            self.stepped(machine, self.nodes[-1].actor)
        # The next begin() takes the step before this end first; who still waits for a lock would race with its holder.
        if not outcome.cut:
            for actor, op in enumerate(machine.ops):
                if op is not None:
                    for at, event in self.order.waiting(actor, op, len(self.nodes)):
                        self.reverse(at, event)


def preempts(node: Node, actor: int) -> int:
    return 1 if node.free not in (NEVER, actor) and actor < BUFFERS else 0
