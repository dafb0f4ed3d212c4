"""What a swapoff found of an area in page tables: folios, noted by slot and page, to be worked off in the order of the slots."""

import cython


def sort_found(found, count):
    """By slot, in place (heapsort: no memory, no worst case)."""
    for root in range(count // 2 - 1, -1, -1):
        sift(found, root, count)
    for last in range(count - 1, 0, -1):
        offset = found[0].offset
        page = found[0].page
        found[0].offset = found[last].offset
        found[0].page = found[last].page
        found[last].offset = offset
        found[last].page = page
        sift(found, 0, last)


def sift(found, root, count):
    offset = found[root].offset
    page = found[root].page
    child: cython.int = 2 * root + 1
    while child < count:
        if child + 1 < count and found[child + 1].offset > found[child].offset:
            child += 1
        if found[child].offset <= offset:
            break
        found[root].offset = found[child].offset
        found[root].page = found[child].page
        root = child
        child = 2 * root + 1
    found[root].offset = offset
    found[root].page = page
