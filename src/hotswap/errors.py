"""What hotswap raises: one clear sentence that says what was refused, why, and what to do.

Every error is a ``HotswapError``; most are also the built-in exception that a caller would expect to catch.
"""


class HotswapError(Exception):
    """Base of every error hotswap raises on purpose."""

    exit_code = 1  # of a command that ends with it


class AreaError(HotswapError, OSError):
    """An area was refused, or could not be emptied. Carries ``errno`` where a system call failed."""

    def __init__(self, sentence: str, errno: int | None = None):
        super().__init__(sentence)
        self.errno = errno

    def __str__(self) -> str:
        return str(self.args[0])


class SizeError(HotswapError, ValueError):
    """A size, a limit or a folio size that is not one, or is out of range."""


class ConfigError(HotswapError, ValueError):
    """A setting that is unknown, or whose value is none; the sentence names where it was read."""


class SteeringError(HotswapError, OSError):
    """A running process could not be looked at or steered; ``exit_code`` is what the command ends with (docs/steering.md)."""

    def __init__(self, sentence: str, exit_code: int):
        super().__init__(sentence)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return str(self.args[0])


class UnsupportedError(HotswapError, RuntimeError):
    """The kernel or its policy lacks what hotswap cannot do without; the sentence says what to ask for."""


class OutOfSwap(HotswapError, MemoryError):
    """The resident limit and all areas together cannot hold what was asked for."""


class DtypeError(HotswapError, TypeError):
    """A dtype that holds Python objects: their references would be swapped out with the interpreter none the wiser."""


class SpaceError(HotswapError, ValueError):
    """A ``Space`` was asked for something it does not do (object arrays, a closed space, a foreign array)."""
