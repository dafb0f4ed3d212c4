"""The twin of codec.h: packs with zlib where the engine has LZ4 behind a filter; who packs how is the same, how small it gets is not."""

import zlib


class Codec:
    """Half of the seam: the other gives ``read_memory`` and ``write_memory``."""

    def packed(self, scratch):
        return scratch + self.PACK_MOST

    def pack(self, scratch, source, bytes, how, room):
        data = zlib.compress(self.read_memory(source, bytes), 1)
        if len(data) > room:
            return 0
        self.write_memory(self.packed(scratch), data)
        return len(data)

    def unpack(self, scratch, source, stored, to, bytes, how, skip, take):
        try:
            data = zlib.decompress(self.read_memory(source, stored))
        except zlib.error:
            return -1
        if len(data) != bytes:
            return -1
        self.write_memory(to, data[skip : skip + take])
        return 0
