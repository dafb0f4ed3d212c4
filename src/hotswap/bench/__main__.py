"""``python -m hotswap.bench``: the bench command by itself."""

from .command import bench

if __name__ == "__main__":
    bench(prog_name="python -m hotswap.bench")
