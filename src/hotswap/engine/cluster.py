"""Clusters of 512 slots: neighbours in memory become neighbours on disk.

A cluster serves folios of one size while anything is in it, so that large folios keep finding aligned room. Each order
takes slots from its current cluster, front to back; then from a free cluster; then from one with gaps; and when there is
neither, from a gap in any cluster at all. An order whose clusters are less than half full goes to those with gaps first:
so small folios never hold more than twice the clusters they need, and large ones find room longer. Whoever evicts asks for room for many folios at once and gets them in a row.

Every function: the caller holds the area's lock and is inside the guard from before it found the area until after the call (or
is swapon, before anybody else can see the area). The lock keeps other users out, only the guard keeps the clusters there.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.area import CLUSTER_SLOTS, NIL, ORDERS
from cython.cimports.libc.stdint import uint64_t


def clusters_setup(area):
    """Files every cluster by how much of it is free. Bad slots are marked in the map already."""
    area.free_head = NIL
    for order in range(ORDERS):
        area.partial_head[order] = NIL
        area.partial_tail[order] = NIL
        area.current[order] = NIL
        area.cursor[order] = 0
        area.order_clusters[order] = 0
        area.order_used[order] = 0
    number = area.cluster_count - 1
    while number >= 0:  # the last one first, so that the front of the file is used first
        cluster = cython.address(area.clusters[number])
        cluster.used = 0
        cluster.order = NIL
        cluster.list = LIST_NONE
        for slot in range(CLUSTER_SLOTS):
            if area.map[number * CLUSTER_SLOTS + slot] != 0:
                cluster.used += 1
        if cluster.used == 0:
            list_add(area, number, LIST_FREE)
        elif cluster.used < CLUSTER_SLOTS:
            cluster.order = 0
            area.order_clusters[0] += 1
            list_add(area, number, LIST_PARTIAL)
        number -= 1


def clusters_recount(area):
    """The same from a map in use, when nobody knows what was cut short (death.py). A cluster that is used stays its order's."""
    area.free_head = NIL
    for order in range(ORDERS):
        area.partial_head[order] = NIL
        area.partial_tail[order] = NIL
        area.current[order] = NIL
        area.cursor[order] = 0
        area.order_clusters[order] = 0
        area.order_used[order] = 0
    number = area.cluster_count - 1
    while number >= 0:
        cluster = cython.address(area.clusters[number])
        cluster.used = 0
        cluster.list = LIST_NONE
        bad: cython.int = 0
        for slot in range(CLUSTER_SLOTS):
            value: cython.int = area.map[number * CLUSTER_SLOTS + slot]
            if value != 0:
                cluster.used += 1
            if value == SLOT_BAD:
                bad += 1
        if cluster.used == 0:
            cluster.order = NIL
            list_add(area, number, LIST_FREE)
        else:
            if cluster.order < 0 or cluster.order >= ORDERS:
                cluster.order = 0
            area.order_clusters[cluster.order] += 1
            area.order_used[cluster.order] += cluster.used - bad
            if cluster.used < CLUSTER_SLOTS:
                list_add(area, number, LIST_PARTIAL)
        number -= 1


def cluster_take(area, order, want, run):
    """Finds up to ``want`` free folios of 2**order slots in a row; whether there was one. Marks nothing: swap_map does."""
    while True:
        number = area.current[order]
        if number == NIL:
            sparse: cython.bint = area.order_used[order] * 2 < cython.cast(uint64_t, area.order_clusters[order]) * CLUSTER_SLOTS
            number = area.partial_head[order] if sparse else NIL
            if number == NIL:
                number = area.free_head
            if number == NIL:
                number = area.partial_head[order]
            if number == NIL:
                break
            list_remove(area, number)
            area.clusters[number].list = LIST_CURRENT
            if area.clusters[number].order == NIL:
                area.clusters[number].order = order
                area.order_clusters[order] += 1
            area.current[order] = number
            area.cursor[order] = 0
        if cluster_scan(area, number, area.cursor[order], order, want, run):
            area.cursor[order] = cython.cast(cython.int, run.offset % CLUSTER_SLOTS) + (run.count << order)
            return True
        area.current[order] = NIL
        area.clusters[number].list = LIST_NONE
        if area.cursor[order] == 0 and area.clusters[number].used < CLUSTER_SLOTS:
            continue  # gaps, all too small: not to be found again until one of its slots is freed
        cluster_settle(area, number)
    for number in range(area.cluster_count):
        if area.clusters[number].used < CLUSTER_SLOTS and cluster_scan(area, number, 0, order, want, run):
            return True
    return False


def cluster_scan(area, number, start, order, want, run):
    """Looks in one cluster from slot ``start`` on for aligned free folios in a row."""
    base: cython.longlong = cython.cast(cython.longlong, number) * CLUSTER_SLOTS
    size = 1 << order
    run.count = 0
    slot: cython.int = (start + size - 1) >> order << order
    while slot + size <= CLUSTER_SLOTS and run.count < want:
        free = True
        for k in range(size):
            if area.map[base + slot + k] != 0:
                free = False
                break
        if free:
            if run.count == 0:
                run.offset = base + slot
            run.count += 1
        elif run.count > 0:
            break
        slot += size
    return run.count > 0


def cluster_settle(area, number):
    """Files a cluster where it belongs by what is free in it."""
    cluster = cython.address(area.clusters[number])
    if cluster.list == LIST_CURRENT:
        return
    if cluster.list != LIST_NONE:
        list_remove(area, number)
    if cluster.used == 0:
        area.order_clusters[cluster.order] -= 1
        cluster.order = NIL
        list_add(area, number, LIST_FREE)
    elif cluster.used < CLUSTER_SLOTS:
        list_add(area, number, LIST_PARTIAL)


def cluster_mark(area, offset, slots):
    """Slots in a row were taken."""
    cluster = cython.address(area.clusters[offset // CLUSTER_SLOTS])
    cluster.used += slots
    area.order_used[cluster.order] += slots


def cluster_put(area, offset):
    """A slot became free: its cluster may have become findable, or all free."""
    number = cython.cast(cython.int, offset // CLUSTER_SLOTS)
    cluster = cython.address(area.clusters[number])
    arch.check(cluster.used > 0, b"a slot that is freed was in use")
    cluster.used -= 1
    area.order_used[cluster.order] -= 1
    if cluster.used == 0 or cluster.list == LIST_NONE:
        cluster_settle(area, number)


def list_add(area, number, list):
    """Free clusters to the front (the last freed is the next used), those with gaps to the back of their order's."""
    cluster = cython.address(area.clusters[number])
    cluster.list = list
    cluster.prev = NIL
    cluster.next = NIL
    if list == LIST_FREE:
        cluster.next = area.free_head
        if area.free_head != NIL:
            area.clusters[area.free_head].prev = number
        area.free_head = number
    else:
        cluster.prev = area.partial_tail[cluster.order]
        if cluster.prev != NIL:
            area.clusters[cluster.prev].next = number
        else:
            area.partial_head[cluster.order] = number
        area.partial_tail[cluster.order] = number


def list_remove(area, number):
    cluster = cython.address(area.clusters[number])
    if cluster.prev != NIL:
        area.clusters[cluster.prev].next = cluster.next
    elif cluster.list == LIST_FREE:
        area.free_head = cluster.next
    else:
        area.partial_head[cluster.order] = cluster.next
    if cluster.next != NIL:
        area.clusters[cluster.next].prev = cluster.prev
    elif cluster.list == LIST_PARTIAL:
        area.partial_tail[cluster.order] = cluster.prev
    cluster.list = LIST_NONE
