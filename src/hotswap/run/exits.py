"""Exit codes of ``hotswap run``; every other is the program's own. docs/run.md lists them."""

import contextlib
from collections.abc import Iterator

from ..errors import ConfigError, HotswapError, OutOfSwap, SizeError, UnsupportedError

STATIC = 110  # the program is linked statically
PRIVILEGED = 111  # it runs with the rights of another user, or with more than ours
NO_AREA = 112  # an area was refused
BAD_SIZE = 113  # a size or another setting that is none, or a limit that is too small
UNSUPPORTED = 114  # the kernel or the C library lacks what it takes
OTHER_PYTHON = 116  # boot.py: this hotswap is not for that interpreter
NOT_EXECUTABLE = 126  # as shells have it
MISSING = 127


class Refused(HotswapError):
    """One sentence, and what the process ends with."""

    def __init__(self, sentence: str, exit_code: int):
        super().__init__(sentence)
        self.exit_code = exit_code


@contextlib.contextmanager
def code(otherwise: int) -> Iterator[None]:
    """Gives what hotswap raises in the block an exit code."""
    try:
        yield
    except Refused:
        raise
    except (ConfigError, SizeError, OutOfSwap) as error:
        raise Refused(str(error), BAD_SIZE) from error
    except UnsupportedError as error:
        raise Refused(str(error), UNSUPPORTED) from error
    except HotswapError as error:
        raise Refused(str(error), otherwise) from error
