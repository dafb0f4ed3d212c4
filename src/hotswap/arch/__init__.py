"""The seam: everything the engine shares or asks of the outside, as thin as it can be.

``atomics.h`` words with explicit order, the asymmetric barrier; ``sync.h`` locks, events, threads, clock; ``family.h``
memory that processes share; ``descriptors.h`` what becomes of them when the program closes them; ``mmu.h`` userfaultfd; ``disk.h`` transfers; ``channel.h`` the socket for steering. ``__init__.pxd`` names them for the engine as ``arch.…``. The race lab has a twin of each
(``hotswap.lab.seam``), so the engine's modules run there from the same source.
"""
