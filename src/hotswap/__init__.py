"""hotswap: swap for one program, whose areas can be pulled while it runs.

How the tree is laid out::

    control.py    swapon, swapoff, swaps: areas on and off          space.py    Space: arrays under a resident limit
    snapshot.py   what a space's arrays held at one moment          shared.py   SharedArray: several spaces map one array
    areafile.py   opening and formatting areas, header.py its v1 header     commit.py   what may be promised
    steering/     looking at and steering other processes                   config.py   settings
    engine/       the swap subsystem, compiled: start at fault.py and swapoff.py
    arch/         the seam it stands on: atomics, locks, userfaultfd, disk          lab/    the same seam, simulated
    cli/ demo/ bench/ check.py      the commands
"""

from .control import Swap, Swapoff, SwapoffProgress, configure, swapoff, swapon, swaps
from .errors import AreaError, DtypeError, HotswapError, OutOfSwap, SizeError, SpaceError, UnsupportedError
from .shared import SharedArray
from .snapshot import Snapshot
from .space import Space

__version__ = "0.1.0"

__all__ = [
    "AreaError",
    "DtypeError",
    "HotswapError",
    "OutOfSwap",
    "SharedArray",
    "SizeError",
    "Snapshot",
    "Space",
    "SpaceError",
    "Swap",
    "Swapoff",
    "SwapoffProgress",
    "UnsupportedError",
    "configure",
    "swapoff",
    "swapon",
    "swaps",
]
