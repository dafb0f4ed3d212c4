"""The twin of atomics.h: shared words, one at a time and in program order. Orders and barriers are only announced."""

from .kinds import Opaque
from .memory import Thing, take_places

WORD = (1 << 64) - 1


class Word(Thing):
    """A shared 64-bit word."""

    __slots__ = ("uid", "v")

    def __init__(self, up=None):
        super().__init__(up)
        self.uid = take_places(1)
        self.v = 0


class Atomics:
    """A part of the seam; the seam gives ``on_access``."""

    word = Opaque("arch.word", Word, 8)

    def load(self, w):
        self.on_access("load", w)
        return w.v

    def load_acquire(self, w):
        self.on_access("load_acquire", w)
        return w.v

    def store(self, w, value):
        self.on_access("store", w, value)
        self.put(w, value)

    def store_release(self, w, value):
        self.on_access("store_release", w, value)
        self.put(w, value)

    def add(self, w, change):
        self.on_access("add", w, change)
        return self.put(w, w.v + change)

    def add_acq_rel(self, w, change):
        self.on_access("add_acq_rel", w, change)
        return self.put(w, w.v + change)

    def swap(self, w, value):
        self.on_access("swap", w, value)
        old = w.v
        self.put(w, value)
        return old

    def cas(self, w, old, new_value):
        self.on_access("cas", w, old, new_value)
        if w.v != old & WORD:
            return False
        self.put(w, new_value)
        return True

    def bump(self, w, change):
        """A load and a store, as in the header: two steps when several write, which none may."""
        self.on_access("load", w)
        value = w.v + change
        self.on_access("store", w, value)
        self.put(w, value)

    def put(self, w, value):
        self.idle = 0
        w.v = value = value & WORD
        return value

    def fence(self):
        self.on_access("fence", None)

    def acquire(self):
        self.on_access("acquire", None)

    def barrier_setup(self):
        return 0

    def light(self):
        self.on_access("light", None)

    def heavy(self):
        self.on_access("heavy", None)
