"""One schedule from its choices. Beyond them the CPU that runs goes on; a choice that cannot be made there is an error."""

from .contract import Strategy, straight_on


class CannotReplay(ValueError):
    """The choices do not fit: another version of the source, or no schedule at all."""


class Replay(Strategy):
    def __init__(self, choices: list[int]):
        super().__init__()
        self.choices = choices

    def begin(self):
        return self.schedules + self.pruned == 0

    def pick(self, machine, enabled):
        at = len(machine.choices)
        if at >= len(self.choices):
            return straight_on(machine, enabled)
        wanted = self.choices[at]
        if wanted not in enabled:
            raise CannotReplay(f"step {at}: actor {wanted} cannot act there (those that can: {enabled})")
        return wanted

    def value(self, machine, n, label):
        at = len(machine.choices)
        if at >= len(self.choices):
            return 0
        value = -1 - self.choices[at]
        if not 0 <= value < n:
            raise CannotReplay(f"step {at}: value {value} of {label}, which has {n}")
        return value
