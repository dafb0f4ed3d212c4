"""NumPy's memory from a space: a handler as NEP 49 has it, and which arrays hold Python objects.

Which memory is for objects no handler is told. But NumPy makes an array's Python object first, sets its dtype, and then asks for its
data; so ``watch`` has the type's ``tp_alloc`` note the array that was made last, and when memory is asked for, that array, still
without data, tells. (NumPy 2.0 to 2.4, ``PyArray_NewFromDescr_int``; ``watch`` tries it out and gives up where it is not so.)

Compiled, as what NumPy calls must be C. Handlers may be called without the interpreter's lock; they take none.
"""

import sys

import cython
from cython.cimports.hotswap.engine.child import child_is
from cython.cimports.hotswap.engine.heap import heap_element, heap_map, heap_resize, heap_room, heap_unmap
from cython.cimports.hotswap.engine.mm import mm_at
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcpy, strcpy

_ITEM_REFCOUNT = cython.declare(cython.int, 1)  # NPY_ITEM_REFCOUNT
_SET, _GET, _DEFAULT = 304, 305, 306  # in NumPy's table of functions, numpy/__multiarray_api.h


def _core() -> object:
    """NumPy's C module, which is there before the rest of NumPy is."""
    name = "numpy._core._multiarray_umath"
    if name not in sys.modules:
        import numpy._core._multiarray_umath  # noqa: F401
    return sys.modules[name]


def numpy_api(which):
    """An entry of NumPy's table."""
    table = cython.cast(cython.pointer(cython.p_void), PyCapsule_GetPointer(_core()._ARRAY_API, cython.NULL))
    return table[which]


def watch() -> bool:
    """From now on ``holds_objects`` knows. False when this NumPy does not do as is said above; then it always says no."""
    np = _core()
    if ndarray.on:
        return True
    if np._get_ndarray_c_version() < 0x02000000:
        return False
    for dtype in (np.dtype("O"), np.dtype("f8")):
        sample = np.empty(3, dtype)
        array = cython.cast(cython.pointer(Array), cython.cast(cython.pointer(PyObject), sample))
        here = cython.cast(uint64_t, array.data) == sample.__array_interface__["data"][0]
        there = cython.cast(cython.p_void, array.descr) == cython.cast(
            cython.p_void, cython.cast(cython.pointer(PyObject), dtype)
        )
        if not here or not there or array.descr.flags != dtype.flags:
            return False
    kind = cython.cast(cython.pointer(PyTypeObject), cython.cast(cython.pointer(PyObject), np.ndarray))
    ndarray.alloc = kind.tp_alloc
    ndarray.dealloc = kind.tp_dealloc
    kind.tp_alloc = new_array
    kind.tp_dealloc = old_array
    ndarray.on = True
    return True


def watch_call() -> int:
    """The address of ``holds_objects``, for an allocator in C."""
    return cython.cast(uint64_t, cython.cast(cython.p_void, holds_objects))


def new_array(type, items):
    made = ndarray.alloc(type, items)
    newest_made(made)
    return made


def old_array(array):
    newest_freed(array)
    ndarray.dealloc(array)


def holds_objects():
    """Is the memory that this thread asks for now that of an array of objects?"""
    place: cython.pointer(newest) = newest_borrow()
    if place == cython.NULL:
        return 0
    array = cython.cast(cython.pointer(Array), newest_array(place))
    objects: cython.bint = array.data == cython.NULL and array.descr != cython.NULL and array.descr.flags & _ITEM_REFCOUNT != 0
    newest_back(place)
    return objects


def element_wanted():
    """Bytes of what the array consists of that this thread asks memory for now: as hotswap.space has it. 0: not known."""
    place: cython.pointer(newest) = newest_borrow()
    if place == cython.NULL:
        return 0
    array = cython.cast(cython.pointer(Array), newest_array(place))
    element: cython.Py_ssize_t = 0
    if array.data == cython.NULL and array.descr != cython.NULL:
        element = array.descr.elsize
        if array.descr.kind == b"c":
            element //= 2
        elif array.descr.kind == b"U":
            element = 4
        elif array.descr.kind == b"S":
            element = 1
    newest_back(place)
    return cython.cast(cython.int, element) if element < 256 else 0


def pool_block(pool, size, zeroed):
    address = heap_map(pool.index, size, zeroed)
    if address:
        heap_element(pool.index, address, size, element_wanted())
    return cython.cast(cython.p_void, address)


def pool_takes(pool, size):
    return size >= pool.least and not holds_objects() and not child_is()


def pool_malloc(ctx, size):
    pool = cython.cast(cython.pointer(Pool), ctx)
    if not pool_takes(pool, size):
        return pool.was.malloc(pool.was.ctx, size)
    return pool_block(pool, size, False)


def pool_calloc(ctx, count, each):
    pool = cython.cast(cython.pointer(Pool), ctx)
    if each and count > ~cython.cast(cython.size_t, 0) // each:
        return cython.NULL
    if not pool_takes(pool, count * each):
        return pool.was.calloc(pool.was.ctx, count, each)
    return pool_block(pool, count * each, True)


def pool_realloc(ctx, p, size):
    pool = cython.cast(cython.pointer(Pool), ctx)
    address = cython.cast(uint64_t, p)
    if address - pool.base >= pool.bytes:  # what began small stays where it is
        return pool.was.realloc(pool.was.ctx, p, size)
    if size >= pool.least:
        return cython.cast(cython.p_void, heap_resize(address, size))
    small = pool.was.malloc(pool.was.ctx, size)
    if small:
        room: cython.size_t = heap_room(address)
        memcpy(small, p, size if size < room else room)
        heap_unmap(address)
    return small


def pool_free(ctx, p, size):
    pool = cython.cast(cython.pointer(Pool), ctx)
    if cython.cast(uint64_t, p) - pool.base < pool.bytes:
        heap_unmap(cython.cast(uint64_t, p))
    else:
        pool.was.free(pool.was.ctx, p, size)


def default_handler():
    capsule = cython.cast(object, cython.cast(cython.pointer(cython.pointer(PyObject)), numpy_api(_DEFAULT))[0])
    return cython.cast(cython.pointer(Handler), PyCapsule_GetPointer(capsule, b"mem_handler"))


def make_pool(space, index, least):
    pool = cython.cast(cython.pointer(Pool), calloc(1, cython.sizeof(Pool)))
    if pool == cython.NULL:
        raise MemoryError
    mm = mm_at(index)
    strcpy(pool.handler.name, b"hotswap")
    pool.handler.version = 1
    pool.handler.allocator.ctx = pool
    pool.handler.allocator.malloc = pool_malloc
    pool.handler.allocator.calloc = pool_calloc
    pool.handler.allocator.realloc = pool_realloc
    pool.handler.allocator.free = pool_free
    pool.was = default_handler().allocator
    pool.index = index
    pool.least = least
    pool.base = mm.arena
    pool.bytes = mm.arena_pages << 12
    pool.space = cython.cast(cython.pointer(PyObject), space)
    Py_INCREF(space)
    return pool


def handler(space: object, index: cython.int, least: cython.size_t) -> object:
    """A memory handler that takes what has ``least`` bytes or more from a space. It keeps the space as long as an array needs it."""
    pool = make_pool(space, index, least)
    return PyCapsule_New(pool, b"mem_handler", forget_pool)


def forget_pool(capsule):
    pool = cython.cast(cython.pointer(Pool), PyCapsule_GetPointer(cython.cast(object, capsule), b"mem_handler"))
    space = cython.cast(object, pool.space)
    free(pool)
    Py_DECREF(space)


def use(capsule: object) -> object:
    """Sets the handler of the current context; the one it had."""
    call = cython.cast(set_handler_call, numpy_api(_SET))
    before = call(cython.cast(cython.pointer(PyObject), capsule))
    found = cython.cast(object, before)  # a reference of our own besides the one that came
    Py_DECREF(found)
    return found


def in_use() -> object:
    """The handler of the current context, if it is one of ours; else None."""
    call = cython.cast(get_handler_call, numpy_api(_GET))
    found = cython.cast(object, call())
    Py_DECREF(found)
    pool = cython.cast(cython.pointer(Pool), PyCapsule_GetPointer(found, b"mem_handler"))
    return found if pool.handler.allocator.malloc == pool_malloc else None


def everywhere(space: object, index: cython.int, least: cython.size_t) -> None:
    """For good, and in all threads and contexts: NumPy's default handler itself takes large memory from the space."""
    default = default_handler()
    pool = make_pool(space, index, least)  # never given back: arrays refer to the default handler, which is static
    default.allocator = pool.handler.allocator
