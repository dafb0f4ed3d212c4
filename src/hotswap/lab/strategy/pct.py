"""PCT: random priorities, the highest goes on, and at ``depth - 1`` random steps the one that runs falls to the bottom.

A race that needs ``depth`` ordering constraints is found in one schedule with a chance of at least 1 / (actors * steps ** (depth - 1)):
Burckhardt, Kothari, Musuvathi, Nagarakatte, "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010.
The number of steps is taken from the longest schedule so far.
"""

import random

from .contract import Strategy


class Pct(Strategy):
    def __init__(self, schedules: int, depth: int = 3, seed: int = 0):
        super().__init__()
        self.left = schedules
        self.depth = depth
        self.random = random.Random(seed)
        self.longest = 32

    def begin(self):
        self.priority: dict[int, float] = {}
        self.falls = {self.random.randrange(self.longest): n for n in range(1, self.depth)}
        self.left -= 1
        return self.left >= 0

    def pick(self, machine, enabled):
        for actor in enabled:
            if actor not in self.priority:
                self.priority[actor] = 1 + self.random.random()
        best = max(enabled, key=self.priority.__getitem__)
        if (n := self.falls.pop(len(machine.choices), None)) is not None:
            self.priority[best] = -n
            best = max(enabled, key=self.priority.__getitem__)
        if machine.forced:  # it sleeps and nobody else can go on: behind the others when they can again
            self.priority[best] = -self.depth - len(machine.choices)
        return best

    def value(self, machine, n, label):
        return self.random.randrange(n)

    def ended(self, machine, outcome):
        super().ended(machine, outcome)
        self.longest = max(self.longest, len(machine.choices))
