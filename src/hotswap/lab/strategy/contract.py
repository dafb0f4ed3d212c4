"""What a strategy is: it starts schedules until there is none left, and makes their choices."""

from typing import NamedTuple


class Coverage(NamedTuple):
    """What was covered. ``pruned``: schedules given up half-way because others show the same; ``bound``: preemptions, or None;
    ``complete``: every schedule within the bound was tried, up to the order of steps that do not touch the same thing."""

    schedules: int = 0
    steps: int = 0
    pruned: int = 0
    bound: int | None = None
    complete: bool = False

    def __add__(self, other):
        return Coverage(
            self.schedules + other.schedules,
            self.steps + other.steps,
            self.pruned + other.pruned,
            self.bound if self.bound is not None else other.bound,
            self.complete and other.complete,
        )


class Strategy:
    """Runs the machine's current CPU on where it can: the schedule that replay falls back to."""

    watches = False  # stepped() is called after each step
    bound: int | None = None

    def __init__(self) -> None:
        self.schedules = 0
        self.steps = 0
        self.pruned = 0
        self.complete = False

    def begin(self) -> bool:
        """Is there another schedule? It starts now."""
        return True

    def pick(self, machine, enabled: list[int]) -> int | None:
        """Who steps; None gives this schedule up."""
        return straight_on(machine, enabled)

    def value(self, machine, n: int, label: str) -> int:
        """Which of ``n`` values the memory model is to take."""
        return 0

    def stepped(self, machine, actor: int) -> None:
        """The step was made; ``machine.watch`` has what it touched."""

    def ended(self, machine, outcome) -> None:
        self.schedules += not outcome.cut
        self.pruned += outcome.cut
        self.steps += len(machine.choices)

    def coverage(self) -> Coverage:
        return Coverage(self.schedules, self.steps, self.pruned, self.bound, self.complete)


def straight_on(machine, enabled: list[int]) -> int:
    return machine.last if machine.last in enabled else enabled[0]
