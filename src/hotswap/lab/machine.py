"""The machine: a few CPUs, each a generator of the engine stopped before its next step, and memory between them.

A *step* is one call of the seam by one CPU with the plain code up to its next one. Who steps is the strategy's choice among
those whose pending operation can be made; when nobody's can, and somebody is not done, nobody is left to end the wait: a finding.

Time passes only when nothing else happens: a nap, a yield or a wait with a timeout ends by itself only when no CPU can do
anything else. (A nap that may end at any moment is a loop that explores the same wait again and again. What is lost are orders in
which a sleeper wakes while another is in mid-work; a scenario that wants them sets ``eager``, how many such ends each schedule may
have at any moment.) Likewise a CPU that made SPIN steps in a row without writing anything waits for another to step.

A schedule is the list of choices: an actor's number (a CPU, or BUFFERS + CPU for what the memory model does on its behalf), and
-1 - k where the model chose value k. The same choices give the same steps.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

from .findings import Deadlock, Finding, Livelock, LostWakeUp, UseAfterFree
from .memory import Null, Thing, freed, name_of, take_places
from .steps import IN_TIME, READY, holder
from .trace import Outcome, Step, stack_of, stack_of_frames, stack_of_traceback
from .twin import SteppingTwin

BUFFERS = 32  # from here on actors are store buffers
SPIN = 100
IDLE = 60  # naps and timeouts in one schedule, nobody else being able to go on
MOST_STEPS = 20_000
INLINE = 1 << 32  # the handle of a thread whose work its starter does itself (``seam.inline``: the names of such threads)


class Actor(NamedTuple):
    """Who acts: ``run`` gives a generator that yields operations. A daemon (a handler) may be left waiting at the end."""

    name: str
    run: Callable[[], Generator]
    daemon: bool = False


class Thread(Thing):
    """What a CPU's start and end are handed over by."""

    __slots__ = ("uid",)

    def __init__(self, up):
        super().__init__(up)
        self.uid = take_places(1)


class Machine:
    """Runs schedules of ``actors`` on a twin that stands at its checkpoint; ``check`` judges the end state by raising a Finding."""

    def __init__(self, twin: SteppingTwin, actors: Sequence[Actor], check: Callable[[], None] = lambda: None, eager: int = 0):
        self.twin = twin
        self.seam = twin.seam
        self.watch = twin.watch
        self.model = twin.watch.model
        self.births = twin.watch.births
        self.actors = list(actors)
        self.check = check
        self.eager = eager
        self.threads: list[Thread] = []
        self.model.choose = self.choose
        self.seam.start_thread = self.start_thread
        self.seam.has_ended = self.has_ended
        self.seam.take_end = self.take_end
        self.seam.where = self.where
        names = {kind for kind in dir(type(self.seam)) if not kind.startswith("_")}
        self.perform: dict[str, Callable] = {name: made for name in names if callable(made := getattr(self.seam, name))}
        self.perform |= {"begin": self.begin, "end": lambda thread: None}
        self.generators: list[Generator] = []
        self.begin_schedule(None)

    def begin_schedule(self, strategy) -> None:
        self.twin.rollback()
        self.births.clear()
        self.seam.frees.clear()
        self.strategy = strategy
        self.generators.clear()
        self.names: list[str] = []
        self.daemons: list[bool] = []
        self.ops: list[tuple | None] = []  # what each CPU does next; None: it has ended
        self.choices: list[int] = []
        self.last = -1  # who stepped last
        self.barren = 0  # its steps in a row without a write
        self.forced = False  # the step under way was made because nothing else could be
        self.idle = 0
        self.eager_left = self.eager
        self.op: tuple = ("",)  # of the step under way
        self.target = 0  # the place of its target
        self.before = 0  # the word of an event that is woken in it, before that
        self.steps: list[Step] | None = None
        self.wakes: dict[int, tuple[int, tuple[str, ...]]] = {}
        for actor in self.actors:
            self.add(actor)

    def add(self, actor: Actor) -> int:
        number = len(self.ops)
        if number == len(self.threads):
            self.threads.append(Thread(f"CPU {number}"))
        self.generators.append(actor.run())
        self.names.append(actor.name)
        self.daemons.append(actor.daemon)
        self.ops.append(("begin", self.threads[number]))
        return number

    # A schedule

    def run(self, strategy, record: bool = False) -> Outcome:
        """One schedule, chosen by ``strategy``. ``record`` keeps the steps for a diagram."""
        self.begin_schedule(strategy)
        if record:
            self.steps = []
        pick, stepped = strategy.pick, strategy.stepped if strategy.watches else None
        cut = False
        finding: Finding | None = None
        try:
            while enabled := self.enabled():
                actor = pick(self, enabled)
                if actor is None:
                    cut = True
                    break
                self.step(actor)
                if stepped:
                    stepped(self, actor)
            if not cut:
                self.end()
        except Finding as found:
            finding = self.describe(found)
        outcome = Outcome(finding, self.steps or [], self.choices, cut)
        strategy.ended(self, outcome)
        return outcome

    def enabled(self) -> list[int]:
        """The actors that can step now. ``forced``: only because time passes when nothing else can happen."""
        able, later = [], []
        seam, must_wait = self.seam, self.model.must_wait if self.model.acts else None
        for cpu, op in enumerate(self.ops):
            if op is None or (must_wait and must_wait(cpu, op[0])):
                continue
            ready = READY.get(op[0])
            try:
                if ready is None or ready(seam, op):
                    able.append(cpu)
                elif op[0] in IN_TIME and IN_TIME[op[0]](op):
                    later.append(cpu)
            except UseAfterFree:  # what it stands before is gone: its own step says so
                able.append(cpu)
        if self.model.acts:
            able += [BUFFERS + action.cpu for action in self.model.internal()]
        self.forced = False
        if later and self.eager_left:
            able += later
        if able:
            if self.barren >= SPIN and len(able) > 1 and self.last in able:
                able.remove(self.last)
            return able
        if later and any(op and not daemon for op, daemon in zip(self.ops, self.daemons)):
            self.forced = True
            return later
        return []

    def step(self, actor: int) -> None:
        """Makes the pending operation of an actor and runs it up to its next one."""
        watch = self.watch
        watch.clear()
        choices = self.choices
        choices.append(actor)
        if actor >= BUFFERS:
            self.op, self.target = ("drain",), 0
            self.act(actor - BUFFERS)
        else:
            op = self.op = self.ops[actor] or ("",)
            self.seam.current = watch.cpu = actor
            if self.steps is not None:
                self.record(actor, op)
            self.target = op[1].uid if len(op) > 1 and isinstance(op[1], Thing) else 0
            if op[0] in IN_TIME:
                self.pass_time(op)
            if op[0] == "event_wake":
                self.before = op[1].v
                self.wakes[op[1].uid] = (actor, stack_of(self.generators[actor]))
            answer = self.perform[op[0]](*op[1:])
            if self.births.made:
                self.births.step(actor, op[0], self.target)
            try:
                self.ops[actor] = self.generators[actor].send(answer)
            except StopIteration:
                if self.model.acts and op[0] != "end":  # its stores leave the buffer one by one first
                    self.ops[actor] = ("end", self.threads[actor])
                else:
                    self.finish(actor)
            if self.steps is not None:
                self.record_waits(actor)
        if actor == self.last and not watch.writes:
            self.barren += 1
        else:
            self.barren = 0
            self.last = actor
        if len(choices) > MOST_STEPS:
            raise Livelock(f"after {MOST_STEPS} steps CPU {actor} ({self.names[actor % BUFFERS]}) is still going")

    def act(self, cpu: int) -> None:
        """What the memory model does by itself for a CPU."""
        action = next(a for a in self.model.internal() if a.cpu == cpu)
        if self.steps is not None:
            self.steps.append(Step(cpu, action.kind, name_of(action.target), tuple(action.details), (), "store buffer"))
        self.model.perform(action)

    def pass_time(self, op: tuple) -> None:
        if self.forced:
            self.idle += 1
            if self.idle > IDLE:
                waiting = "; ".join(self.waits(cpu) for cpu, op in enumerate(self.ops) if op)
                raise Livelock(f"{IDLE} naps and timeouts have gone by and nobody gets any further: {waiting}")
        elif not READY[op[0]](self.seam, op):
            self.eager_left -= 1

    def begin(self, thread) -> None:
        self.watch.reads.append(thread.uid)
        self.model.take_over(self.seam.current, thread)

    def finish(self, cpu: int) -> None:
        self.ops[cpu] = None
        self.model.hand_over(cpu, self.threads[cpu])
        self.births.hand_over(cpu, self.threads[cpu].uid)
        self.watch.writes.append(self.threads[cpu].uid)

    def choose(self, n: int, label: str) -> int:
        choice = self.strategy.value(self, n, label) if n > 1 else 0
        if n > 1:
            self.choices.append(-1 - choice)
        return choice

    # Threads of the engine

    def start_thread(self, main, argument, name) -> int:
        if name in self.seam.inline:
            return INLINE
        number = self.add(Actor(name, lambda: main(argument)))
        self.model.hand_over(self.seam.current, self.threads[number])
        self.births.hand_over(self.seam.current, self.threads[number].uid)
        self.watch.writes.append(self.threads[number].uid)
        return number + 1

    def has_ended(self, handle: int) -> bool:
        return handle == INLINE or self.ops[handle - 1] is None

    def take_end(self, handle: int) -> None:
        if handle == INLINE:
            return
        thread = self.threads[handle - 1]
        self.watch.reads.append(thread.uid)
        self.model.take_over(self.seam.current, thread)
        self.births.take_over(self.seam.current, thread.uid)

    # The end, and what is wrong there

    def end(self) -> None:
        """Nobody can step: all have ended (daemons may wait), or somebody waits for ever."""
        stuck = [cpu for cpu, op in enumerate(self.ops) if op and not self.daemons[cpu]]
        if not stuck:
            self.model.settle()
            self.births.settle()
            return self.check()
        told = "; ".join(self.waits(cpu) for cpu in stuck)
        ops = [op for cpu in stuck if (op := self.ops[cpu])]
        woken = [self.wakes[op[1].uid] for op in ops if op[0] == "event_wait" and op[1].uid in self.wakes]
        if woken:
            cpu, stack = woken[-1]
            raise LostWakeUp(f"{told}; CPU {cpu} woke it before it slept, in {' > '.join(stack) or self.names[cpu]}")
        raise Deadlock(f"nobody can go on: {told}")

    def waits(self, cpu: int) -> str:
        """``CPU 1 (swapoff) in mutex_lock of areas[0].lock, held by CPU 0``."""
        op = self.ops[cpu] or ("nothing",)
        target = op[1] if len(op) > 1 else None
        where = f" of {name_of(target)}" if isinstance(target, Thing) else ""
        return f"CPU {cpu} ({self.names[cpu]}) waits in {op[0]}{where}{held_by(target)}"

    def describe(self, finding: Finding) -> Finding:
        """Adds who found it where, and where the other side was."""
        cpu = self.seam.current
        if isinstance(finding, Livelock | Deadlock | LostWakeUp) or not self.choices:
            finding.cpu = cpu
            return finding
        stack = stack_of_traceback(finding) or (stack_of(self.generators[cpu]) if cpu < len(self.generators) else ())
        finding.cpu, finding.stack = cpu, stack
        said = str(finding)
        finding.freed = next(((by, _functions(where)) for where, by in reversed(self.seam.frees) if where in said), None)
        finding.args = (
            (f"{finding}; CPU {cpu} ({self.names[cpu]}) is in {' > '.join(stack) or 'its check'}",) if stack else finding.args
        )
        return finding

    def where(self) -> str:
        """Where the CPU under way is: for what it frees and makes."""
        cpu = self.seam.current
        generator = self.generators[cpu] if cpu < len(self.generators) else None
        stack = stack_of_frames() if generator and generator.gi_running else stack_of(generator)
        return f"in {' > '.join(stack)} (step {len(self.choices)})"

    # The trace

    def record(self, cpu: int, op: tuple) -> None:
        target = op[1] if len(op) > 1 else None
        details = op[2:] if isinstance(target, Thing) else op[1:]
        note = "time passes" if op[0] in IN_TIME and not READY[op[0]](self.seam, op) else ""
        name = name_of(target) if isinstance(target, Thing) else ""
        assert self.steps is not None
        self.steps.append(Step(cpu, op[0], name, tuple(map(_shown, details)), stack_of(self.generators[cpu]), note))

    def record_waits(self, cpu: int) -> None:
        op = self.ops[cpu]
        ready = READY.get(op[0]) if op and not (len(op) > 1 and freed(op[1])) else None
        if op and ready and not ready(self.seam, op) and self.steps is not None:
            target = op[1] if len(op) > 1 else None
            name = name_of(target) if isinstance(target, Thing) else ""
            note = f"waits for {name}{held_by(target)}" if name else f"waits in {op[0]}"
            self.steps.append(Step(cpu, "waits", name, (op[0],), stack_of(self.generators[cpu]), note))


def _functions(where: str) -> tuple[str, ...]:
    """The stack in what ``where()`` said."""
    return tuple(where.removeprefix("in ").partition(" (")[0].split(" > "))


def held_by(target: Any) -> str:
    if getattr(target, "owner", None) is not None:
        return f", held by {holder(target.owner)}"
    if getattr(target, "writer", None) is not None:
        return f", held by {holder(target.writer)} for writing"
    if getattr(target, "readers", None):
        return f", held by {', '.join(map(holder, target.readers))} for reading"
    return ""


def _shown(value: Any) -> Any:
    """A detail as a trace keeps it: numbers as they are, objects by name."""
    if isinstance(value, int | str | bytes | float) or value is None:
        return value
    if isinstance(value, Thing | Null):
        return name_of(value) if isinstance(value, Thing) else repr(value)
    return getattr(value, "__name__", type(value).__name__)
