"""``python -m hotswap.demo``."""

from .command import demo

if __name__ == "__main__":
    demo(prog_name="python -m hotswap.demo")
