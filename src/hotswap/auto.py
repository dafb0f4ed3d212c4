"""``import hotswap.auto``: from here on NumPy's large arrays are swappable, in all threads, until the process ends.

Takes HOTSWAP_LIMIT, HOTSWAP_SWAP (as ``--swap``, separated by blanks) and HOTSWAP_MIN_SIZE from the environment, and else what
``hotswap run`` takes. ``space`` is where the arrays lie: ``space.limit`` and ``space.stats()``. Under ``hotswap run`` nothing changes.
"""

from .npmemory import everywhere
from .run import plan

space = everywhere(plan.make())
