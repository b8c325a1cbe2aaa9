/*
 * timekeeper: makes a stock QEMU (TCG, -icount) exactly repeatable and drives it.
 *
 * It closes the two holes in icount determinism (idle race, software TLB), stops the machine at
 * exact instants, reads and writes guest memory while it stands still, and saves and restores
 * its state in process. It is driven through an inherited socket; when the other end goes away,
 * for whatever reason, the emulator exits.
 *
 * No package ships QEMU's internal headers, so the few prototypes used are declared here.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- QEMU: plugin interface, version 4 ---- */
#define EXPORT __attribute__((visibility("default")))
typedef uint64_t plugin_id;
struct plugin_insn;
struct plugin_tb;
EXPORT int qemu_plugin_version = 4;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct plugin_insn *, void (*)(unsigned, void *),
                                            int flags, void *);
size_t qemu_plugin_tb_n_insns(const struct plugin_tb *);
struct plugin_insn *qemu_plugin_tb_get_insn(const struct plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct plugin_insn *);
size_t qemu_plugin_insn_data(const struct plugin_insn *, void *, size_t);

/* ---- QEMU: exported internals (checked by name before QEMU is started: engine.py) ---- */
typedef struct CPUState CPUState;
typedef struct QEMUFile QEMUFile;
typedef struct QIOChannel QIOChannel;
typedef struct RAMBlock RAMBlock;
typedef struct QEMUTimer QEMUTimer;
typedef struct { uint8_t *data; unsigned length; } GByteArray;
typedef union { int i; unsigned long l; void *p; uint64_t u; } run_on_cpu_data;
enum { CLOCK_VIRTUAL = 1, ATTR_EXTERNAL = 1, RUN_PAUSED = 4, READS_REGISTERS = 1, RSI = 4 };

CPUState *qemu_get_cpu(int index);
void async_run_on_cpu(CPUState *, void (*)(CPUState *, run_on_cpu_data), run_on_cpu_data);
void cpu_stop_current(void);
bool all_cpu_threads_idle(void);
void icount_start_warp_timer(void);
int64_t icount_get(void);
int64_t qemu_clock_deadline_ns_all(int clock, int attributes);
bool qemu_clock_run_timers(int clock);
void qemu_clock_enable(int clock, bool enabled);
void timer_init_full(QEMUTimer *, void *group, int clock, int scale, int attributes,
                     void (*)(void *), void *);
void timer_mod_ns(QEMUTimer *, int64_t);
void timer_del(QEMUTimer *);
void cpu_reset(CPUState *);
int gdb_read_register(CPUState *, GByteArray *, int number);
void tlb_flush(CPUState *);
void tb_invalidate_phys_range(uint64_t start, uint64_t last);
uint64_t qemu_ram_addr_from_host(void *);
int qemu_ram_foreach_block(int (*)(RAMBlock *, void *), void *);
void *qemu_ram_get_host_addr(RAMBlock *);
uint64_t qemu_ram_get_used_length(RAMBlock *);
const char *qemu_ram_get_idstr(RAMBlock *);
void *qemu_get_aio_context(void);
void aio_bh_schedule_oneshot_full(void *ctx, void (*)(void *), void *, const char *name);
void qemu_set_fd_handler(int fd, void (*read)(void *), void (*write)(void *), void *);
void *qemu_add_vm_change_state_handler(void (*)(void *, bool, int), void *);
void bql_lock_impl(const char *file, int line);
void bql_unlock(void);
void vm_start(void);
int vm_stop(int state);
bool runstate_is_running(void);
void global_state_store_running(void);
QIOChannel *qio_channel_file_new_fd(int fd);
QEMUFile *qemu_file_new_output(QIOChannel *);
QEMUFile *qemu_file_new_input(QIOChannel *);
uint32_t qemu_get_be32(QEMUFile *);
int qemu_save_device_state(QEMUFile *);
int qemu_load_device_state(QEMUFile *);
int qemu_fflush(QEMUFile *);
int qemu_fclose(QEMUFile *);
GByteArray *g_byte_array_new(void);
GByteArray *g_byte_array_set_size(GByteArray *, unsigned);

/* The head of a VMStateField and the whole of a VMStateDescription, as in QEMU 10 and 11. */
struct vmstate_field { const char *name; };
struct vmstate {
    const char *name;
    bool unmigratable, early_setup;
    int version, minimum_version, priority;
    int (*pre_load)(void *), (*post_load)(void *, int), (*pre_save)(void *), (*post_save)(void *);
    bool (*needed)(void *), (*dev_unplug_pending)(void *);
    const struct vmstate_field *fields;
};
extern struct vmstate vmstate_cpu_common;

/* ---- Linux 6.7: PAGEMAP_SCAN, absent from older headers ---- */
struct scan_region { uint64_t start, end, categories; };
struct scan_args {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_args)
#define SCAN_WRITE_PROTECT 1
#define SCAN_CHECK_WPASYNC 2
#define PAGE_WRITTEN 2
#define PAGE_FILE 4
#define PAGE_PRESENT 8
#define PAGE_SWAPPED 16
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define FEATURE_WP_UNPOPULATED (1 << 13)
#define FEATURE_WP_ASYNC (1 << 15)

/* ---- The protocol (machine/computer.py is the other end; little endian) ---- */
enum op { OP_HELLO = 1, OP_RUN, OP_READ, OP_WRITE, OP_DIRTY, OP_SAVE, OP_LOAD, OP_NUDGE,
          OP_WATCH };
enum status { ST_OK = 0, ST_ERROR = 1, ST_HALTED = 2 };
struct request { uint32_t op, length; uint64_t a, b; };
struct reply { uint32_t status, length; int64_t now; uint64_t value, watched; };
struct move { uint32_t page, slot; };
#define PAGE 4096u
#define FROM_TEMPLATE UINT32_MAX
#define MAX_REQUEST (64u << 20)
#define MAIN_LOOP_ROUND 50         /* host ms */

static struct {
    int socket, pool, exchange;
    uint64_t switch_address;       /* guest address of __switch_to_asm; 0: not known yet */
    uint64_t idle_task;            /* guest address of init_task, the idle one; 0: not known */
    uint64_t last_task;            /* the last other one that was switched to; 0: not known */
    GByteArray *value;             /* of a register */
    bool cure_idle, cure_tlb, may_track;
    bool running;                  /* a RUN request waits for its answer */
    uint8_t *ram;
    uint64_t ram_size, ram_base;   /* bytes; ram address of the first byte */
    const uint8_t *watch;          /* in ram: 8 bytes that go with every answer */
    uint8_t *pool_map;
    size_t pool_size;
    int pagemap;
    bool tracking;                 /* the kernel tells us which pages were written */
    struct scan_region *regions;
    uint32_t *pages;
    QEMUTimer *stop_timer;
    int stop_event;                /* written when the machine has to stop */
    int64_t timer_at, until;       /* ns: when the timer fires next, and where the run ends */
    int64_t step;                  /* ns; 0: only there */
    uint64_t heard;                /* the watched bytes when the run began */
} self = { .cure_idle = true, .cure_tlb = true, .may_track = true };

/* ---- answering ---- */
static void write_all(int fd, const void *data, size_t length)
{
    for (const char *p = data; length;) {
        ssize_t n = send(fd, p, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);              /* nobody is left to work for */
        p += n;
        length -= n;
    }
}

static bool read_all(int fd, void *data, size_t length)
{
    for (char *p = data; length;) {
        ssize_t n = recv(fd, p, length, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        length -= n;
    }
    return true;
}

static void answer(int status, uint64_t value, const void *data, size_t length)
{
    struct reply r = { status, length, icount_get(), value, 0 };
    if (self.watch)
        memcpy(&r.watched, self.watch, sizeof r.watched);
    write_all(self.socket, &r, sizeof r);
    if (length)
        write_all(self.socket, data, length);
}

__attribute__((format(printf, 1, 2)))
static void fail(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    answer(ST_ERROR, 0, text, n < (int)sizeof text ? n : (int)sizeof text - 1);
}

/* ---- cure 1: idle time passes only on the vCPU thread, with every instruction accounted ----
 * Stock QEMU lets its main loop skip idle time from a clock that may not yet contain the last
 * instructions. Work queued at HLT keeps the CPU "busy" for the main loop until the vCPU thread
 * itself runs it, holding the lock.
 */
static void pass_idle_time(CPUState *cpu, run_on_cpu_data unused)
{
    (void)cpu;
    (void)unused;
    while (all_cpu_threads_idle() &&
           qemu_clock_deadline_ns_all(CLOCK_VIRTUAL, ~ATTR_EXTERNAL) >= 0) {
        icount_start_warp_timer();
        qemu_clock_run_timers(CLOCK_VIRTUAL);
    }
}

static void on_halt(unsigned index, void *unused)
{
    (void)unused;
    async_run_on_cpu(qemu_get_cpu(index), pass_idle_time, (run_on_cpu_data){ 0 });
}

/* ---- cure 2: the software TLB forgets whenever another task gets the CPU ----
 * Which stale entries survive in it depends on host time and is in no snapshot; a thread could
 * otherwise write through an entry whose flush Linux legitimately deferred.
 *
 * The way to the idle task and back to the task before it is no change of tasks: in between run
 * only the idle loop and interrupts, as they do inside one task, so that no one can meet an entry
 * that the task itself could not have met without sleeping. (A task is never mistaken for a new
 * one at the same address: whoever made the new one ran in between.) What was the last task is
 * forgotten with the TLB when a state is loaded: that can only add a flush.
 */
static void on_switch(unsigned index, void *unused)
{
    (void)unused;
    CPUState *cpu = qemu_get_cpu(index);
    uint64_t next = 0;             /* the second argument of __switch_to_asm */
    g_byte_array_set_size(self.value, 0);
    if (gdb_read_register(cpu, self.value, RSI) == sizeof next)
        memcpy(&next, self.value->data, sizeof next);
    if (next && (next == self.idle_task || next == self.last_task))
        return;
    self.last_task = next;
    tlb_flush(cpu);
}

static void on_translate(plugin_id id, struct plugin_tb *tb)
{
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    if (self.cure_tlb && self.switch_address)
        for (size_t i = 0; i < n; i++) {
            struct plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
            if (qemu_plugin_insn_vaddr(insn) == self.switch_address)
                qemu_plugin_register_vcpu_insn_exec_cb(insn, on_switch, READS_REGISTERS,
                                                       NULL);
        }
    struct plugin_insn *last = qemu_plugin_tb_get_insn(tb, n - 1);
    uint8_t opcode[2];
    if (self.cure_idle && qemu_plugin_insn_data(last, opcode, 2) == 1 && opcode[0] == 0xf4)
        qemu_plugin_register_vcpu_insn_exec_cb(last, on_halt, 0, NULL);
}

/* ---- exact stop ----
 * The timer fires on the vCPU thread at the exact instant. vm_stop() from there would only post
 * a request, and the main loop would let the clock run on first; so the main loop is told to stop
 * the machine, and the CPU held meanwhile.
 *
 * While time runs, the main loop waits here without QEMU's lock, not in its own poll: every time
 * the guest idles, QEMU would wake it there and fight with it for the lock, for nothing. Now and
 * then, and when something was said to us, it does its round all the same. (Without cure 1 it is
 * needed for idle time, so it stays where it is.)
 */
static void stop_machine(void *unused)
{
    (void)unused;
    vm_stop(RUN_PAUSED);
}

static void stand_by(void *unused)
{
    (void)unused;
    struct pollfd fds[] = { { .fd = self.stop_event, .events = POLLIN },
                            { .fd = self.socket, .events = POLLIN } };
    eventfd_t fired;
    if (!self.running)
        return;
    bql_unlock();
    poll(fds, 2, MAIN_LOOP_ROUND);
    bql_lock_impl(__FILE__, __LINE__);
    /* Not what poll() saw: until the lock was ours, it may have fired; and before the end of this
     * round the machine must be stopped then, or the main loop lets the clock run on. */
    if (!eventfd_read(self.stop_event, &fired))
        stop_machine(NULL);
    else
        aio_bh_schedule_oneshot_full(qemu_get_aio_context(), stand_by, NULL, "timekeeper");
}

static void set_timer(int64_t instant)
{
    self.timer_at = instant;
    timer_mod_ns(self.stop_timer, instant);
}

static int64_t next_look(int64_t now)
{
    int64_t grid = self.step ? (now / self.step + 1) * self.step : self.until;
    return grid < self.until ? grid : self.until;
}

/* Between the steps of a run there is nothing to stop for while the watched bytes stay what they
 * were: the host would learn nothing. */
static void on_stop_time(void *unused)
{
    (void)unused;
    if (self.timer_at < self.until && !memcmp(self.watch, &self.heard, sizeof self.heard)) {
        set_timer(next_look(self.timer_at));
        return;
    }
    if (self.cure_idle)
        eventfd_write(self.stop_event, 1);
    else
        aio_bh_schedule_oneshot_full(qemu_get_aio_context(), stop_machine, NULL, "timekeeper");
    cpu_stop_current();
}

static void on_state_change(void *unused, bool running, int state)
{
    (void)unused;
    if (running || !self.running)
        return;
    self.running = false;
    timer_del(self.stop_timer);
    answer(state == RUN_PAUSED ? ST_OK : ST_HALTED, state, NULL, 0);
}

static void do_run(int64_t until, uint64_t step)
{
    int64_t now = icount_get();
    if (until <= now || step > INT64_MAX / 2) {
        fail("asked to run to %lld ns, but it is %lld ns already", (long long)until,
             (long long)now);
        return;
    }
    eventfd_t old;
    eventfd_read(self.stop_event, &old);   /* from a run that ended otherwise at that instant */
    self.until = until;
    self.step = self.watch ? step : 0;
    if (self.step)
        memcpy(&self.heard, self.watch, sizeof self.heard);
    set_timer(next_look(now));
    self.running = true;
    vm_start();
    if (self.cure_idle) {
        on_halt(0, NULL);          /* the guest may be idle already */
        stand_by(NULL);
    }
}

/* ---- memory ---- */
static int find_ram(RAMBlock *block, void *unused)
{
    (void)unused;
    if (strcmp(qemu_ram_get_idstr(block), "ram") == 0) {
        self.ram = qemu_ram_get_host_addr(block);
        self.ram_size = qemu_ram_get_used_length(block);
        self.ram_base = qemu_ram_addr_from_host(self.ram);
    }
    return 0;
}

static bool start_tracking(void)
{
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    struct uffdio_api api = { .api = UFFD_API,
                              .features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED };
    struct uffdio_register registration = {
        .range = { (uintptr_t)self.ram, self.ram_size },
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    if (fd < 0)
        return false;
    if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &registration)) {
        close(fd);
        return false;
    }
    return true;                   /* the registration lives as long as this descriptor */
}

static const char *find_memory(void)
{
    if (self.ram)
        return NULL;
    qemu_ram_foreach_block(find_ram, NULL);
    if (!self.ram)
        return "no memory block named ram";
    self.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (self.pagemap < 0)
        return "cannot open the page map of this process";
    self.regions = calloc(self.ram_size / PAGE, sizeof *self.regions);
    self.pages = calloc(self.ram_size / PAGE, sizeof *self.pages);
    self.tracking = self.may_track && start_tracking();
    return NULL;
}

/* Guest pages that are private to this process, in ascending order, into self.pages. With
 * ``written``: only those touched since the last such call (which also starts a new round). */
static int64_t scan(bool written)
{
    struct scan_args args = {
        .size = sizeof args,
        .flags = written ? SCAN_WRITE_PROTECT | SCAN_CHECK_WPASYNC : 0,
        .start = (uintptr_t)self.ram,
        .end = (uintptr_t)self.ram + self.ram_size,
        .vec = (uintptr_t)self.regions,
        .vec_len = self.ram_size / PAGE,
        .category_inverted = PAGE_FILE,
        .category_mask = PAGE_FILE | (written ? PAGE_WRITTEN : 0),
        .category_anyof_mask = PAGE_PRESENT | PAGE_SWAPPED,
        .return_mask = PAGE_PRESENT,
    };
    int n = ioctl(self.pagemap, SCAN_IOCTL, &args);
    if (n < 0)
        return -1;
    int64_t count = 0;
    for (int i = 0; i < n; i++)
        for (uint64_t at = self.regions[i].start; at < self.regions[i].end; at += PAGE)
            self.pages[count++] = (at - (uintptr_t)self.ram) / PAGE;
    return count;
}

/* The same on kernels before 6.7, which can only tell which pages are private. */
static int64_t scan_pagemap(void)
{
    enum { CHUNK = 8192 };
    static uint64_t entries[CHUNK];
    int64_t count = 0;
    uint64_t first = (uintptr_t)self.ram / PAGE;
    for (uint64_t page = 0; page < self.ram_size / PAGE; page += CHUNK) {
        uint64_t n = self.ram_size / PAGE - page < CHUNK ? self.ram_size / PAGE - page : CHUNK;
        ssize_t got = pread(self.pagemap, entries, n * 8, (first + page) * 8);
        if (got != (ssize_t)(n * 8))
            return -1;
        for (uint64_t i = 0; i < n; i++)
            if (entries[i] >> 62 && !(entries[i] >> 61 & 1))
                self.pages[count++] = page + i;
    }
    return count;
}

static int64_t private_pages(bool written)
{
    if (self.tracking)
        return scan(written);
    return scan_pagemap();
}

/* a = 1: all private pages, not only those written since the last look.
 * b = 1: also copy their contents into the exchange file, in the order of the answer. */
static void do_dirty(bool all, bool contents)
{
    int64_t n = private_pages(!all);
    if (n < 0) {
        fail("cannot read the page map: %s", strerror(errno));
        return;
    }
    if (contents) {
        if (ftruncate(self.exchange, n * PAGE)) {
            fail("no room for %lld pages: %s", (long long)n, strerror(errno));
            return;
        }
        for (int64_t i = 0, run; i < n; i += run) {
            for (run = 1; i + run < n && self.pages[i + run] == self.pages[i] + run; run++)
                ;
            ssize_t want = run * PAGE;
            if (pwrite(self.exchange, self.ram + (uint64_t)self.pages[i] * PAGE, want, i * PAGE)
                != want) {
                fail("no room for %lld pages: %s", (long long)n, strerror(errno));
                return;
            }
        }
    }
    answer(ST_OK, self.tracking, self.pages, n * sizeof *self.pages);
}

static bool map_pool(uint64_t size)
{
    if (size <= self.pool_size)
        return true;
    if (self.pool_map)
        munmap(self.pool_map, self.pool_size);
    self.pool_map = mmap(NULL, size, PROT_READ, MAP_SHARED, self.pool, 0);
    self.pool_size = self.pool_map == MAP_FAILED ? 0 : size;
    if (!self.pool_size)
        self.pool_map = NULL;
    return self.pool_size;
}

/* ---- state ---- */

/* Loading a CPU throws away all translated code, as QEMU cannot know what became of memory. We do
 * know, and have invalidated what lay on changed pages (do_load); to translate everything else
 * again would cost ten times what the load does. The TLB must still go. */
static int on_cpu_loaded(void *cpu, int version)
{
    (void)version;
    tlb_flush(cpu);
    return 0;
}

static void keep_translations(void)
{
    struct vmstate *cpu = &vmstate_cpu_common;
    bool known = !strcmp(cpu->name, "cpu_common") && cpu->version == 1 &&
                 cpu->minimum_version == 1 && cpu->post_load && cpu->fields &&
                 !strcmp(cpu->fields->name, "halted");
    uintptr_t page = (uintptr_t)&cpu->post_load & -(uintptr_t)PAGE;
    if (known && !mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE)) {
        cpu->post_load = on_cpu_loaded;
        mprotect((void *)page, PAGE, PROT_READ);
    }
}

static void do_save(void)
{
    int fd = memfd_create("state", MFD_CLOEXEC);
    if (fd < 0) {
        fail("cannot make a buffer: %s", strerror(errno));
        return;
    }
    QEMUFile *file = qemu_file_new_output(qio_channel_file_new_fd(dup(fd)));
    global_state_store_running();
    int error = qemu_save_device_state(file);
    if (!error)
        error = qemu_fflush(file);
    qemu_fclose(file);
    off_t size = lseek(fd, 0, SEEK_END);
    void *data = error || size <= 0 ? NULL : mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (data && data != MAP_FAILED) {
        answer(ST_OK, 0, data, size);
        munmap(data, size);
    } else {
        fail("the devices could not be saved (%d)", error);
    }
    close(fd);
}

/* a: bytes of the pool in use; b: number of moves. The payload is the moves, then the device
 * state. Pages are compared before they are copied: most agree already. The answer is what the
 * devices are now, as from do_save. */
static void do_load(uint64_t pool_size, uint64_t n, const uint8_t *data, size_t length)
{
    if (n > self.ram_size / PAGE || n * sizeof(struct move) + 8 > length) {
        fail("malformed load request");
        return;
    }
    if (!map_pool(pool_size)) {
        fail("cannot map %llu bytes of pages", (unsigned long long)pool_size);
        return;
    }
    const struct move *moves = (const struct move *)data;
    for (uint64_t i = 0; i < n; i++)
        if (moves[i].page >= self.ram_size / PAGE ||
            (moves[i].slot != FROM_TEMPLATE &&
             ((uint64_t)moves[i].slot + 1) * PAGE > self.pool_size)) {
            fail("malformed load request: move %llu", (unsigned long long)i);
            return;
        }
    for (uint64_t i = 0; i < n; i++) {
        uint8_t *at = self.ram + (uint64_t)moves[i].page * PAGE;
        if (moves[i].slot == FROM_TEMPLATE) {
            madvise(at, PAGE, MADV_DONTNEED);
        } else {
            const uint8_t *from = self.pool_map + (uint64_t)moves[i].slot * PAGE;
            if (memcmp(at, from, PAGE) == 0)
                continue;
            memcpy(at, from, PAGE);
        }
        uint64_t address = self.ram_base + (uint64_t)moves[i].page * PAGE;
        tb_invalidate_phys_range(address, address + PAGE - 1);
    }
    const uint8_t *state = data + n * sizeof *moves;
    size_t state_length = length - n * sizeof *moves;
    int fd = memfd_create("state", MFD_CLOEXEC);
    if (fd < 0 || write(fd, state, state_length) != (ssize_t)state_length) {
        fail("cannot make a buffer: %s", strerror(errno));
        close(fd);
        return;
    }
    lseek(fd, 0, SEEK_SET);
    QEMUFile *file = qemu_file_new_input(qio_channel_file_new_fd(fd));
    qemu_get_be32(file);           /* magic and version stand before what the loader reads */
    qemu_get_be32(file);
    /* The clock is set before the devices are: should any device drop the lock while it loads
     * (KVM's vapic does, and is switched off for that), timers of the old present must not fire
     * in the new one. */
    qemu_clock_enable(CLOCK_VIRTUAL, false);
    /* What a saved CPU leaves out because it is zero (x87 pointers, say) must become zero. */
    cpu_reset(qemu_get_cpu(0));
    self.last_task = 0;
    int error = qemu_load_device_state(file);
    qemu_clock_enable(CLOCK_VIRTUAL, true);
    qemu_fclose(file);
    if (error < 0)
        fail("the devices could not be restored (%d)", error);
    else if (private_pages(true) < 0)
        fail("cannot read the page map: %s", strerror(errno));
    else
        do_save();
}

/* ---- requests, in QEMU's main loop with its lock held ---- */
static void serve(const struct request *r, uint8_t *payload)
{
    if (r->op == OP_NUDGE)
        return;                    /* it woke the main loop, which is all it is for */
    const char *problem = find_memory();
    if (problem) {
        fail("%s", problem);
        return;
    }
    if (self.running) {
        fail("the machine is running");
        return;
    }
    bool inside = r->a <= self.ram_size && r->b <= self.ram_size - r->a;
    switch (r->op) {
    case OP_HELLO:
        answer(ST_OK, self.ram_size, NULL, 0);
        break;
    case OP_RUN:
        do_run(r->a, r->b);
        break;
    case OP_READ:
        if (inside)
            answer(ST_OK, 0, self.ram + r->a, r->b);
        else
            fail("memory 0x%llx is outside the machine", (unsigned long long)r->a);
        break;
    case OP_WATCH:
        if (inside && r->b == sizeof(uint64_t)) {
            self.watch = self.ram + r->a;
            answer(ST_OK, 0, NULL, 0);
        } else {
            fail("memory 0x%llx is outside the machine", (unsigned long long)r->a);
        }
        break;
    case OP_WRITE:
        if (inside && r->b == r->length) {
            memcpy(self.ram + r->a, payload, r->length);
            uint64_t start = self.ram_base + r->a;
            if (r->length)
                tb_invalidate_phys_range(start, start + r->length - 1);
            answer(ST_OK, 0, NULL, 0);
        } else {
            fail("memory 0x%llx is outside the machine", (unsigned long long)r->a);
        }
        break;
    case OP_DIRTY:
        do_dirty(r->a, r->b);
        break;
    case OP_SAVE:
        do_save();
        break;
    case OP_LOAD:
        do_load(r->a, r->b, payload, r->length);
        break;
    default:
        fail("unknown request %u", r->op);
    }
}

static void on_request(void *unused)
{
    (void)unused;
    struct request r;
    if (!read_all(self.socket, &r, sizeof r) || r.length > MAX_REQUEST)
        _exit(0);
    uint8_t *payload = malloc(r.length + 1);
    if (!payload || !read_all(self.socket, payload, r.length))
        _exit(0);
    serve(&r, payload);
    free(payload);
}

static void attach(void *unused)
{
    (void)unused;
    keep_translations();
    self.stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self.stop_timer = calloc(1, 256);
    timer_init_full(self.stop_timer, NULL, CLOCK_VIRTUAL, 1, 0, on_stop_time, NULL);
    qemu_add_vm_change_state_handler(on_state_change, NULL);
    qemu_set_fd_handler(self.socket, on_request, NULL, NULL);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            return -1;
        *value++ = 0;
        if (!strcmp(argv[i], "socket"))
            self.socket = atoi(value);
        else if (!strcmp(argv[i], "pool"))
            self.pool = atoi(value);
        else if (!strcmp(argv[i], "exchange"))
            self.exchange = atoi(value);
        else if (!strcmp(argv[i], "switch"))
            self.switch_address = strtoull(value, NULL, 0);
        else if (!strcmp(argv[i], "idle_task"))
            self.idle_task = strtoull(value, NULL, 0);
        else if (!strcmp(argv[i], "idle"))
            self.cure_idle = !strcmp(value, "on");
        else if (!strcmp(argv[i], "tlb"))
            self.cure_tlb = !strcmp(value, "on");
        else if (!strcmp(argv[i], "track"))
            self.may_track = !strcmp(value, "on");
        else
            return -1;
    }
    self.value = g_byte_array_new();
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    aio_bh_schedule_oneshot_full(qemu_get_aio_context(), attach, NULL, "timekeeper");
    return 0;
}
