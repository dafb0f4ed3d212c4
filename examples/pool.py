"""Workers of a multiprocessing.Pool read one large array, which all of them together may have in memory only a fifth of.

``python pool.py``: 160 MiB of pairwise distances between points, within 32 MiB for the parent and four workers. Each worker looks at some
rows at a time: how many neighbours has each point, and which is its nearest? ``python pool.py ram`` has it all in memory, to compare.
"""

import multiprocessing
import os
import sys
import tempfile

import numpy as np

POINTS, ROWS = 4580, 32  # 160 MiB of float64; rows of a task


def distances():
    """The array that the workers inherit; where it lies does not matter to them."""
    points = np.random.default_rng(7).standard_normal((POINTS, 3))
    if "ram" in sys.argv[1:]:
        table = np.empty((POINTS, POINTS))
    else:
        import hotswap

        hotswap.configure(family_limit="32M")
        with tempfile.TemporaryDirectory(prefix="pool-", dir=os.environ.get("TMPDIR", "/var/tmp")) as scratch:
            hotswap.swapon(
                os.path.join(scratch, "a.swap"), size="256M"
            )  # it has no name after this, and goes with the last process
        table = hotswap.Space("32M").empty((POINTS, POINTS))
    for row in range(POINTS):
        table[row] = np.linalg.norm(points - points[row], axis=1)
        table[row, row] = np.inf
    return table


def look(first):
    rows = table[first : first + ROWS]
    return (rows < 0.25).sum(axis=1), rows.argmin(axis=1)


if __name__ == "__main__":
    table = distances()
    with multiprocessing.get_context("fork").Pool(4) as pool:
        neighbours, nearest = map(np.concatenate, zip(*pool.map(look, range(0, POINTS, ROWS), chunksize=1)))
    print(
        f"{neighbours.sum()} pairs of neighbours, {neighbours.max()} at most; {(nearest[nearest] == np.arange(POINTS)).sum()} nearest to each other"
    )
