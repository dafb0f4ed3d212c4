from libc.stdint cimport int64_t, uint32_t, uint64_t
from hotswap cimport arch

cdef enum:
    MMS = 64                # address spaces in one process
    HANDLERS = 4            # threads that serve the faults of one
    AHEADERS = 2            # threads that read ahead for it: two transfers in flight
    VMAS = 65536            # arrays in one
    STREAMS = 16            # sequential readers that readahead can tell apart
    STRIDES = 8             # and of those who go in steps
    TURNS = 4               # blocks that scans bring back in parts, and of which it is known which way they go
    LEVELS = 3              # sizes of folios in one space
    REQUESTS = 64           # windows and stretches of steps that wait to be read ahead
    MM_NIL = -1
    DENSE_FIRST = 128       # what Vma.dense begins with

cdef enum:                  # what an address space counts, ever upwards but for the last two
    FAULTS_MINOR = 0        # without a transfer
    FAULTS_MAJOR = 1
    FAULTS_ZERO = 2         # first touches, and folios of one value
    FAULTS_WRITE = 3        # first writes to clean folios
    PAGES_IN = 4
    PAGES_OUT = 5
    PAGES_CLEAN = 6         # dropped without a write
    PAGES_FILLED = 7        # left as a value
    AHEAD_PAGES = 8         # read ahead
    AHEAD_HITS = 9          # and of those used
    REFAULTS = 10           # back sooner than a scan's length
    ACTIVATIONS = 11
    DIRECT_RECLAIMS = 12    # faults that had to make room themselves
    WAIT_NS = 13            # and how long that took
    UNMOVABLE = 14          # folios that the kernel would not let go of
    POISONED = 15           # pages
    WROTE_CLEAN = 16        # how often a folio that came in clean was written, of late
    KEPT_CLEAN = 17         # and how often it was dropped as it came
    FOLIO_SPLITS = 18       # folios that became smaller ones
    FOLIO_MERGES = 19       # and larger ones that were made of such
    COUNTERS = 20

cdef enum:                  # a page-table entry: lock bits, kind, flags, order, swap entry
    PTE_KIND = 7 << 2
    PTE_NONE = 0            # never touched: reads as zeros
    PTE_FILLED = 1 << 2     # out, and all its words had one value: takes no slot
    PTE_SWAPPED = 2 << 2    # out, in the slots of its entry
    PTE_CLEAN = 3 << 2      # in, write-protected; its slots hold the same bytes
    PTE_DIRTY = 4 << 2      # in, writable; has no slots
    PTE_POISON = 5 << 2     # its bytes could not be read back
    PTE_TAIL = 6 << 2       # of a folio that begins before; only the order says something, which is the folio's
    PTE_PINNED = 1 << 5     # in and not to be evicted: on no list, the pins are counted in `prev`
    PTE_ACTIVE = 1 << 6     # on the active list
    PTE_WORKINGSET = 1 << 7 # was on the active list since it came in
    PTE_ORDER_SHIFT = 8     # 4 bits
    PTE_PASSING = 1 << 12   # came in with a scan of more than memory holds: leaves before others (lru.py)
    PTE_USE = 1 << 6 | 1 << 7 | 1 << 12
    PTE_ENTRY_SHIFT = 16    # 45 bits

cdef struct Pte:            # one a page; a folio uses that of its first, the others are tails and say where that is (folio.py)
    arch.word state         # bit lock; the rest changes with the unlock
    uint32_t prev           # in: links of the reclaim list it is on, under lru_lock; pins
    uint32_t next           # out: prev is the shadow, the clock of its eviction; FILLED: both are the value

cdef struct Element:        # of the array in 2 MiB of the arena
    arch.word bytes         # 0: not known; a hint

cdef struct Vma:            # an array's range, in pages of the arena
    uint64_t start
    uint64_t pages
    int order               # of its largest folios
    arch.word dense         # how much of late faults was part of a scan, of 256: a hint (folio.py)
    int shm                 # the shared object that is attached there (shm.py), or MM_NIL; its entries are not in this mm

cdef struct Lru:            # by page number; under lru_lock
    uint32_t head
    uint32_t tail
    uint64_t pages
    uint64_t folios

cdef enum:
    FRAME_READY = 0         # free, has pages in it
    FRAME_EMPTY = 1         # free, has none: where pages can be moved to
    FRAME_BUSY = 2          # a thread's own
    FRAME_READING = 3       # in the swap cache, being read
    FRAME_STANDBY = 4       # in the swap cache: may be used, or taken back at any time
    NO_FRAME = -1

cdef struct Pool:           # of frames of one size; under frame_lock
    bint kept               # their pages are never moved, and so stay the huge ones that they are made as: to be read into
    int order
    int count
    int ready_head
    int empty_head
    int standby_head
    int standby_tail

cdef struct Frame:          # a folio's worth of staging memory
    int level               # its pool
    uint32_t page           # where in the staging memory it begins
    uint64_t entry          # whose slots it holds, under the area's lock while it is in the swap cache
    uint32_t chain          # next in the cache's bucket, likewise
    int slots               # how many, likewise
    bint ahead              # read ahead and not as it left, likewise; once it is out of the cache, its owner's; on standby it stays
    int state               # under frame_lock, as all below
    int prev
    int next
    uint64_t holds          # of an object: this and one more is the page of the folio that only this frame has (shm.py); 0: none

cdef struct Stream:         # a sequential reader; a hint, its words are read and written without a lock
    arch.word first         # the page it faulted on last
    arch.word next          # and the one behind what it had; 0: nobody
    arch.word window        # pages to read ahead
    arch.word ahead         # how far that has been asked for; below ``next`` when it goes backwards
    arch.word run           # pages it has passed, those that were in memory too
    arch.word trial         # 1: it was given more than it came for; its next fault is given one page, and shows whether it goes on to the next

cdef struct Stride:         # a reader that goes in equal steps; a hint, likewise (stride.py)
    arch.word first         # the page it began at
    arch.word last          # the page it came to last, or furthest; 0: nobody
    arch.word step          # pages; 0: not known
    arch.word back          # it goes backwards
    arch.word times         # how often it came on by a few of them
    arch.word window        # steps to read ahead
    arch.word ahead         # how many have been asked for beyond ``last``

cdef struct Turn:           # a block of which scans bring back parts (lru.py); under lru_lock
    uint64_t block
    uint64_t left           # pages of it that have not come; 0: nobody asks any more
    bint active             # where they go

cdef struct Request:
    uint64_t page
    uint64_t pages          # in a row; or folios, each a step further
    int64_t step            # 0: in a row

cdef struct Mm:
    # Fixed while it lives
    int index
    int member              # of the family: whose it is (family.py)
    int features
    bint shared             # no address space but a shared object: what is "mapped" is in its memory, others map that (shm.py)
    int fd                  # of the userfaultfd; of the object's memory
    int stopper
    uint64_t arena          # first address
    uint64_t arena_pages
    Pte *ptes               # one a page of the arena
    int order               # of the largest folios
    Element *elements       # one for each 2 MiB of it
    uint64_t staging        # address of the first frame
    uint64_t staging_pages
    int frame_count
    Frame *frames
    int levels              # sizes of folios, the smallest first; one where the size is given
    int pool_count          # one a level, and where limits are large one more, of frames that keep their pages
    Pool pools[4]           # the frames of each size
    int thread_count
    uint64_t thread[16]
    # The mmlist; under mmlist.lock
    int prev
    int next
    int holds
    bint gone
    bint listed             # it is on the mmlist
    # mmap lock
    arch.rwlock mmap_lock
    Vma *vmas               # by address
    int vma_count
    # The limit, in pages; staging is not in it
    arch.word budget
    arch.word share         # budget and staging, of the family's limit where there is one (shares.py)
    arch.word wish          # what the share may grow to
    bint settled            # under the shares' lock: its share counts by itself; until then what was put aside for it does
    arch.word need          # how many of its folios came back too soon, of late
    arch.word resident
    arch.word pinned
    arch.word packed        # of resident: what compressed RAM holds for it, in units of 64 bytes
    arch.word relief        # event: pages or frames came free, or there is more swap
    arch.word pressure      # event: background reclaim is wanted
    arch.word stop
    arch.word forgotten     # other processes let go of entries that its frames may be on standby for
    arch.word watched       # a handler looks for the next fault, awake
    arch.word stray         # the page of the last fault outside all arrays << 8 | how often in a row
    arch.word full_said     # the log has it that all areas are full
    # Reclaim
    arch.mutex lru_lock
    Lru active
    Lru inactive
    bint lru_cut            # of an object: who had lru_lock died, the lists are not used until they are made anew (shm_death.py)
    uint64_t active_pages   # that ``active`` should have
    uint64_t passing        # pages of ``inactive`` that have PTE_PASSING
    Turn turns[TURNS]
    int turn                # the next of these to be given away
    int since_exchange      # blocks that scans brought back since one took the place of what was oldest on active
    arch.word clock         # pages evicted so far
    # Frames
    arch.mutex frame_lock
    bint frames_cut         # likewise
    # Readahead
    Stream streams[16]
    arch.word stream_turn
    Stride strides[8]
    arch.word stride_turn
    arch.mutex request_lock
    Request requests[64]
    int request_head
    int request_count
    arch.word request_event
    arch.word counter[24]   # by the names above

cdef struct MmList:
    arch.mutex lock
    int mended              # counts how often it was linked anew
    int head
    int tail

cdef Mm *mms
cdef MmList *mmlist

cdef Mm *mm_at(int index) noexcept nogil
cdef bint mm_mine(int index) noexcept nogil
cdef void mmlist_add(Mm *mm) noexcept nogil
cdef void mmlist_mend(int nothing) noexcept nogil
cdef int mmlist_hold_mine(int after) noexcept nogil
cdef void mmlist_tell() noexcept nogil
cdef void mmlist_release(int index) noexcept nogil
cdef void mmlist_remove(Mm *mm) noexcept nogil
cdef int find_vma(Mm *mm, uint64_t page) noexcept nogil
cdef int64_t vma_insert(Mm *mm, uint64_t pages, int order) noexcept nogil
cdef void vma_remove(Mm *mm, int number) noexcept nogil
cdef uint64_t pte_entry(uint64_t state) noexcept nogil
cdef int pte_order(uint64_t state) noexcept nogil
cdef uint64_t pte_make(uint64_t kind, int order, uint64_t entry) noexcept nogil
cdef uint64_t address_of(Mm *mm, uint64_t page) noexcept nogil
cdef int element_at(Mm *mm, uint64_t page) noexcept nogil
cdef void elements_set(Mm *mm, uint64_t page, uint64_t pages, int element) noexcept nogil
