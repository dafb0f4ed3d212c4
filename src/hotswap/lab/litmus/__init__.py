"""Litmus tests: a few accesses on a few CPUs, and what they may read. They test the memory models, and say what a race's pattern is.

``program`` a test, also in a short notation; ``run`` all its outcomes on a model of ``lab.model``; ``axioms`` the same from axioms, by
trying every candidate execution: two answers to one question, written independently; ``classics`` the tests of the literature with what
each model allows; ``kernel`` reads the kernel's format (docs/litmus), so that one text is judged here and by herd7.
"""
