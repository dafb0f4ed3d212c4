"""Sequential consistency: one memory, every access at once and in program order.

It finds what interleavings do. It cannot find a missing barrier: nothing is ever seen late (``tso`` and ``weak`` are for that).
"""

from .contract import Model


class Sequential(Model):
    name = "sc"

    def load(self, cpu, word, acquire):
        self.read(word.uid)
        return word.v

    def store(self, cpu, word, value, release):
        self.put(word, value)

    def rmw(self, cpu, word, update, acquire, release):
        old = word.v
        new = update(old)
        if new is None:
            self.read(word.uid)
        else:
            self.put(word, new)
        return old
