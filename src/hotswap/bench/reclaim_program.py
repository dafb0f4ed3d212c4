"""What ``hotswap bench reclaim`` runs for each trace: run by path, ``reclaim_program.py TRACE AREA LIMIT SEED``; prints JSON.

The work runs on recorded memory; then the engine, FIFO, LRU and MIN each choose who leaves on the same touches. The engine does it for real: the
array lies in a Space with that limit and folios of 4 KiB, each touch of the trace is made there, and what it then reads is compared
with what was last written. All begin with what is left after all pages were written once, front to back.

What counts for the engine are the pages that were read from the area; those that were read ahead and left without being used are told apart, as
they say nothing about who was chosen to leave. The others have all of the limit for pages; of the engine's a 16th is staging
frames and a bit is kept free.
"""

import ctypes
import json
import sys
import time
from array import array
from itertools import chain

import numpy as np

import hotswap
from hotswap.bench import recorder, replacement, traces

PAGE = 4096
DATA = 5 / 2  # times the limit
WINDOW = 8  # pages that may be touched again without a record
MOST = 4_000_000  # records


def record(name: str, memory: int, seed: int) -> "tuple[array[int], bool]":
    """The touches of a program: page << 2 | how (1: written first, 2: later); and whether its result was right."""
    size = int(memory * DATA) * PAGE
    address = recorder.begin(size, WINDOW, MOST)
    if address < 0:
        raise SystemExit(f"touches cannot be recorded: error {-address}; it takes Linux 6.6 on x86-64 and userfaultfd.")
    held = (ctypes.c_char * size).from_address(address)
    work, right = traces.PROGRAMS[name](np.frombuffer(memoryview(held).cast("B"), "u8"), memory, np.random.default_rng(seed))
    recorder.forget()
    work()
    raw, count = recorder.taken()
    found = array("I", raw)
    if count != len(found):
        raise SystemExit(f"{name}: {count} touches, of which {len(found)} found room; take a lower --limit.")
    return found, right()


def replay(trace: "array[int]", memory: int, area: str) -> dict[str, int | bool | float]:
    """The same touches on real memory."""
    pages = int(memory * DATA)
    hotswap.swapon(area, size=pages * PAGE * 5 // 4 + (8 << 20))
    with hotswap.Space(memory * PAGE, folio="4K") as space:
        whole = space.empty(pages * 512, "u8")
        words = memoryview(whole)  # type: ignore[arg-type]
        last = list(range(1, pages + 1))
        right = True
        for page in range(pages):
            words[page * 512] = page + 1
        before = space.stats()
        begun = time.perf_counter()
        stamp = pages
        for touch in trace:
            page = touch >> 2
            if not touch & 1:
                right &= words[page * 512] == last[page]
            if touch & 3:
                stamp += 1
                words[page * 512] = last[page] = stamp
        seconds = time.perf_counter() - begun
        after = space.stats()
        right &= whole[::512].tolist() == last
        words.release()
        del whole
    hotswap.swapoff(area)
    found: dict[str, int | bool | float] = {
        name: after[name] - before[name]
        for name in ("pages_in", "pages_out", "faults_major", "readahead_pages", "readahead_hits", "activations")
    }
    return found | {"right": right, "seconds": seconds}


def main() -> None:
    name, area, memory, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]) // PAGE, int(sys.argv[4])
    touches, right = record(name, memory, seed)
    recorder.end()
    pages = int(memory * DATA)
    trace = list(chain(range(pages), (touch >> 2 for touch in touches)))
    engine = replay(touches, memory, area)
    vain = max(0, engine["readahead_pages"] - engine["readahead_hits"])
    misses = {
        "fifo": replacement.fifo(trace, memory, pages),
        "lru": replacement.lru(trace, memory, pages),
        "min": replacement.minimum(trace, memory, pages),
        "hotswap": engine["pages_in"] - vain,
    }
    engine["right"] = engine["right"] and right
    print(
        json.dumps({"touches": len(touches), "pages": len(set(trace[pages:])), "misses": misses, "vain": vain, "engine": engine})
    )


if __name__ == "__main__":
    main()
