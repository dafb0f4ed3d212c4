"""``import hotswap.auto``: from here on NumPy's large arrays are swappable, in all threads, until the process ends.

Takes limit, areas and the smallest size from the environment and the file of settings (``hotswap.config``), and else what
``hotswap run`` takes. ``space`` is where the arrays lie: ``space.limit`` and ``space.stats()``. Under ``hotswap run`` nothing changes.
"""

from .npmemory import everywhere
from .run import plan

space = everywhere(plan.make())
