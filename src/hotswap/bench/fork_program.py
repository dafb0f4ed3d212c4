"""What ``hotswap bench fork`` times: run by path, ``fork_program.py AREA SIZE LIMIT FOLIO TIMES``; prints JSON.

An array of SIZE bytes under LIMIT, so that nearly all of it is swapped out; then forks, one after the other. Each child looks at a page
in every 64th part and compares it, and so does the parent afterwards.
"""

import json
import os
import sys
import time

import numpy as np

import hotswap

WORDS = 512


def looks_right(array: np.ndarray, mark: int) -> bool:
    rows = range(0, len(array), max(1, len(array) // 64))
    return all((array[row] == np.arange(row, row + WORDS, dtype="u8") + mark).all() for row in rows)


def main() -> None:
    area, size, limit, folio, times = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
    hotswap.swapon(area, size=size + size // 4 + (64 << 20))
    space = hotswap.Space(limit, folio=folio)
    array = space.empty((size // WORDS // 8, WORDS), "u8")
    for first in range(0, len(array), 4096):
        rows = np.arange(first, min(first + 4096, len(array)), dtype="u8")[:, None]
        array[first : first + 4096] = rows + np.arange(WORDS, dtype="u8")
    milliseconds, right = [], True
    for _ in range(times):
        began = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            os._exit(0 if looks_right(array, 0) else 1)
        milliseconds.append((time.perf_counter() - began) * 1e3)
        right = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 and looks_right(array, 0) and right
        time.sleep(0.3)  # the child is cleaned up after
    used = sum(swap.used for swap in hotswap.swaps())
    print(json.dumps({"milliseconds": milliseconds, "right": right, "swapped": used}))


if __name__ == "__main__":
    main()
