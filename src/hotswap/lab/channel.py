"""The twin of channel.h: nobody is outside, so a test says who calls and what with; what was answered is kept.

``calls(messages)`` makes a caller who sends those, each a dictionary of a message's numbers, or a pair of one and the descriptor that
goes along, and then hangs up: its descriptor, which ``answers`` has the answers of. ``silence`` in their place is nothing in time.
"""

import errno

silence = object()


class Channel:
    """A part of the seam; the others give ``on_access``, ``on_block``, ``new_fd``."""

    def __init__(self):
        super().__init__()
        self.coming: list[int] = []  # callers that channel_accept() has not given yet
        self.sending: dict[int, list] = {}
        self.answers: dict[int, list[dict]] = {}

    def calls(self, messages):
        fd = self.new_fd()
        self.coming.append(fd)
        self.sending[fd] = list(messages)
        self.answers[fd] = []
        return fd

    def channel_listen(self):
        self.on_access("channel_listen", None)
        return self.new_fd()

    def channel_accept(self, listener):
        self.on_access("channel_accept", None, listener)
        while not self.coming:
            self.on_block("channel_accept", listener)
        return self.coming.pop(0)

    def channel_receive(self, fd, message, bytes, passed, timeout_us):
        self.on_access("channel_receive", None, fd)
        passed[0] = -1
        if not self.sending.get(fd):
            return 0
        said = self.sending[fd].pop(0)
        if said is silence:
            return -errno.EAGAIN
        said, passed[0] = said if isinstance(said, tuple) else (said, -1)
        message.kind, message.version = said["kind"], said["version"]
        for place, value in enumerate(said.get("value", [])):
            message.value[place] = value
        text = said.get("text", b"")
        message.length = len(text)
        for place, value in enumerate(text):
            message.text[place] = value
        return 1

    def channel_send(self, fd, message, bytes):
        self.on_access("channel_send", None, fd)
        text = [message.text[place] for place in range(message.length)]
        self.answers[fd].append(
            {"kind": message.kind, "value": [message.value[n] for n in range(message.value.count)], "text": text}
        )
        return 0

    def channel_close(self, fd):
        self.on_access("channel_close", None, fd)
        self.sending.pop(fd, None)

    def process(self):
        return 1

    def number(self, place):
        """Addresses are no numbers here: the log says which area by its type alone."""
        return 0
