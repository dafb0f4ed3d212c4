"""The same finding with fewer changes of CPU: stretches of a schedule are dropped, moved and joined as long as it is still found.

A schedule is taken as stretches, (actor, how many steps); a changed one is run *loosely*: who cannot step is passed over, what is left at
the end runs straight on. What counts as the same finding is its kind and the function where it was met.
"""

import itertools

from .findings import Finding
from .machine import BUFFERS, Machine
from .strategy.contract import Strategy, straight_on

TRIES = 400  # schedules


class Loose(Strategy):
    """Follows stretches as far as they can be followed; values of the memory model come in their order."""

    def __init__(self, stretches: list[tuple[int, int]], values: list[int]):
        super().__init__()
        self.stretches = stretches
        self.values = values
        self.at = 0
        self.made = 0
        self.value_at = 0

    def pick(self, machine, enabled):
        while self.at < len(self.stretches):
            actor, count = self.stretches[self.at]
            if self.made < count and actor in enabled:
                self.made += 1
                return actor
            self.at += 1
            self.made = 0
        return straight_on(machine, enabled)

    def value(self, machine, n, label):
        self.value_at += 1
        return min(n - 1, self.values[self.value_at - 1]) if self.value_at <= len(self.values) else 0


def switches(choices: list[int]) -> int:
    """How often another CPU goes on."""
    cpus = [choice for choice in choices if 0 <= choice < BUFFERS]
    return sum(one != other for one, other in itertools.pairwise(cpus))


def minimised(machine: Machine, choices: list[int], finding: Finding) -> list[int]:
    """Choices that give the same finding, with as few switches as were found in TRIES schedules."""
    wanted = _same(finding)
    best, cost = list(choices), _cost(choices)
    left = TRIES
    improved = True
    while improved and left > 0:
        improved = False
        stretches, values = _stretches(best), [-1 - choice for choice in best if choice < 0]
        for candidate in _candidates(stretches):
            left -= 1
            outcome = machine.run(Loose(candidate, values))
            if outcome.finding and _same(outcome.finding) == wanted and _cost(outcome.choices) < cost:
                best, cost = list(outcome.choices), _cost(outcome.choices)
                improved = True
                break
            if left <= 0:
                break
    return best


def _cost(choices: list[int]) -> tuple[int, int]:
    return switches(choices), len(choices)


def _same(finding: Finding) -> tuple:
    return type(finding), finding.stack[-1].partition(" ")[0] if finding.stack else ""


def _stretches(choices: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for choice in choices:
        if choice >= 0:
            if found and found[-1][0] == choice:
                found[-1] = (choice, found[-1][1] + 1)
            else:
                found.append((choice, 1))
    return found


def _candidates(stretches: list[tuple[int, int]]):
    """Without a stretch; with one moved before the one above it or after the one below; the longer changes first."""
    for at in range(len(stretches)):
        yield stretches[:at] + stretches[at + 1 :]
    for at in range(1, len(stretches)):
        yield [*stretches[: at - 1], stretches[at], stretches[at - 1], *stretches[at + 1 :]]
    for at in range(len(stretches) - 2):
        one, between, other = stretches[at : at + 3]
        if one[0] == other[0]:
            yield [*stretches[:at], (one[0], one[1] + other[1]), between, *stretches[at + 3 :]]
            yield [*stretches[:at], between, (one[0], one[1] + other[1]), *stretches[at + 3 :]]
