"""The race lab: the engine's own source, run on a twin of the seam that sees each step.

``findings`` what the lab can find; ``declarations`` the engine's .pxd files, read; ``memory`` C's numbers, structs, tables
and pointers; ``cstand`` what the engine knows as ``cython``; ``seam`` (with ``mmu`` and ``disk``) what it knows as ``arch``;
``source`` what C does that Python does not; ``twin`` puts them together and loads; ``rules`` and ``drift`` are checked without
running; ``native`` calls the compiled engine the way a twin is called, so that one test suite runs on both.
"""
