"""What other ways to choose who leaves memory would have missed, on a trace of page touches: FIFO, LRU, and the best there can be.

Each takes the pages in the order of their touches, how many fit in memory, and from which touch on misses are counted (what comes before
fills the memory), and returns how many touches found their page missing.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Sequence


def fifo(trace: Sequence[int], memory: int, start: int = 0) -> int:
    """Who came first leaves first."""
    held: set[int] = set()
    queue: deque[int] = deque()
    misses = 0
    for number, page in enumerate(trace):
        if page in held:
            continue
        misses += number >= start
        if len(held) == memory:
            held.remove(queue.popleft())
        held.add(page)
        queue.append(page)
    return misses


def lru(trace: Sequence[int], memory: int, start: int = 0) -> int:
    """Who was used least recently leaves: needs to be told of every touch, which no program is in user space."""
    held: OrderedDict[int, None] = OrderedDict()
    misses = 0
    for number, page in enumerate(trace):
        if page in held:
            held.move_to_end(page)
            continue
        misses += number >= start
        if len(held) == memory:
            held.popitem(last=False)
        held[page] = None
    return misses


def minimum(trace: Sequence[int], memory: int, start: int = 0) -> int:
    """Belady's MIN: who is used again latest leaves; it takes knowing what comes (Belady 1966). No choice misses less."""
    never = len(trace)
    again = [never] * never
    seen: dict[int, int] = {}
    for number in range(never - 1, -1, -1):
        again[number] = seen.get(trace[number], never)
        seen[trace[number]] = number
    held: dict[int, int] = {}  # page -> when it is used again
    latest: list[tuple[int, int]] = []  # (-when, page); what held does not say any more is out of date
    misses = 0
    for number, page in enumerate(trace):
        if page not in held:
            misses += number >= start
            while len(held) == memory:
                when, oldest = heapq.heappop(latest)
                if held.get(oldest) == -when:
                    del held[oldest]
        held[page] = again[number]
        heapq.heappush(latest, (-again[number], page))
    return misses
