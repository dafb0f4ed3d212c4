"""x86-TSO: each CPU's stores wait in a buffer of its own and reach memory in their order, some time later.

After Owens, Sarkar and Sewell, "A better x86 memory model: x86-TSO" (TPHOLs 2009). A load takes the youngest store of its own
buffer, else what is in memory. Read-modify-writes, full barriers and lock operations are locked instructions: they come when the
buffer is empty. ``light`` is nothing; ``heavy`` comes when every CPU's buffer is empty. A drain is a transition of its own
(``internal``, ``perform``): the oldest store of one CPU.

What it shows: store buffering (R, SB, RWC without a barrier), so ``light`` without ``heavy``. What it cannot show, and x86 does not
do: loads or stores passing each other (R05, R09). Plain fields of structs are not buffered: one that is stored after a word may be
seen before it.

A caller that reorders steps asks ``must_wait`` first and lets the buffer drain step by step, so that others see what lies between
two drains; whatever is left drains within the step itself, which gives the same set of states when drains are tried everywhere.
"""

from .contract import EVERYTHING, Action, Model

# Plain accesses, and waits that begin with one; everything else is a locked instruction or a system call.
UNLOCKED = frozenset({
    "load", "load_acquire", "store", "store_release", "acquire", "light", "event_read", "event_wait", "nap_us", "yield_cpu",
    "touch", "copy", "begin",
})  # fmt: skip


class StoreBuffers(Model):
    name = "tso"
    ordered = False
    acts = True

    def __init__(self, watch):
        super().__init__(watch)
        self.buffers: dict[int, list] = {}  # by CPU, oldest first: (word, value, key). No empty ones
        self.keys = 0

    def load(self, cpu, word, acquire):
        # From its own buffer too: the answer changes when that store drains and another CPU's comes after it.
        self.read(word.uid)
        if self.buffers and cpu in self.buffers:
            for other, value, _key in reversed(self.buffers[cpu]):
                if other is word:
                    return value
        return word.v

    def store(self, cpu, word, value, release):
        self.keys = key = self.keys + 1
        self.entered(key)
        self.read(EVERYTHING)  # before or after ``heavy``
        if cpu in self.buffers:
            self.buffers[cpu].append((word, value, key))
        else:
            self.buffers[cpu] = [(word, value, key)]

    def rmw(self, cpu, word, update, acquire, release):
        self.fence(cpu)
        old = word.v
        new = update(old)
        if new is None:
            self.read(word.uid)
        else:
            self.put(word, new)
        return old

    def fence(self, cpu):
        while cpu in self.buffers:
            self.drain(cpu)

    def heavy(self, cpu):
        self.wrote(EVERYTHING)
        for other in sorted(self.buffers):
            self.fence(other)

    def hand_over(self, cpu, thing):
        self.fence(cpu)

    def take_over(self, cpu, thing):
        if not hasattr(thing, "v"):  # a wait looks at its word and is no locked instruction
            self.fence(cpu)

    def must_wait(self, cpu, kind):
        if not self.buffers:
            return False
        return kind == "heavy" or (kind not in UNLOCKED and cpu in self.buffers)

    def internal(self):
        buffers = self.buffers
        return [Action(cpu, "drain", buffers[cpu][0][0], (buffers[cpu][0][1],)) for cpu in sorted(buffers)] if buffers else []

    def perform(self, action):
        self.drain(action.cpu)

    def drain(self, cpu):
        buffer = self.buffers[cpu]
        word, value, key = buffer.pop(0)
        if not buffer:
            del self.buffers[cpu]
        self.left(key)
        self.put(word, value)

    def settle(self):
        for cpu in sorted(self.buffers):
            self.fence(cpu)

    def reset(self):
        self.buffers.clear()
        self.keys = 0
