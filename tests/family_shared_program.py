"""Members of a family write one shared array and are killed at any moment; what the last write of each said is in ordinary shared memory.

``python family_shared_program.py DIRECTORY SEED SECONDS``; prints what happened, exit status 1 when a word was wrong or a slot was left.
Writers come in places; each writes its own words, every WRITERS-th, a stretch at a time: first it notes the stretch and what it will hold, then
it writes, then it notes that it is done. Of one who was killed in the stretch that it had noted each word is the old or the new one.
"""

import gc
import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

import hotswap

WORDS = 1 << 18  # 2 MiB
WRITERS = 4
STRETCH = 3000


class Notes:
    """In memory that all have, and that is nobody's to swap: how often each word was written; the stretch that is being written."""

    def __init__(self) -> None:
        self.times = np.frombuffer(mmap.mmap(-1, WORDS * 8), "u8")
        self.doing = np.frombuffer(mmap.mmap(-1, WRITERS * 8 * 4), "i8").reshape(WRITERS, 4)  # first, end, under way

    def mine(self, place: int):
        return self.times[place::WRITERS]


def stamp(place, times):
    return times * np.uint64(WORDS) + np.arange(place, WORDS, WRITERS, dtype="u8")


def write(array, notes, place, seed, until):
    numbers, mine, times = random.Random(seed), array[place::WRITERS], notes.mine(place)
    while time.monotonic() < until:
        first = numbers.randrange(len(mine) - STRETCH)
        end = first + numbers.randrange(1, STRETCH)
        if not np.array_equal(mine[first:end], stamp(place, times)[first:end]):
            return False
        new = times[first:end] + np.uint64(1)
        notes.doing[place, :3] = first, end, 1
        mine[first:end] = new * np.uint64(WORDS) + np.arange(place, WORDS, WRITERS, dtype="u8")[first:end]
        times[first:end] = new
        notes.doing[place, 2] = 0
    return True


def settle(array, notes, place):
    """After a kill: what the array has of the stretch is what counts from now on, if it is what was there or was to be there."""
    first, end, under_way, _ = (int(n) for n in notes.doing[place])
    if under_way:
        found, times = array[place::WRITERS][first:end], notes.mine(place)[first:end]
        numbers = np.arange(place, WORDS, WRITERS, dtype="u8")[first:end]
        known = found // np.uint64(WORDS)
        if not (found % np.uint64(WORDS) == numbers).all() or (np.abs((known - times).astype("i8")) > 1).any():
            return False
        times[:] = known
        notes.doing[place, 2] = 0
    return True


def right(array, notes, place):
    return settle(array, notes, place) and np.array_equal(array[place::WRITERS], stamp(place, notes.mine(place)))


def main() -> int:
    directory, seed, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    numbers = random.Random(seed)
    for name in "ab":
        hotswap.swapon(directory / name, size="16M")
    space = hotswap.Space("1M", folio="16K")
    shared = hotswap.SharedArray(space, WORDS, "u8", limit="768K", folio=numbers.choice(["4K", "16K"]))
    array, notes = shared.array, Notes()
    array[...] = np.arange(WORDS)
    until, kills, offs, wrong = time.monotonic() + seconds, 0, 0, False
    children: dict[int, int] = {}  # place: process

    def fork(place):
        child_seed = numbers.getrandbits(32)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if write(array, notes, place, child_seed, until + 60) else 3
            finally:
                os._exit(code)
        children[place] = pid

    for place in range(WRITERS):
        fork(place)
    while time.monotonic() < until and not wrong:
        time.sleep(numbers.uniform(0, 0.15))
        place = numbers.randrange(WRITERS)
        os.kill(children[place], signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(children[place], 0)[1])
        kills += 1
        if code != -signal.SIGKILL or not right(array, notes, place):
            print(f"seed {seed}: place {place}, status {code}: wrong", flush=True)
            wrong = True
        fork(place)
        if numbers.random() < 0.2:
            path = directory / numbers.choice("ab")
            hotswap.swapoff(path)
            hotswap.swapon(path, priority=numbers.randrange(3))
            offs += 1
    for pid in children.values():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    for place in range(WRITERS):
        if not wrong and not right(array, notes, place):
            print(f"seed {seed}: place {place} is wrong at the end", flush=True)
            wrong = True
    resident = shared.stats()["resident_bytes"]
    print(f"seed {seed}: {kills} kills, {offs} swapoffs, {resident} bytes resident of {shared.limit}")
    array = shared = None
    gc.collect()
    late = time.monotonic() + 10
    while any(swap.used for swap in hotswap.swaps()) and time.monotonic() < late:
        time.sleep(0.05)
    left = {swap.path: swap.used for swap in hotswap.swaps() if swap.used}
    if left:
        print(f"seed {seed}: slots left: {left}")
    return 1 if wrong or left else 0


if __name__ == "__main__":
    sys.exit(main())
