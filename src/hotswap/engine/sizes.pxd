from libc.stdint cimport uint64_t
from hotswap.engine.mm cimport Mm, Vma

cdef enum:
    HUGE = 512              # pages of a huge one, 2 MiB
    ADAPTIVE = -1           # instead of an order: what suits
    LARGEST_ORDER = 8       # of folios then: 1 MiB
    MIDDLE_ORDER = 4        # 64 KiB
    STAGING_LEAST = 64      # pages
    STAGING_MOST = 8192     # pages, 32 MiB, unless the frames are larger
    FRAMES_LEAST = 16
    FOLIOS_LEAST = 32       # a limit holds that many besides the frames
    PAGE_SHARE = 8          # a folio is not more than that part of the limit

cpdef uint64_t staging_pages(uint64_t limit, int order) noexcept nogil
cpdef uint64_t least_limit(int order) noexcept nogil
cdef void set_up_pools(Mm *mm, uint64_t limit, int order) noexcept nogil
cdef uint64_t kept_pages(Mm *mm) noexcept nogil
cdef void pools_copy(Mm *mm, Mm *source) noexcept nogil
cdef int largest_order(Mm *mm, Vma *vma) noexcept nogil
cdef int next_order(Mm *mm, Vma *vma, int order) noexcept nogil
cdef int before_order(Mm *mm, int order) noexcept nogil
cdef int whole_order(Mm *mm, int order) noexcept nogil
