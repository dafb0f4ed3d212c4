"""The main job, ``hotswap demo``: an index is built in a fraction of its memory while the areas are pulled, and is checked.

Read in this order::

    command.py    the command line: options, the final line, exit codes
    run.py        one run, top to bottom: reference, areas, space, rounds of the job, cleaning up
    job.py        the job: a sorted n-gram index, phase by phase     sorting.py  probing.py  its heavier phases
    pagesums.py   a checked array: a sum for each page, taken when it is written and compared when it is read
    corpus.py     the input: the source text of the installed Python's standard library
    progress.py   how far the job is; how it is stopped
    churn.py      switches the areas off and on in turn while the job runs
    residency.py  resident memory by the kernel's own figures
    verdict.py    what was seen, and the one sentence that it amounts to
    live.py       what the user sees meanwhile
    engine.py     the only file here that calls hotswap
    scratch.py    where the area files go      reference.py  the same job in RAM, in a process of its own
"""
