"""The child of ``hotswap bench guards``: one guard, all its measures, one line of JSON on standard output.

Sections, retiring and the bystander are measured in loops of the engine's own (engine/guard/meter.py), on native threads that
hold no interpreter's lock; faults and swapoffs as a program has them, through the public calls. Short bursts of what is compared
follow each other, so that a machine whose speed drifts does so for both.
"""

import ctypes
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from .worker import one_sentence

MIB = 1 << 20
SLOTS = 4096
BURST = 100_000  # sections of one measurement
BURSTS = 25
RETIRES = 200
WINDOW_NS = 2_000_000  # over which a longest pause is taken: shorter than the scheduler's slices
WINDOWS = 150
AREA, LIMIT, DATA = 24 * MIB, 4 * MIB, 16 * MIB
WORDS = 512  # of 8 bytes in a page


def main() -> int:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # dies with its parent
    name, seconds, scratch = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    answer: dict[str, Any]
    try:
        answer = {"samples": measure(name, seconds, scratch)}
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent says it
        answer = {"error": one_sentence(error)}
    print(json.dumps(answer))
    return 0


def measure(name: str, seconds: float, scratch: Path) -> dict[str, float]:
    import hotswap
    from hotswap.lab.native import Compiled

    hotswap.configure(guard=name)
    engine = Compiled()
    figures: dict[str, float] = {"may sleep": float(engine.guard.contract.guard_may_sleep())}
    stays, goes = _area(engine), _area(engine)
    figures |= sections(engine.guard.meter, stays)
    figures |= retiring(engine, stays, goes)
    for type_ in (stays, goes):
        _retirer(engine)(type_)
    figures |= faults(hotswap, seconds, scratch)
    return figures


def _area(engine: Any) -> int:
    """An area without a file: nothing is transferred."""
    type_ = engine.swapon.area_setup(-1, SLOTS, 0)
    engine.swapon.area_publish(type_)
    return int(type_)


def _retirer(engine: Any) -> Callable[[int], float]:
    """Takes an area off; the seconds that the guard's part of it took."""
    deactivate, retire = engine.area.area_deactivate, engine.guard.contract.guard_retire
    detach, teardown = engine.area.address("area_detach"), engine.swapon.area_teardown

    def off(type_: int) -> float:
        deactivate(type_)
        began = time.perf_counter()
        retire(type_, detach)
        took = time.perf_counter() - began
        teardown(type_)
        return took

    return off


def sections(meter: Any, type_: int) -> dict[str, float]:
    """Nanoseconds of an enter and exit on one thread and on two at once, and of a plain increment and decrement likewise."""
    one, plain, two, plain_two = [], [], [], []
    increments, pairs = meter.meter_plain, meter.meter_sections
    for _burst in range(BURSTS):
        plain.append(increments(BURST) / BURST)
        one.append(pairs(type_, BURST) / BURST)
        plain_two += _on_two(lambda: increments(BURST) / BURST)
        two += _on_two(lambda: pairs(type_, BURST) / BURST)
    return {
        "enter + exit": median(one),
        "plain": median(plain),
        "enter + exit, 2 threads": median(two),
        "plain, 2 threads": median(plain_two),
    }


def _on_two(work: Any) -> list[float]:
    found: list[float] = []
    ready = threading.Barrier(2)

    def run() -> None:
        ready.wait()
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def retiring(engine: Any, stays: int, goes: int) -> dict[str, float]:
    """How long retiring an area takes while somebody goes in and out of another, and how long that one is held up at most."""
    pause, off = engine.guard.meter.meter_pause, _retirer(engine)
    setup, publish = engine.swapon.area_setup, engine.swapon.area_publish
    quiet = [pause(stays, WINDOW_NS) for _ in range(WINDOWS)]
    took: list[float] = []
    pauses: list[int] = []
    over = threading.Event()

    def stand_by() -> None:
        while not over.is_set() or len(pauses) < WINDOWS:
            pauses.append(pause(stays, WINDOW_NS))

    bystander = threading.Thread(target=stand_by)
    bystander.start()
    while len(took) < RETIRES or len(pauses) < WINDOWS:
        took.append(off(goes))
        if setup(-1, SLOTS, 0) != goes:
            raise AssertionError("the row was taken by somebody else")
        publish(goes)
    over.set()
    bystander.join()
    return {"retire": median(took) * 1e6, "pause": median(pauses) / 1e3, "pause, no swapoffs": median(quiet) / 1e3}


def faults(hotswap: Any, seconds: float, scratch: Path) -> dict[str, float]:
    """Random touches a second under a limit of a quarter of the data, in turns with and without swapoffs; every word is checked."""
    import numpy as np

    paths = [str(scratch / f"{number}.swap") for number in range(3)]
    for path in paths:
        hotswap.swapon(path, size=AREA)
    space = hotswap.Space(LIMIT, folio="4K")
    words = space.empty(DATA // 8, "u8")
    words[:] = 0
    pages = words.reshape(-1, WORDS)
    expected = np.zeros(len(pages), "u8")
    random = np.random.default_rng(20260)
    swapping, over = threading.Event(), threading.Event()
    took: list[float] = []
    wrong: list[BaseException] = []

    def flip() -> None:
        turn = 0
        try:
            while not over.is_set():
                if not swapping.wait(0.05):
                    continue
                path = paths[turn % len(paths)]
                took.append(hotswap.swapoff(path).seconds)
                hotswap.swapon(path)
                turn += 1
        except BaseException as error:  # noqa: BLE001 - said by the main thread
            wrong.append(error)

    flipper = threading.Thread(target=flip)
    flipper.start()
    touched, spent = [0, 0], [0.0, 0.0]
    turns = 10
    try:
        for turn in range(turns):
            disturbed = turn % 2
            (swapping.set if disturbed else swapping.clear)()
            began = time.perf_counter()
            while time.perf_counter() - began < seconds / turns:
                for page in random.integers(0, len(pages), 64):
                    pages[page, page % WORDS] += 1
                    expected[page] += 1
                touched[disturbed] += 64
            spent[disturbed] += time.perf_counter() - began
    finally:
        over.set()
        flipper.join()
    if wrong:
        raise wrong[0]
    for page in range(len(pages)):
        if pages[page, page % WORDS] != expected[page] or pages[page].sum() != expected[page]:
            raise AssertionError(f"page {page} does not hold what was written to it")
    del words, pages
    space.close()
    for path in paths:
        hotswap.swapoff(path)
    return {
        "touches": touched[1] / spent[1],
        "touches, no swapoffs": touched[0] / spent[0],
        "swapoff": median(took) * 1e3,
        "swapoffs": float(len(took)),
    }


if __name__ == "__main__":
    sys.exit(main())
