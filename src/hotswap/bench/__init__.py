"""``hotswap bench``: the same workloads on the same data, on hotswap and on its peers, side by side in one run.

Read in this order:

    plan       names of workloads and systems, the settings of a run, what a row is, how long a step should take
    data       the bytes every system gets (fixed seed) and the order in which pages are touched
    workloads  W1 to W4, W9, W10: what is timed, and the check of every byte afterwards   (in the child)
    jobs       W5 to W8: whole jobs, whose results are compared with those in RAM; jobs_data: what they work on
    latency    W12: one fault; roundtrip: the least it can take, compiled;  overhead: W11
    systems    where an array lives: RAM, hotswap, numpy.memmap; all use of hotswap is here (in the child)
    dask_jobs  the same jobs on dask.array                                                 (in the child)
    worker     the child process: one system, one workload
    cgroup     a memory cgroup, version 1 or 2, that holds a peer to the limit             (in the parent, root)
    kernel     the kernel's own swap for a peer: a swap file or zram; dropping caches      (in the parent, root)
    disk       what the disk itself gives: the reference rows
    janitor    what a run leaves when it is killed, and who takes it away
    runner     the steps one after the other; each is undone whatever happens
    verdict    ratios, goals, where a peer wins;  stages: where a fault's time goes (--profile)
    report     tables and JSON;  picture: the PNG;  publish: both for the documentation;  progress: what is shown meanwhile
    guards     ``hotswap bench guards``: the designs of engine/guard against each other;  guard_worker: its child
    replaced   ``hotswap bench reclaim``: who leaves, on recorded touches, against FIFO, LRU and MIN (replacement); traces: the work that
               is recorded;  recorder: how, compiled;  reclaim_program: its child
    command    the ``bench`` command

Nothing here imports ``hotswap`` itself except ``systems`` and ``latency`` in hotswap's own child, and the two modules about guards.
"""
