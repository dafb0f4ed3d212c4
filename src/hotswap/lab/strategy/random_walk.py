"""Every choice by a coin: finds shallow races fast, says nothing about what it did not meet."""

import random

from .contract import Strategy


class RandomWalk(Strategy):
    def __init__(self, schedules: int, seed: int = 0):
        super().__init__()
        self.left = schedules
        self.random = random.Random(seed)

    def begin(self):
        self.left -= 1
        return self.left >= 0

    def pick(self, machine, enabled):
        return enabled[int(self.random.random() * len(enabled))]

    def value(self, machine, n, label):
        return self.random.randrange(n)
