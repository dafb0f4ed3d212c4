"""Readers that go in equal steps, as down a column of a matrix: where each is expected next, and how far ahead of it to read.

A reader whom nobody expected goes on the nearest stride that is not sure, and its step becomes what the ways between its pages have in
common: a loop that was unrolled does not touch them one by one (NumPy's sum of a column goes 2, 1, 4, 5, 3). Once it came a few steps
further three times it is sure, and from then on folios are read ahead at that distance, twice as many each time, without what lies
between. It is expected as far as was read ahead and a few steps more, as what was mapped with others or never left makes
no fault; and a few steps back. Sure strides keep their place for some turns.

Strides are hints, as streams are (stream.py). Who goes from one page to the next is a stream's, and so is who goes in short steps, once he is
sure: all of what lies between costs less to read than to leave out (decision 20).
"""

import cython
from cython.cimports.hotswap import arch
from cython.cimports.hotswap.engine.mm import STRIDES
from cython.cimports.libc.stdint import int64_t, uint64_t


def stride_went_on(mm, page, pages, most, steps):
    """A fault brought in ``pages`` at ``page``, where no stream expected it. What to read now, in ``steps``, ``most`` folios at most; false: it
    is no stride's, or none that is sure. ``steps.short``: it is one in short steps, and a stream's from now on."""
    steps.count = 0
    steps.short = False
    number = stride_at(mm, page)
    if number == STRIDE_NONE:
        stride_learn(mm, page, pages)
        return False
    stride = cython.address(mm.strides[number])
    step = arch.load(cython.address(stride.step))
    last = arch.load(cython.address(stride.last))
    times = arch.load(cython.address(stride.times))
    if times < STRIDE_TIMES:
        arch.store(cython.address(stride.times), times + 1)
    if times < STRIDE_SURE:
        arch.store(cython.address(stride.last), page)
        arch.store(cython.address(stride.back), page < arch.load(cython.address(stride.first)))
        return False
    back: cython.bint = arch.load(cython.address(stride.back)) != 0
    if step < STRIDE_LEAST:
        steps.short = True
        steps.back = back
        stride_begin(mm, number, page)
        return True
    if (page >= last) == back:
        return True  # one of those that it passed
    went: uint64_t = (last - page if back else page - last) // step
    asked = arch.load(cython.address(stride.ahead))
    left: uint64_t = asked - went if asked > went else 0
    window = arch.load(cython.address(stride.window)) * 2
    window = window if window < STRIDE_WINDOW else cython.cast(uint64_t, STRIDE_WINDOW)
    window = window if window < most else most
    if left <= window >> 1:
        steps.step = -cython.cast(int64_t, step) if back else cython.cast(int64_t, step)
        steps.page = page + (left + 1) * cython.cast(uint64_t, steps.step)
        steps.count = window - left
        left = window
        arch.store(cython.address(stride.window), window)
    arch.store(cython.address(stride.last), page)
    arch.store(cython.address(stride.ahead), left)
    return True


def stride_step(mm, page):
    """The step, forwards or backwards, of a sure stride that was at ``page``; 0: there is none."""
    number = stride_at(mm, page)
    if number == STRIDE_NONE or not stride_sure(mm, number):
        return 0
    step = cython.cast(int64_t, arch.load(cython.address(mm.strides[number].step)))
    return -step if arch.load(cython.address(mm.strides[number].back)) else step


def stride_at(mm, page):
    """The number of the stride that was expected at ``page``, or is there; or STRIDE_NONE."""
    for number in range(STRIDES):
        stride = cython.address(mm.strides[number])
        step = arch.load(cython.address(stride.step))
        if step == 0:
            continue
        last = arch.load(cython.address(stride.last))
        ahead: cython.bint = (page < last) == (arch.load(cython.address(stride.back)) != 0)
        apart: uint64_t = page - last if page > last else last - page
        most: uint64_t = STRIDE_NEAR + (arch.load(cython.address(stride.ahead)) if ahead else 0)
        if apart <= most * step and apart % step == 0:
            return number
    return STRIDE_NONE


def stride_sure(mm, number):
    return arch.load(cython.address(mm.strides[number].times)) > STRIDE_SURE


def stride_learn(mm, page, pages):
    """Somebody was there who was not expected."""
    number = stride_nearest(mm, page)
    if number == STRIDE_NONE:
        number = cython.cast(cython.int, arch.add(cython.address(mm.stride_turn), 1) % STRIDES)
        times = arch.load(cython.address(mm.strides[number].times))
        if times:
            arch.store(cython.address(mm.strides[number].times), times - 1)
        else:
            stride_begin(mm, number, page)
        return
    stride = cython.address(mm.strides[number])
    last = arch.load(cython.address(stride.last))
    step = arch.load(cython.address(stride.step))
    apart: uint64_t = page - last if page > last else last - page
    both = common(apart, step)
    if both <= pages or apart > STRIDE_NEAR * both or step > STRIDE_NEAR * both:
        stride_begin(mm, number, page)
        return
    arch.store(cython.address(stride.last), page)
    arch.store(cython.address(stride.step), both)
    arch.store(cython.address(stride.times), 0)


def stride_nearest(mm, page):
    """The number of the nearest stride that is not sure, or STRIDE_NONE."""
    best: cython.int = STRIDE_NONE
    nearest: uint64_t = STRIDE_REACH
    for number in range(STRIDES):
        stride = cython.address(mm.strides[number])
        last = arch.load(cython.address(stride.last))
        apart: uint64_t = page - last if page > last else last - page
        if last and apart and apart <= nearest and not stride_sure(mm, number):
            best = number
            nearest = apart
    return best


def stride_begin(mm, number, page):
    stride = cython.address(mm.strides[number])
    arch.store(cython.address(stride.first), page)
    arch.store(cython.address(stride.last), page)
    arch.store(cython.address(stride.step), 0)
    arch.store(cython.address(stride.back), 0)
    arch.store(cython.address(stride.times), 0)
    arch.store(cython.address(stride.window), 2)
    arch.store(cython.address(stride.ahead), 0)


def common(a, b):
    """Their greatest common divisor; 0 is a multiple of all."""
    while b:
        rest: uint64_t = a % b
        a = b
        b = rest
    return a
