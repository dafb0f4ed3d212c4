"""A family of processes that fork, start others anew, write, exit, kill and switch areas off at random; each has a model of its bytes in ordinary memory.

``python family_program.py DIRECTORY SEED SECONDS MEMBERS AREAS``, these with commas; prints what happened, exit status 1 when a byte was wrong or a slot was left.
The model of a child is its parent's, copied by the kernel: memory that hotswap has nothing to do with. One that was started anew
(``… AREAS joins``) begins with pages and a model of its own.
"""

import contextlib
import fcntl
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from support import TESTS

import hotswap
from hotswap.engine import api

WORDS = 512
PAGES = 2048  # 8 MiB
LIMIT = "3M"


class Member:
    """One process: its array, its model, its children."""

    def __init__(self, directory: Path, seed: int, until: float, most: int, areas: list[str]):
        self.directory, self.seed, self.until, self.most, self.areas = directory, seed, until, most, areas
        self.random = random.Random(seed)
        self.space = hotswap.Space(LIMIT, folio=self.random.choice(["4K", "16K", "64K"]))
        self.array = self.space.empty((PAGES, WORDS), "u8")
        self.model = np.zeros((PAGES, WORDS), "u8")
        self.write(0, PAGES)
        self.children: dict[int, bool] = {}  # by process: was it killed by us?
        self.generation = 0
        self.did: Counter[str] = Counter()
        self.files = directory / "members"
        self.files.mkdir(exist_ok=True)
        self.join()

    def join(self) -> None:
        (self.files / str(os.getpid())).touch()

    def write(self, first: int, pages: int) -> None:
        stamp = self.random.getrandbits(48)
        fresh = np.arange(stamp, stamp + pages * WORDS, dtype="u8").reshape(pages, WORDS)
        if self.random.random() < 0.1:
            fresh[...] = stamp
        self.array[first : first + pages] = fresh
        self.model[first : first + pages] = fresh

    def check(self, first: int, pages: int) -> None:
        if not np.array_equal(self.array[first : first + pages], self.model[first : first + pages]):
            wrong = [n for n in range(first, first + pages) if not np.array_equal(self.array[n], self.model[n])]
            page, word = wrong[0], int(np.argmax(self.array[wrong[0]] != self.model[wrong[0]]))
            print(
                f"seed {self.seed}: process {os.getpid()}: pages {wrong[:8]} are wrong ({len(wrong)}); word {word} of the first is "
                f"{self.array[page, word]:x}, not {self.model[page, word]:x}; word 0 is {self.array[page, 0]:x}, not {self.model[page, 0]:x}",
                flush=True,
            )
            (self.directory / "wrong").touch()
            os._exit(1)

    def some(self) -> tuple[int, int]:
        first = self.random.randrange(PAGES)
        return first, min(self.random.choice([1, 1, 4, 16, 64, 300]), PAGES - first)

    def fork(self) -> None:
        if len(os.listdir(self.files)) >= self.most:
            return
        child_seed = self.random.getrandbits(32)
        pid = os.fork()
        if pid == 0:
            self.random = random.Random(child_seed)
            self.children, self.generation = {}, self.generation + 1
            self.until = min(self.until, time.monotonic() + self.random.uniform(0.05, 6))
            self.join()
            self.live()
            self.leave()
        self.children[pid] = False

    def start(self) -> None:
        """A process that shares no memory with this one, and joins the family."""
        if len(os.listdir(self.files)) >= self.most:
            return
        seconds = min(self.until - time.monotonic(), self.random.uniform(0.5, 6))
        words = [
            str(TESTS / "family_program.py"),
            str(self.directory),
            str(self.random.getrandbits(32)),
            str(seconds),
            str(self.most),
            ",".join(self.areas),
            "joins",
        ]
        pid = os.posix_spawn(sys.executable, [sys.executable, *words], os.environ)
        (self.files / str(pid)).touch()
        self.children[pid] = False

    def reap(self, block: bool = False) -> None:
        for pid, killed in list(self.children.items()):
            done, status = os.waitpid(pid, 0 if block else os.WNOHANG)
            if done:
                with contextlib.suppress(FileNotFoundError):
                    (self.files / str(pid)).unlink()
                del self.children[pid]
                code = os.waitstatus_to_exitcode(status)
                if code != 0 and not (killed and code == -signal.SIGKILL):
                    print(f"seed {self.seed}: process {pid} ended with {code}", flush=True)
                    (self.directory / "wrong").touch()

    def kill(self) -> None:
        alive = [pid for pid, killed in self.children.items() if not killed]
        if alive:
            pid = self.random.choice(alive)
            self.children[pid] = True
            os.kill(pid, signal.SIGKILL)

    def off(self) -> None:
        """One area off and on again. At most two are off at a time, so that there is room for all.

        Whoever is killed in between leaves its area off: the next one puts it on first.
        """
        turn = self.lock("turn 0") or self.lock("turn 1")
        if turn is None:
            return
        with turn:
            free = {name: file for name in self.areas if (file := self.lock(name))}
            on = {Path(swap.path).name for swap in hotswap.swaps()}
            for name in free.keys() - on:
                self.on(name)
            if free:
                mine = self.random.choice(list(free))
                with free.pop(mine):
                    for file in free.values():
                        file.close()
                    self.off_and_on(mine)

    def lock(self, name: str):
        """A file; until it is closed, or this process dies, nobody else gets it. ``None``: somebody else has it."""
        file = (self.directory / f"{name}.lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def on(self, name: str) -> None:
        ram = name == "ram:"
        try:
            hotswap.swapon(name if ram else self.directory / name, size="16M" if ram else None, priority=self.random.randrange(3))
        except hotswap.AreaError:
            # One who was killed had come so far that whoever cleaned up found it on.
            if name not in [Path(swap.path).name for swap in hotswap.swaps()]:
                raise

    def off_and_on(self, name: str) -> None:
        late = time.monotonic() + 20

        def progress(far):
            if time.monotonic() > late:
                print(f"seed {self.seed}: swapoff of {far.path} takes long: {far}", flush=True)
                raise TimeoutError

        try:
            hotswap.swapoff(name if name == "ram:" else self.directory / name, progress=progress)
        except hotswap.AreaError:
            self.did["off refused"] += 1
            return
        self.on(name)

    def live(self) -> None:
        """Until its time is over."""
        what = {"write": 30, "check": 30, "fork": 5, "start": 1, "kill": 2, "off": 2, "nap": 2}
        while time.monotonic() < self.until and not (self.directory / "wrong").exists():
            [step] = self.random.choices(list(what), list(what.values()))
            if step == "write":
                self.write(*self.some())
            elif step == "check":
                self.check(*self.some())
            elif step == "nap":
                time.sleep(self.random.uniform(0, 0.05))
            else:
                getattr(self, step)()
            self.did[step] += 1
            self.reap()
        self.check(0, PAGES)

    def leave(self) -> None:
        """Of a child: one way or the other."""
        self.reap(block=True)
        if self.random.random() < 0.3:
            del self.array
            self.space.close()
        os._exit(0)


def main() -> int:
    directory, seed, seconds, most = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    areas = sys.argv[5].split(",")
    if sys.argv[6:] == ["joins"]:
        if api.joined():  # who started it may have been killed
            member = Member(directory, seed, time.monotonic() + seconds, most, areas)
            member.live()
            member.leave()
        return 0
    for name in areas:
        if name == "ram:":
            hotswap.swapon(name, size="16M", priority=4)
        else:
            hotswap.swapon(directory / name, size="64M")
    hotswap.configure(children=True)
    member = Member(directory, seed, time.monotonic() + seconds, most, areas)
    while time.monotonic() < member.until and not (directory / "wrong").exists():
        member.live()
    member.reap(block=True)
    member.check(0, PAGES)
    del member.array
    until = time.monotonic() + 10
    while any(swap.used for swap in hotswap.swaps()) and time.monotonic() < until:
        time.sleep(0.05)
    left = {swap.path: swap.used for swap in hotswap.swaps() if swap.used}
    print(f"seed {seed}: {dict(member.did)}; slots left: {left}")
    for swap in hotswap.swaps():
        hotswap.swapoff(swap.path)
    return 1 if left or (directory / "wrong").exists() else 0


if __name__ == "__main__":
    sys.exit(main())
