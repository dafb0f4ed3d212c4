"""Builds the engine: each typed Python module with its .pxd becomes an extension; the seam's headers are inlined.

HOTSWAP_DEBUG=1 builds for gdb and with freed tables poisoned.
"""

import importlib.util
import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("HOTSWAP_DEBUG") == "1"
ENGINE = [p for p in sorted(Path("src/hotswap/engine").rglob("*.py")) if p.name != "__init__.py"]
OTHERS = [Path("src/hotswap/npalloc.py"), Path("src/hotswap/bench/roundtrip.py"), Path("src/hotswap/bench/recorder.py")]
SOURCES = [*ENGINE, *OTHERS]
PRELOAD = sorted(Path("src/hotswap/run/preload").glob("*.c"))  # a plain shared library, which LD_PRELOAD names
FLAGS = ["-O0", "-g3"] if DEBUG else ["-O2", "-g1"]
# What is rare in a guard stays out of its short functions, which then save no registers on its behalf.
APART = ["-fno-inline-small-functions", "-fno-inline-functions-called-once"]
# C-Blosc2 and the LZ4 in it, from the static library that its wheel carries; nothing of it shows outside of the one module.
_blosc = importlib.util.find_spec("blosc2")
if not _blosc or not _blosc.origin:
    raise SystemExit(
        "blosc2 is needed to build hotswap (compressed RAM): pip install blosc2, or build with pip, which installs it."
    )
BLOSC = Path(_blosc.origin).parent / "lib" / "libblosc2.a"
PACKS = "packing.py"
WARNINGS = ["-Wno-unused-function", "-Wno-format-security", "-Wno-maybe-uninitialized"]  # what generated code sets off

preload = Extension(
    "hotswap.run._preload",
    [str(source) for source in PRELOAD],
    depends=["src/hotswap/run/preload/preload.h"],
    extra_compile_args=[*FLAGS, "-std=gnu11", "-fvisibility=hidden", "-fno-builtin", "-Wall", "-Wextra"],
)

setup(
    ext_modules=[
        preload,
        *cythonize(
            [
                Extension(
                    ".".join(source.with_suffix("").parts[1:]),
                    [str(source)],
                    include_dirs=["src/hotswap/arch", "src/hotswap"],
                    extra_compile_args=[
                        *FLAGS,
                        *(APART if source.parent.name == "guard" else []),
                        "-std=gnu11",
                        "-pthread",
                        "-fno-strict-aliasing",
                        *WARNINGS,
                    ],
                    define_macros=[("HOTSWAP_DEBUG", "1")] if DEBUG else [],
                    extra_objects=[str(BLOSC)] if source.name == PACKS else [],
                    extra_link_args=["-Wl,--exclude-libs,ALL"] if source.name == PACKS else [],
                )
                for source in SOURCES
            ],
            include_path=["src"],
            build_dir="build/cython",
            nthreads=2,
            compiler_directives={
                "language_level": 3,
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": False,
                "infer_types": True,
                "legacy_implicit_noexcept": False,
            },
        ),
    ],
)
