# NumPy's and Python's structs as far as an allocator needs them. NumPy's are part of its ABI since 1.22 (NEP 49) and 2.0.
from libc.stdint cimport uint64_t

cdef extern from "Python.h":
    ctypedef struct PyObject:
        pass
    ctypedef PyObject *(*allocfunc)(PyTypeObject *, Py_ssize_t)
    ctypedef void (*destructor)(PyObject *)
    ctypedef struct PyTypeObject:
        allocfunc tp_alloc
        destructor tp_dealloc
    void *PyCapsule_GetPointer(object capsule, const char *name) except NULL
    object PyCapsule_New(void *pointer, const char *name, void (*destructor)(PyObject *))
    bint PyCapsule_IsValid(object capsule, const char *name)
    void Py_INCREF(object)
    void Py_DECREF(object)

cdef extern from "npalloc.h" nogil:
    void newest_made(void *array)
    void newest_freed(void *array)
    struct newest:
        pass
    newest *newest_borrow()
    void *newest_array(newest *place)
    void newest_back(newest *place)

ctypedef void *(*malloc_call)(void *ctx, size_t size) noexcept nogil
ctypedef void *(*calloc_call)(void *ctx, size_t count, size_t each) noexcept nogil
ctypedef void *(*realloc_call)(void *ctx, void *p, size_t size) noexcept nogil
ctypedef void (*free_call)(void *ctx, void *p, size_t size) noexcept nogil
ctypedef PyObject *(*set_handler_call)(PyObject *handler) except NULL
ctypedef PyObject *(*get_handler_call)() except NULL

cdef struct Allocator:      # PyDataMemAllocator
    void *ctx
    malloc_call malloc
    calloc_call calloc
    realloc_call realloc
    free_call free

cdef struct Handler:        # PyDataMem_Handler
    char name[127]
    unsigned char version
    Allocator allocator

cdef struct Descr:          # the head of a PyArray_Descr
    Py_ssize_t refcount
    void *type
    void *typeobj
    char kind
    char letter
    char byteorder
    char former_flags
    int type_num
    uint64_t flags
    Py_ssize_t elsize

cdef struct Array:          # the head of a PyArrayObject
    Py_ssize_t refcount
    void *type
    char *data
    int nd
    void *dimensions
    void *strides
    void *base
    Descr *descr

cdef struct Pool:           # where a handler takes memory from; its first field, so that a capsule's pointer is both
    Handler handler
    Allocator was           # for what is small, and for arrays of objects
    int index               # of the space
    size_t least
    uint64_t base           # the space's addresses
    uint64_t bytes
    PyObject *space         # kept as long as an array has memory of it

cdef struct Watched:        # NumPy's own
    allocfunc alloc
    destructor dealloc
    bint on

cdef Watched ndarray

cdef int holds_objects() noexcept nogil
cdef int element_wanted() noexcept nogil
cdef void *pool_block(Pool *pool, size_t size, bint zeroed) noexcept nogil
cdef PyObject *new_array(PyTypeObject *type, Py_ssize_t items) noexcept
cdef void old_array(PyObject *array) noexcept
cdef void *pool_malloc(void *ctx, size_t size) noexcept nogil
cdef void *pool_calloc(void *ctx, size_t count, size_t each) noexcept nogil
cdef void *pool_realloc(void *ctx, void *p, size_t size) noexcept nogil
cdef void pool_free(void *ctx, void *p, size_t size) noexcept nogil
cdef bint pool_takes(Pool *pool, size_t size) noexcept nogil
cdef Pool *make_pool(object space, int index, size_t least) except NULL
cdef void forget_pool(PyObject *capsule) noexcept
cdef void *numpy_api(int which) except NULL
cdef Handler *default_handler() except NULL
