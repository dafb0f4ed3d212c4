"""Handlers that stay awake for the next fault, and those that sleep: none is missed in between."""

import random
import threading
import time

import numpy as np
import pytest

from hotswap import Space

SEED = 21
PAGES = 4096


@pytest.mark.parametrize("threads", [1, 2, 6])  # handlers are four
def test_faults_that_come_about_when_a_handler_goes_to_sleep_are_served(threads, areas):
    areas(1, "32M")
    print("seed", SEED)
    space = Space("4M")
    words = space.empty(PAGES * 512, "u8").reshape(PAGES, 512)
    words[:] = np.arange(PAGES, dtype="u8")[:, None] + np.arange(512, dtype="u8")
    wrong = []

    def touches(number, words):
        chance = random.Random(SEED + number)
        for _ in range(1500 // threads):
            page = chance.randrange(PAGES)
            if words[page].sum() != 512 * page + 511 * 256:  # without the interpreter's lock, so that others fault meanwhile
                wrong.append(page)
            time.sleep(chance.choice((0, 0, 20e-6, 60e-6, 150e-6, 2e-3)))

    crew = [threading.Thread(target=touches, args=(number, words), daemon=True) for number in range(threads)]
    for one in crew:
        one.start()
    for one in crew:
        one.join(60)
    assert not any(one.is_alive() for one in crew), "a fault was not served"
    assert not wrong
    assert space.stats()["faults_major"] + space.stats()["faults_minor"] > 500
    del words
