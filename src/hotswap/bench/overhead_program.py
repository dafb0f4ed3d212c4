"""A program that knows nothing of hotswap and stays far below any limit: what ``hotswap bench overhead`` runs twice.

Prints JSON: seconds of each part, and a number that depends on every result.
"""

import json
import time

began = time.perf_counter()
import numpy as np  # noqa: E402

seconds = {"importing NumPy": time.perf_counter() - began}


def small() -> float:
    return float(sum(np.empty(10).size for _ in range(1_000_000)))


def objects() -> float:
    table = {number: (number, str(number)) for number in range(600_000)}
    return float(sum(len(text) for _, text in table.values()))


def temporaries() -> float:
    a = np.arange(1 << 17, dtype="f8")
    return float(sum((a * number + a)[7] for number in range(3000)))


def zeros() -> float:
    total = 0.0
    for number in range(3000):
        fresh = np.zeros(1 << 17)
        fresh += number
        total += fresh[5]
    return total


def large() -> float:
    kept = [np.full(1 << 22, number, "f8") for number in range(8)]
    return float(sum(array[::4096].sum() for array in kept))


def sorting() -> float:
    return float(np.sort(np.random.default_rng(1).random(6_000_000))[::1000].sum())


def product() -> float:
    a = np.arange(900 * 900, dtype="f8").reshape(900, 900) / 900
    return float(np.trace(a @ a @ a))


checksum = 0.0
for part in (small, objects, temporaries, zeros, large, sorting, product):
    began = time.perf_counter()
    checksum += part()
    seconds[part.__name__] = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "checksum": checksum}))
