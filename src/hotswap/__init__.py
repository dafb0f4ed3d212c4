"""hotswap: swap for one program, whose areas can be pulled while it runs.

How the tree is laid out::

    control.py    swapon, swapoff, swaps: areas on and off          space.py    Space: arrays under a resident limit
    swapinfo.py   what is told of areas                             snapshot.py what a space's arrays held at one moment
    arena.py      what a Space is without NumPy                     shared.py   SharedArray: several spaces map one array
    npmemory.py   arrays: NumPy's own arrays in a block, npalloc.py its memory handler     auto.py notebook.py  in one line
    joining.py    processes that are started anew and share these areas
    run/          hotswap run: a program that knows nothing of hotswap; run/preload/ its malloc
    areafile.py   opening and formatting areas, header.py its v1 header     commit.py   what may be promised
    steering/     looking at and steering other processes                   config.py   settings
    engine/       the swap subsystem, compiled: start at fault.py and swapoff.py
    arch/         the seam it stands on: atomics, locks, userfaultfd, disk          lab/    the same seam, simulated
    cli/ demo/ bench/ check.py      the commands
"""

import os
from typing import TYPE_CHECKING, Any

if "HOTSWAP_JOIN" in os.environ:  # before the engine is loaded
    from . import joining

    joining.look()

if TYPE_CHECKING:
    from .control import configure, family_stats, swapoff, swapon, swaps
    from .errors import AreaError, DtypeError, HotswapError, OutOfSwap, SizeError, SpaceError, UnsupportedError
    from .npmemory import arrays
    from .shared import SharedArray
    from .snapshot import Snapshot
    from .space import Space
    from .swapinfo import Swap, Swapoff, SwapoffProgress

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
    "arrays",
    "configure",
    "family_stats",
    "swapoff",
    "swapon",
    "swaps",
]

_WHERE = {  # loaded when asked for: a program under `hotswap run` need not wait for NumPy, nor the command for the engine
    "control": ("configure", "family_stats", "swapoff", "swapon", "swaps"),
    "errors": ("AreaError", "DtypeError", "HotswapError", "OutOfSwap", "SizeError", "SpaceError", "UnsupportedError"),
    "npmemory": ("arrays",),
    "shared": ("SharedArray",),
    "snapshot": ("Snapshot",),
    "space": ("Space",),
    "swapinfo": ("Swap", "Swapoff", "SwapoffProgress"),
}


def __getattr__(name: str) -> Any:
    for module, names in _WHERE.items():
        if name in names:
            from importlib import import_module

            globals()[name] = found = getattr(import_module(f".{module}", __name__), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext hotswap``."""
    from .notebook import load

    load(shell)
