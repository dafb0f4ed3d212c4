"""Where an area keeps the bytes of its slots: one contract, a small file for each kind.

- ``read`` and ``write`` may block, are called in no section and with no lock but those of the folios, and by somebody who has the
  slots; one slot is never written by two, nor read while it is written. ``handle`` is the store's own name for the area. ``mm``
  is who the bytes belong to, ``element`` how large the elements of their array are, a hint (0: that is not known).
- ``write`` may stop early: of what it did not write, nothing is kept. -ENOSPC is no failure: the store would rather not have
  these bytes (compressed RAM, of what does not compress), others may. Nor is -EAGAIN: it would have to wait for a process that may have
  died, while everybody is asked to rest.
- ``discard`` is called under the area's lock and in a section, once for each slot that becomes free. It is short.
"""

import cython
from cython.cimports.hotswap.engine.store import file, front, ram


def store_at(which):
    return cython.address(stores[which])


for _kind in range(STORES):
    stores[_kind].kind = _kind
file.describe(cython.address(stores[STORE_FILE]))
ram.describe(cython.address(stores[STORE_RAM]))
front.describe(cython.address(stores[STORE_FRONT]))
