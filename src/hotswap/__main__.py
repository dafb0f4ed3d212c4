"""``python -m hotswap`` is ``hotswap``."""

from .cli import main

main(prog_name="hotswap")
