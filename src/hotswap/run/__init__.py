"""``hotswap run``: a program that knows nothing of hotswap, with swap of its own.

    plan.py       limit, areas, sizes: what was asked for, and what is taken when nothing was
    launch.py     before: looks at the program, sets its environment, becomes it (exec)
    preload/      a C library that is loaded before all others: malloc, system calls, the start inside Python
    boot.py       what that start runs: finds hotswap, whichever environment the program belongs to
    inside.py     in the program, before its first line: areas on, heap on, environment as it was

The process stays the same from ``hotswap run`` on, so signals, the terminal and the exit status are the program's own.
"""
