"""What a run in the lab can find. Each is an exception that names the culprit; the engine catches none of them."""


class Finding(Exception):
    """Something that must never happen in the engine. A machine adds who ran into it, where, and who freed what was touched."""

    cpu: int = 0
    stack: tuple[str, ...] = ()
    freed: tuple[int, tuple[str, ...]] | None = None


class InvariantBroken(Finding):
    """``arch.check()`` failed: compiled, the process ends here."""


class WouldWaitForEver(Finding):
    """A lock, an event or a fault that nobody is left to end. The message names it."""


class Deadlock(WouldWaitForEver):
    """Nobody can go on and somebody has not ended."""


class LostWakeUp(WouldWaitForEver):
    """Nobody can go on: somebody sleeps on an event that was woken before."""


class Livelock(Finding):
    """The schedule goes on without getting anywhere, beyond what is counted up to."""


class WrongEnd(Finding):
    """The end state is not what it must be: bytes, counts, something leaked."""


class UseAfterFree(Finding):
    """Something was touched, or freed once more, after it was freed. The message says where that was."""


class NotPublished(Finding):
    """A table was touched by a CPU that nothing has told of it. The message says who made it where."""


class OutOfBounds(Finding):
    """An index outside its table. Not an IndexError, so that no loop takes it for its end."""


class NullDereference(Finding):
    """A field or an element behind NULL."""


class LockMisuse(Finding):
    """A lock that is let go by somebody who does not hold it, or freed while held."""


class DoesNotFit(Finding):
    """A value that its signed C type cannot hold, or a division that C and Python do differently."""


class BusError(Finding):
    """An access to a page that was poisoned: the process would get SIGBUS."""


class AccessDenied(Finding):
    """An access to memory that was never reserved, was released, or is forbidden: the process would get SIGSEGV."""


class UnservedFault(Finding):
    """A page is missing or protected and nobody in the lab serves the fault."""


class NotInC(Exception):
    """The engine's source asks the twin for something that C would not do, or that the twin does not know."""
