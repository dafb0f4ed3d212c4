"""``hotswap bench``: the same workloads on the same data, on hotswap and on its peers, side by side in one run.

Read in this order:

    plan       names of workloads and systems, the settings of a run, what a row is, how long a step should take
    data       the bytes every system gets (fixed seed) and the order in which pages are touched
    workloads  what is timed, and the check of every byte afterwards                      (in the child)
    systems    where an array lives: RAM, hotswap, numpy.memmap; all use of hotswap is here (in the child)
    worker     the child process: one system, one workload
    cgroup     a memory cgroup, version 1 or 2, that holds a peer to the limit             (in the parent, root)
    kernel     the kernel's own swap for a peer: a swap file or zram; dropping caches      (in the parent, root)
    disk       what the disk itself gives: the reference rows
    runner     the steps one after the other; each is undone whatever happens
    report     ratios, tables, JSON;  picture: the PNG;  progress: what is shown meanwhile
    guards     ``hotswap bench guards``: the designs of engine/guard against each other;  guard_worker: its child
    command    the ``bench`` command

Nothing here imports ``hotswap`` itself except ``systems`` in hotswap's own child, and the two modules about guards.
"""
