"""A search of many schedules on several processes: the tree of choices in pieces, each searched for a moment at a time.

A piece is a root: choices that are made, after which everything is to be tried. Whoever searches it does so for SLICE seconds and
hands back what is left as new roots. An order of steps that would have to be tried within the root, where others are at work, comes
back as a request; the one who hands out the pieces knows what was tried at each such state and makes a new root of what was not. So
pieces come to cost alike, and no two processes try the same. (Sleep sets end at a root: without a bound some orders are tried twice.)

Processes are spawned, not forked: they share nothing but the queues, and build the case anew.
"""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .scenario.contract import Case, find
from .strategy.contract import Coverage
from .strategy.exhaustive import Exhaustive, Request

SLICE = 1.0
TICK = 0.1

Root = tuple[int, ...]


class Task(NamedTuple):
    case: Case
    bound: int | None


class Done(NamedTuple):
    """What came of a piece. ``choices`` are a finding's."""

    coverage: Coverage
    roots: list[Root]
    tried: list[Request]
    requests: list[Request]
    choices: list[int] | None
    failed: str = ""


class Shared:
    """The search of one task: ``add`` pieces, then ``run``."""

    def __init__(self, task: Task, jobs: int):
        self.task = task
        self.jobs = jobs
        self.tried: dict[Root, set[int]] = {}  # state: who was or will be tried there
        self.left: list[Root] = []
        self.out = 0  # pieces that are being searched
        self.coverage = Coverage(bound=task.bound, complete=True)
        self.complete = False
        context = multiprocessing.get_context("spawn")
        self.pieces = context.Queue()
        self.results = context.Queue()
        self.stop = context.Event()
        arguments = (task, self.pieces, self.results, self.stop)
        self.processes = [context.Process(target=search, args=arguments, daemon=True) for _ in range(jobs)]

    def __enter__(self) -> "Shared":
        # What is ignored stays so over spawn: a Ctrl-C while they still load is the other's to see, too.
        in_main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None
        try:
            for process in self.processes:
                process.start()
        finally:
            if in_main:
                signal.signal(signal.SIGINT, before)
        return self

    def __exit__(self, *error) -> None:
        self.stop.set()
        for _ in self.processes:
            self.pieces.put(None)
        for process in self.processes:
            process.join(5)
            if process.is_alive():
                process.terminate()
        for each in (self.pieces, self.results):
            each.cancel_join_thread()
            each.close()

    def add(self, roots: list[Root], tried: list[Request]) -> None:
        for state in tried:
            self.tried.setdefault(state.path, set()).update(state.actors)
        self.left += roots

    def run(self, over: Callable[[], bool]) -> Iterator[Done]:
        """Pieces as they come back, until none is left or ``over()``."""
        while self.left or self.out:
            while self.left and self.out < 2 * self.jobs:
                self.pieces.put(self.left.pop())
                self.out += 1
            if over():
                return
            try:
                done: Done = self.results.get(timeout=TICK)
            except queue.Empty:
                if not any(process.is_alive() for process in self.processes):
                    raise RuntimeError("the processes that search have ended") from None
                continue
            self.out -= 1
            if done.failed:
                raise RuntimeError(done.failed)
            self.coverage += done.coverage._replace(complete=True)
            self.add(done.roots, done.tried)
            for request in done.requests:
                self.ask(request)
            yield done._replace(coverage=self.coverage)
        self.complete = True

    def ask(self, request: Request) -> None:
        known = self.tried.setdefault(request.path, set())
        if request.all:
            new = [actor for actor in request.actors if actor not in known]
        else:
            new = [] if known.intersection(request.actors) else [request.actors[0]]
        known.update(new)
        self.left += [(*request.path, actor) for actor in new]


def search(task: Task, pieces, results, stop) -> None:
    """A process: searches pieces until it is given None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other's to see
    parent = os.getppid()
    try:
        machine = find(task.case.scenario).machine(task.case)
        while True:
            try:
                root = pieces.get(timeout=5)
            except queue.Empty:
                if os.getppid() != parent:
                    return
                continue
            if root is None or stop.is_set():
                results.cancel_join_thread()  # nobody reads any more
                return
            results.put(search_piece(machine, task.bound, root, stop))
    except Exception as error:  # noqa: BLE001 - said where it can be seen
        results.put(Done(Coverage(), [], [], [], None, f"a process that searches failed: {error!r}"))


def search_piece(machine, bound, root: Root, stop) -> Done:
    strategy = Exhaustive(bound, root)
    until = time.monotonic() + SLICE
    while strategy.begin():
        outcome = machine.run(strategy)
        if outcome.finding:
            return Done(strategy.coverage(), [], [], [], list(outcome.choices))
        if time.monotonic() > until or stop.is_set():
            break
    roots, tried = ([], []) if strategy.complete else strategy.export()
    return Done(strategy.coverage(), roots, tried, list(strategy.requests), None)
