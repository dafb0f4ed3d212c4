"""A stack of images, 64 MiB of 16-bit pixels: background, median over time, brightest spots. NumPy only; knows nothing of hotswap:

hotswap run --limit 16M -- python examples/images.py
"""

import sys
import zlib

import numpy as np

frames = int(sys.argv[1]) if len(sys.argv) > 1 else 128
random = np.random.default_rng(11)
height, width = 512, 512
stack = np.empty((frames, height, width), "u2")
rows, columns = np.mgrid[:height, :width]
for number in range(frames):
    spot = 3000 * np.exp(-((rows - 256 - 100 * np.sin(number / 9)) ** 2 + (columns - 256 - 100 * np.cos(number / 9)) ** 2) / 50)
    stack[number] = random.poisson(100, (height, width)) + spot
print(f"{stack.nbytes >> 20} MiB in {frames} frames")
background = np.median(stack[:: max(1, frames // 16)], axis=0)
stack = np.clip(stack - background.astype("i4"), 0, 65535).astype("u2")
path = [divmod(int(frame.argmax()), width) for frame in stack]
print("path", path[:: max(1, frames // 8)])
print(f"mean {stack.mean():.6f}, checksum {zlib.crc32(stack):08x}")
