"""The race lab: the engine's own source, run on a twin of the seam that sees each step.

``findings`` what the lab can find; ``declarations`` the engine's .pxd files, read; ``memory`` C's numbers, structs, tables
and pointers; ``cstand`` what the engine knows as ``cython``; ``seam`` (with ``mmu`` and ``disk``) what it knows as ``arch``;
``source`` what C does that Python does not; ``twin`` puts them together and loads; ``rules`` and ``drift`` are checked without
running; ``native`` calls the compiled engine the way a twin is called, so that one test suite runs on both.

What explores stands on a twin that steps: ``stepping`` makes functions of the engine generators, ``steps`` is the seam they run on,
``watch``, ``births`` and ``journal`` note what a step touches, who knows of it, and how to undo it; ``model/`` says what a load may return.
``machine`` runs one schedule, ``strategy/`` chooses it, ``explore`` (with ``shared``, on all cores) runs many, ``minimise`` and
``schedule_id`` make of a finding a short string that replays. ``world`` is what a scenario acts on, ``scenario/`` has the races.
"""
