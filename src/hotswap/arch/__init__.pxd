# The seam's names, as the engine uses them. What each does stands in the headers.
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "atomics.h" nogil:
    enum:
        DEBUG "ARCH_DEBUG"
    ctypedef struct word "arch_word":
        pass
    uint64_t load "arch_load"(const word *w)
    uint64_t load_acquire "arch_load_acquire"(const word *w)
    void store "arch_store"(word *w, uint64_t v)
    void store_release "arch_store_release"(word *w, uint64_t v)
    uint64_t add "arch_add"(word *w, int64_t d)
    uint64_t add_acq_rel "arch_add_acq_rel"(word *w, int64_t d)
    uint64_t swap "arch_swap"(word *w, uint64_t v)
    bint cas "arch_cas"(word *w, uint64_t old, uint64_t new_value)
    void bump "arch_bump"(word *w, int64_t d)
    void fence "arch_fence"()
    void acquire "arch_acquire"()
    int barrier_setup "arch_barrier_setup"()
    void light "arch_light"()
    void heavy "arch_heavy"()

cdef extern from "sync.h" nogil:
    uint64_t now_ns "arch_now_ns"()
    void nap_us "arch_nap_us"(uint64_t us)
    void yield_cpu "arch_yield"()
    bint bit_trylock "arch_bit_trylock"(word *w)
    void bit_lock "arch_bit_lock"(word *w)
    bint bit_lock_unless "arch_bit_lock_unless"(word *w, word *stop)
    void bit_unlock "arch_bit_unlock"(word *w, uint64_t value)
    uint64_t event_read "arch_event_read"(word *w)
    void event_wake "arch_event_wake"(word *w)
    void event_wait "arch_event_wait"(word *w, uint64_t seen, int64_t timeout_us)
    ctypedef struct mutex "arch_mutex":
        pass
    void mutex_init "arch_mutex_init"(mutex *m)
    void mutex_lock "arch_mutex_lock"(mutex *m)
    void mutex_unlock "arch_mutex_unlock"(mutex *m)
    int mutex_try "arch_mutex_try"(mutex *m)
    ctypedef void (*mend_call "arch_mend_call")(int argument) noexcept nogil
    int mend_known "arch_mend_known"(mend_call mend)
    void mutex_mend "arch_mutex_mend"(mutex *m, mend_call mend, int argument)
    void calm_enter "arch_calm_enter"()
    void calm_leave "arch_calm_leave"()
    void calm_stop "arch_calm_stop"()
    void calm_go "arch_calm_go"()
    void calm_begin "arch_calm_begin"()
    ctypedef struct rwlock "arch_rwlock":
        pass
    void rwlock_init "arch_rwlock_init"(rwlock *l)
    void read_lock "arch_read_lock"(rwlock *l)
    void read_unlock "arch_read_unlock"(rwlock *l)
    void write_lock "arch_write_lock"(rwlock *l)
    void write_unlock "arch_write_unlock"(rwlock *l)
    ctypedef void (*thread_main "arch_thread_main")(int argument) noexcept nogil
    uint64_t thread_start "arch_thread_start"(thread_main main, int argument, const char *name)
    void thread_unjoined "arch_thread_unjoined"()
    void thread_join "arch_thread_join"(uint64_t handle)
    enum:
        LOCKED "ARCH_LOCKED"
        WAITERS "ARCH_WAITERS"
    bint rarely "arch_rarely"(bint condition)
    void log_area "arch_log_area"(const char *format, uint64_t name, uint64_t a, uint64_t b)
    void check "arch_check"(bint holds, const char *invariant)
    void log "arch_log"(const char *format, uint64_t a, uint64_t b, uint64_t c)

cdef extern from "family.h" nogil:
    enum:
        THREADS "ARCH_THREADS"
    bint founder "arch_founder"()
    void loaded "arch_loaded"()
    int family_door "arch_family_door"(uint64_t *said)
    void thread_slots "arch_thread_slots"()
    int thread_slot "arch_thread_slot"()
    int thread_slot_mine "arch_thread_slot_mine"()
    uint64_t thread_slot_owner "arch_thread_slot_owner"(int slot)
    void thread_slot_free "arch_thread_slot_free"(int slot)
    void *table "arch_table"(uint64_t count, uint64_t each)
    void table_free "arch_table_free"(void *table, bint poison)
    uint64_t table_room "arch_table_room"(uint64_t bytes)
    void table_room_free "arch_table_room_free"(uint64_t address, uint64_t bytes)
    void table_punch "arch_table_punch"(uint64_t address, uint64_t bytes)

cdef extern from "descriptors.h" nogil:
    ctypedef struct keep "struct arch_keep":
        int stopper
    bint is_open "arch_is_open"(int fd)
    int stopper "arch_stopper"()
    void stopper_set "arch_stopper_set"(int fd)
    int keep_begin "arch_keep_begin"(keep *k, int fd, int stopper)
    void keep_stop "arch_keep_stop"(keep *k)
    void keep_end "arch_keep_end"(keep *k)
    void keep_forked "arch_keep_forked"(keep *k)
    void keep_closed "arch_keep_closed"(keep *k)

cdef extern from "mmu.h" nogil:
    enum:
        MMU_WP "ARCH_MMU_WP"
        MMU_MOVE "ARCH_MMU_MOVE"
        MMU_POISON "ARCH_MMU_POISON"
        MMU_SIGBUS "ARCH_MMU_SIGBUS"
        MMU_SHARED "ARCH_MMU_SHARED"
        MMU_SHARED_WP "ARCH_MMU_SHARED_WP"
        FAULT_WRITE "ARCH_FAULT_WRITE"
        FAULT_PROTECTED "ARCH_FAULT_PROTECTED"
    ctypedef struct fault_info "struct arch_fault":
        uint64_t address
        int flags
    int mmu_open "arch_mmu_open"()
    bint mmu_kernel_faults "arch_mmu_kernel_faults"()
    int mmu_handshake "arch_mmu_handshake"(int fd, int refuse, bint signal)
    uint64_t reserve "arch_reserve"(uint64_t bytes)
    void huge "arch_huge"(uint64_t address, uint64_t bytes)
    void release "arch_release"(uint64_t address, uint64_t bytes)
    int mmu_register "arch_mmu_register"(int fd, uint64_t address, uint64_t bytes, bint missing)
    int mmu_next "arch_mmu_next"(int fd, fault_info *fault)
    int mmu_waiter "arch_mmu_waiter"(int fd, int stopper)
    int mmu_wait "arch_mmu_wait"(int waiter, int fd, fault_info *fault)
    int mmu_watch "arch_mmu_watch"(int waiter, int fd, fault_info *fault, uint64_t ns)
    void mmu_poll "arch_mmu_poll"(int fd, int stopper)
    void close_fd "arch_close"(int fd)
    int mmu_wake "arch_mmu_wake"(int fd, uint64_t address, uint64_t bytes)
    int mmu_zero "arch_mmu_zero"(int fd, uint64_t address, uint64_t bytes)
    int mmu_copy "arch_mmu_copy"(int fd, uint64_t to, uint64_t source, uint64_t bytes, bint protect)
    int mmu_move "arch_mmu_move"(int fd, uint64_t to, uint64_t source, uint64_t bytes)
    int mmu_protect "arch_mmu_protect"(int fd, uint64_t address, uint64_t bytes, bint protect)
    int mmu_drop "arch_mmu_drop"(uint64_t address, uint64_t bytes)
    int mmu_populate "arch_mmu_populate"(uint64_t address, uint64_t bytes)
    int shm_open "arch_shm_open"(uint64_t bytes)
    uint64_t shm_map "arch_shm_map"(int shm, uint64_t bytes)
    int shm_attach "arch_shm_attach"(int fd, int shm, uint64_t address, uint64_t bytes, bint protects)
    int shm_detach "arch_shm_detach"(int fd, uint64_t address, uint64_t bytes)
    int shm_pipe "arch_shm_pipe"(int *ends)
    int64_t shm_hold "arch_shm_hold"(int shm, int end, uint64_t offset, uint64_t bytes)
    int shm_held "arch_shm_held"(int end, uint64_t to, uint64_t bytes)
    uint64_t shm_holds "arch_shm_holds"(int end)
    bint shm_has "arch_shm_has"(int shm, uint64_t offset)
    int shm_punch "arch_shm_punch"(int shm, uint64_t offset, uint64_t bytes)
    int mmu_continue "arch_mmu_continue"(int fd, uint64_t address, uint64_t bytes, bint protect)
    int mmu_poison "arch_mmu_poison"(int fd, uint64_t address, uint64_t bytes)
    int mmu_forbid "arch_mmu_forbid"(uint64_t address, uint64_t bytes)
    int mmu_allow "arch_mmu_allow"(uint64_t address, uint64_t bytes)
    bint same_filled "arch_same_filled"(uint64_t address, uint64_t bytes)
    uint64_t first_word "arch_first_word"(uint64_t address)
    void fill "arch_fill"(uint64_t address, uint64_t bytes, uint64_t value)
    void copy "arch_copy"(uint64_t to, uint64_t source, uint64_t bytes)
    void touch "arch_touch"(uint64_t address, uint64_t bytes)

cdef extern from "disk.h" nogil:
    enum:
        DISK_PIECES "ARCH_DISK_PIECES"
        DISK_EACH "ARCH_DISK_EACH"
    int disk_transfer "arch_disk_transfer"(int fd, bint write, const uint64_t *addresses, int count, uint64_t each, uint64_t offset)
    void disk_read_each "arch_disk_read_each"(const int *fds, const uint64_t *addresses, const uint64_t *offsets, int count, uint64_t each, int *results)
    uint64_t disk_identity "arch_disk_identity"(int fd)
    void disk_forked "arch_disk_forked"()
    void disk_lock "arch_disk_lock"(int fd)
    void disk_unlock "arch_disk_unlock"(int fd)
    int disk_reopen "arch_disk_reopen"(int process, int fd, bint direct)

cdef extern from "sigbus.h" nogil:
    ctypedef int (*fault_call "arch_fault_call")(uint64_t address, int write) noexcept nogil
    bint signal_known "arch_signal_known"()
    int signal_setup "arch_signal_setup"(fault_call call)

cdef extern from "codec.h" nogil:
    enum:
        PACK_PLAIN "ARCH_PACK_PLAIN"
        PACK_BYTES "ARCH_PACK_BYTES"
        PACK_BITS "ARCH_PACK_BITS"
        PACK_DELTA "ARCH_PACK_DELTA"
        PACK_ELEMENT "ARCH_PACK_ELEMENT"
        PACK_MOST "ARCH_PACK_MOST"
        PACK_SCRATCH "ARCH_PACK_SCRATCH"
    uint64_t packed "arch_packed"(uint64_t scratch)
    int pack "arch_pack"(uint64_t scratch, uint64_t source, int bytes, int how, int room)
    int unpack "arch_unpack"(uint64_t scratch, uint64_t source, int stored, uint64_t to, int bytes, int how, int skip, int take)

cdef extern from "channel.h" nogil:
    int channel_listen "arch_channel_listen"()
    int channel_accept "arch_channel_accept"(int listener)
    int channel_receive "arch_channel_receive"(int fd, void *message, uint64_t bytes, int *passed, int64_t timeout_us)
    int channel_send "arch_channel_send"(int fd, const void *message, uint64_t bytes)
    void channel_close "arch_channel_close"(int fd)
    int process "arch_process"()
    uint64_t number "arch_number"(const void *place)

cdef extern from "child.h" nogil:
    ctypedef void (*child_call "arch_child_call")() noexcept nogil
    ctypedef int (*touch_call "arch_touch_call")(uint64_t address) noexcept nogil
    int child_setup "arch_child_setup"(child_call before, child_call after, child_call begins)
    int pipe_open "arch_pipe_open"(int *ends)
    void pipe_tell "arch_pipe_tell"(int end, int what)
    int pipe_hear "arch_pipe_hear"(int end)
    void inherit "arch_inherit"(uint64_t address, uint64_t bytes, bint inherited)
    int blank "arch_blank"(uint64_t address, uint64_t bytes)
    void child_bar "arch_child_bar"(uint64_t address, uint64_t bytes)
    void child_tell "arch_child_tell"(touch_call ours)
