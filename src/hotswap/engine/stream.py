"""Sequential readers, forwards and backwards: where each is expected next, and how far ahead of it to read.

A stream is what a reader had last (``first`` to before ``next``) and a window of pages, within which it is expected on either side: not
just at the edge, since what is in memory makes no fault. A window grows twofold each time its reader comes. Where nobody was expected a new
stream begins, in place of the oldest.

If it was given more than the page it came for, who it is shows when it comes next: right behind what it had are those who want all of it and those who
go in steps as long as that. So then it is given one page (``trial``), and is expected so near to it that who comes there wants all. So is one that
comes the other way: it may be somebody else (decision 20).

Streams are hints: their words are read and written without a lock; a wrong one costs a read, or a folio that is smaller than it might be.
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import STREAMS
from cython.cimports.hotswap.engine.stride import STRIDE_LEAST
from cython.cimports.libc.stdint import uint64_t


def stream_expected(mm, page):
    """The number of the stream that was expected at ``page``, or STREAM_NONE."""
    for number in range(STREAMS):
        stream = cython.address(mm.streams[number])
        next = arch.load(cython.address(stream.next))
        if next == 0:
            continue
        window = arch.load(cython.address(stream.window))
        if page >= next:
            if page - next < window:
                return number
        else:
            first = arch.load(cython.address(stream.first))
            if page < first and first - page <= window:
                return number
    return STREAM_NONE


def stream_run(mm, page):
    """How many pages the reader has passed who was expected at ``page``; 0: nobody was."""
    number = stream_expected(mm, page)
    return 0 if number == STREAM_NONE else arch.load(cython.address(mm.streams[number].run))


def stream_new(mm, page, pages, run):
    """Somebody read there who was not expected. ``run``: pages before it that he may have come over. The stream's number."""
    number = cython.cast(cython.int, arch.add(cython.address(mm.stream_turn), 1) % STREAMS)
    stream = cython.address(mm.streams[number])
    arch.store(cython.address(stream.next), page + pages)
    arch.store(cython.address(stream.first), page)
    arch.store(cython.address(stream.window), pages)
    arch.store(cython.address(stream.ahead), page + pages)
    arch.store(cython.address(stream.run), run + pages)
    arch.store(cython.address(stream.trial), pages > 1 and mm.levels > 1)
    return number


def stream_on_trial(mm, number, page, pages):
    """Is its reader, who came to the folio of so many pages at ``page``, to show first that he wants all of it? If he was given more than he
    came for and it is not known why, or comes the other way."""
    return mm.levels > 1 and (
        arch.load(cython.address(mm.streams[number].trial)) != 0 or stream_way(mm, number, page, pages) == TURNED
    )


def stream_way(mm, number, page, pages):
    """ONWARDS: its reader goes on; TURNED: he comes the other way; AMONG: he steps over pages anyway, and this is one of those."""
    stream = cython.address(mm.streams[number])
    first = arch.load(cython.address(stream.first))
    next = arch.load(cython.address(stream.next))
    back: cython.bint = page < first
    if back != (arch.load(cython.address(stream.ahead)) >= next):
        return ONWARDS
    run: uint64_t = first - page if back else page + pages - next
    return AMONG if arch.load(cython.address(stream.window)) >= SPARSE_WINDOW and run < pages + (SPARSE_WINDOW >> 2) else TURNED


def stream_sparse(mm, page, pages, back):
    """Somebody came to ``page`` in short steps: he is expected some steps further on either side, and all between is read."""
    stream = cython.address(mm.streams[stream_new(mm, page, pages, 0)])
    arch.store(cython.address(stream.window), SPARSE_WINDOW)
    arch.store(cython.address(stream.trial), 0)
    if back:
        arch.store(cython.address(stream.ahead), page)


def stream_touched(mm, page, pages, begins):
    """A first touch of a large folio: a scan that writes. ``begins``: another array."""
    number = stream_expected(mm, page)
    if number == STREAM_NONE or begins:
        stream_new(mm, page, pages, 0)
        return
    stream = cython.address(mm.streams[number])
    next = arch.load(cython.address(stream.next))
    if page >= next:
        arch.store(cython.address(stream.first), page)
        arch.store(cython.address(stream.next), page + pages)
        arch.store(cython.address(stream.ahead), page + pages)
        arch.store(cython.address(stream.trial), 0)
        arch.add(cython.address(stream.run), page + pages - next)


def stream_begins(mm, number):
    """Its reader came to another array, which is another scan."""
    arch.store(cython.address(mm.streams[number].run), 0)


def stream_went_on(mm, number, page, pages, most, ahead):
    """Its reader came to ``page``. What to read now, in ``ahead``: nothing before half of the window is used up. ``most``: pages."""
    stream = cython.address(mm.streams[number])
    ahead.pages = 0
    ahead.back = page < arch.load(cython.address(stream.first))
    if stream_on_trial(mm, number, page, pages):
        stream_tried(mm, number, page, pages)
        return
    way = stream_way(mm, number, page, pages)
    if way == AMONG:
        return
    window = arch.load(cython.address(stream.window)) * 2
    asked = arch.load(cython.address(stream.ahead))
    edge: uint64_t = page if ahead.back else page + pages
    if way == TURNED:
        window = pages
        asked = edge
    window = window if window < most else most
    window = window if window > pages else pages
    if ahead.back and asked > edge:
        asked = edge
    if not ahead.back and asked < edge:
        asked = edge
    stream_at(mm, number, page, pages, way)
    left: uint64_t = edge - asked if ahead.back else asked - edge
    ahead.page = asked
    if left <= window >> 1:
        ahead.pages = window - left
        if ahead.back:
            ahead.pages = ahead.pages if ahead.pages < asked else asked
            asked -= ahead.pages
            ahead.page = asked
        else:
            asked += ahead.pages
    arch.store(cython.address(stream.window), window)
    arch.store(cython.address(stream.ahead), asked)


def stream_tried(mm, number, page, pages):
    """What a reader on trial came to. If that is one page, he is expected so near to it that who comes there is a scan's anyway. If it is more,
    as it lay in the cache, the trial is still to come."""
    stream = cython.address(mm.streams[number])
    back: cython.bint = page < arch.load(cython.address(stream.first))
    stream_at(mm, number, page, pages, stream_way(mm, number, page, pages))
    arch.store(cython.address(stream.window), cython.cast(uint64_t, STRIDE_LEAST) if pages == 1 else pages)
    arch.store(cython.address(stream.ahead), page if back else page + pages)
    arch.store(cython.address(stream.trial), pages > 1)


def stream_at(mm, number, page, pages, way):
    """Its reader is there now, and has passed what lies between; if he turned that is all that he has."""
    stream = cython.address(mm.streams[number])
    first = arch.load(cython.address(stream.first))
    run: uint64_t = first - page if page < first else page + pages - arch.load(cython.address(stream.next))
    arch.store(cython.address(stream.run), run if way == TURNED else arch.load(cython.address(stream.run)) + run)
    arch.store(cython.address(stream.first), page)
    arch.store(cython.address(stream.next), page + pages)


def stream_moved(mm, page, to):
    """Folios from ``page`` up to ``to`` were mapped without a fault: the reader that was expected at the first comes later."""
    for number in range(STREAMS):
        stream = cython.address(mm.streams[number])
        if arch.load(cython.address(stream.next)) == page:
            arch.store(cython.address(stream.next), to)
            arch.add(cython.address(stream.run), to - page)
            return
