"""The twin of disk.h: files are bytearrays, transfers go between them and the simulated pages; errors come on demand."""

import errno


class Faults:
    """Errors that tests and the simulator ask for: the ``after``-th coming call of a name fails, ``times`` times in a row.
    With ``cpu``, of those that this CPU makes: who comes first is no matter then, and steps of others commute with them."""

    def __init__(self):
        super().__init__()
        self.wanted: dict[str, list[list]] = {}

    def inject(self, name, error=errno.EIO, after=0, times=1, cpu=None):
        self.wanted.setdefault(name, []).append([after, times, error, cpu])

    def injected(self, name):
        """-errno when this call is to fail, else 0."""
        for want in self.wanted.get(name, []):
            if want[3] not in (None, self.current):
                continue
            if want[0]:
                want[0] -= 1
            elif want[1]:
                want[1] -= 1
                return -want[2]
        return 0


class Disk(Faults):
    """Files by descriptor."""

    def __init__(self):
        super().__init__()
        self.files: dict[int, bytearray] = {}

    def disk_file(self, bytes):
        """A new file of zeros; its descriptor."""
        fd = self.new_fd()
        self.files[fd] = bytearray(bytes)
        return fd

    def disk_transfer(self, fd, write, addresses, count, each, offset):
        self.on_access("disk_transfer", fd, write, offset, count * each)
        if not 0 < count <= self.DISK_PIECES:
            return -errno.EINVAL
        if error := self.injected("disk_write" if write else "disk_read"):
            return error
        file = self.files.get(fd)
        if file is None:
            return -errno.EBADF
        if offset + count * each > len(file):
            return -errno.ENOSPC if write else -errno.EIO
        for piece in range(count):
            address, start = addresses[piece], offset + piece * each
            if write:
                self.put_blocks(fd, start, self.read_memory(address, each))
            else:
                self.write_memory(address, self.blocks(fd, start, each))
        return 0

    def disk_read_each(self, fds, addresses, offsets, count, each, results):
        for number in range(count):
            fd = fds[number]
            results[number] = fd if fd < 0 else self.disk_transfer(fd, False, [addresses[number]], 1, each, offsets[number])

    def blocks(self, fd, start, length):
        return bytes(self.files[fd][start : start + length])

    def put_blocks(self, fd, start, data):
        self.files[fd][start : start + len(data)] = data

    def disk_reopen(self, process, fd, direct):
        return fd  # there is one process

    def disk_identity(self, fd):
        return 1

    def disk_forked(self):
        pass

    def disk_lock(self, fd):
        pass

    def disk_unlock(self, fd):
        pass  # locks between processes: there is one

    def close_fd(self, fd):
        self.on_access("close_fd", fd)
        self.files.pop(fd, None)
