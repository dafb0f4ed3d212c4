"""What the disk under the scratch directory gives by itself: the reference rows.

Direct I/O from Python on aligned buffers. Every 4 KiB block of the file begins with its own
number, and every block that was read is checked for it.
"""

import mmap
import os
import random
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np

from .plan import MIB, SEED, Row

BLOCK = 4096
MOST = 512 * MIB  # bytes of the file at most
DEPTH = 4  # transfers at a time, where it is not one
_SECONDS = 2.0  # of random reads


def measure(scratch: Path, size: int) -> list[Row]:
    """Rows ``direct-write``, ``direct-seq`` (1 MiB transfers, the better of one and of four at a time) and ``direct-random`` (4 KiB, depth 1)."""
    rows = [
        Row("disk", "direct-write", "GB/s"),
        Row("disk", "direct-seq", "GB/s"),
        Row("disk", "direct-random", "reads/s"),
    ]
    fd, name = tempfile.mkstemp(dir=scratch, suffix=".disk")
    os.close(fd)
    try:
        fd = os.open(name, os.O_RDWR | os.O_DIRECT)
        try:
            with mmap.mmap(-1, MIB) as buffer:
                _measure(fd, buffer, min(size, MOST) // MIB, rows)
        finally:
            os.close(fd)
    except OSError as error:
        for row in rows:
            row.note = row.note or f"no direct I/O in {scratch}: {error.strerror}"
    finally:
        os.unlink(name)
    return rows


def _measure(fd: int, buffer: mmap.mmap, mibs: int, rows: list[Row]) -> None:
    write, sequential, random_reads = rows
    words = np.frombuffer(buffer, dtype=np.uint64).reshape(-1, BLOCK // 8)  # a row a block
    words[:] = np.random.default_rng(SEED).integers(0, 1 << 63, words.shape, dtype=np.uint64)
    blocks = MIB // BLOCK
    numbers = np.arange(blocks, dtype=np.uint64)
    try:
        seconds = 0.0
        for k in range(mibs):
            words[:, 0] = numbers + np.uint64(k * blocks)
            begun = perf_counter()
            os.pwritev(fd, [buffer], k * MIB)
            seconds += perf_counter() - begun
        begun = perf_counter()
        os.fdatasync(fd)
        seconds += perf_counter() - begun
        write.value = mibs * MIB / seconds / 1e9

        seconds, right = 0.0, True
        for k in range(mibs):
            begun = perf_counter()
            os.preadv(fd, [buffer], k * MIB)
            seconds += perf_counter() - begun
            right &= bool((words[:, 0] == numbers + np.uint64(k * blocks)).all())
        several, right_too = _several(fd, mibs)
        right &= right_too
        sequential.samples = [mibs * MIB / seconds / 1e9, several]
        sequential.value = max(sequential.samples)
        sequential.note = f"one at a time {sequential.samples[0]:.3g}, {DEPTH} at a time {several:.3g}"
        write.verified = sequential.verified = right

        random_reads.value, random_reads.verified = _random(fd, buffer, words, mibs * blocks)
    finally:
        del words  # the mapping cannot be closed under an array


def _several(fd: int, mibs: int) -> tuple[float, bool]:
    """GB/s of ``DEPTH`` threads that take turns at the next MiB, and whether each block was the one asked for."""
    turns = iter(range(mibs))

    def take() -> bool:
        with mmap.mmap(-1, MIB) as buffer:
            right = True
            for k in turns:
                os.preadv(fd, [buffer], k * MIB)
                right &= buffer[:8] == (k * (MIB // BLOCK)).to_bytes(8, sys.byteorder)
        return right

    with ThreadPoolExecutor(DEPTH) as pool:
        begun = perf_counter()
        rights = [job.result() for job in [pool.submit(take) for _ in range(DEPTH)]]
        return mibs * MIB / (perf_counter() - begun) / 1e9, all(rights)


def _random(
    fd: int, buffer: mmap.mmap, words: "np.ndarray[tuple[int, int], np.dtype[np.uint64]]", blocks: int
) -> tuple[float, bool]:
    pick = random.Random(SEED)
    seconds, count, right = 0.0, 0, True
    with memoryview(buffer) as whole, whole[:BLOCK] as page:
        while seconds < _SECONDS:
            block = pick.randrange(blocks)
            begun = perf_counter()
            os.preadv(fd, [page], block * BLOCK)
            seconds += perf_counter() - begun
            count += 1
            right &= int(words[0, 0]) == block
    return count / seconds, right
