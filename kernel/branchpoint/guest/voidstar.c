/* libvoidstar.so: for programs in containers, whose SDKs load it from /usr/lib if it is there.
 *
 * Data goes, a line at a time, to the file that the agent reads (agent/containers/sdk.c), as the
 * SDKs themselves would write it. So do the edges that a program runs for the first time.
 *
 * It is loaded into any program: with each libc, or with none that it knows, in any thread, between
 * fork and exec, and in handlers of signals. So it calls the kernel only, keeps no file open, never
 * waits, leaves errno alone, and is silent about what does not work.
 */
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE "/dev/branchpoint/sdk/sdk.jsonl"
#define PUBLIC __attribute__((visibility("default")))
#define LINE 2048          /* bytes; threads and handlers of signals may have small stacks */
#define NAME 256           /* bytes of a module's name that are told */
#define NUMBER 20          /* digits of the largest number */
#define MOST (1UL << 26)   /* edges of one module */
#define NOWHERE (1UL << 62)
#define EACH 1000000ULL    /* nanoseconds: a line of edges for each, in the long run ... */
#define BURST (256 * EACH) /* ... and so many at once */

struct module {
    struct module *next;
    size_t first, edges, words;
    bool untold;     /* there may be fresh ones */
    char name[NAME];
    uint64_t bits[]; /* edges that were met; edges of these that are fresh, which is: not told */
};

static struct module *modules;
static size_t ends = 1; /* no edge has number 0, which says of a guard that it was told */
static uint64_t paid;   /* until when lines of edges are paid for */

/* ---- the kernel */

static long call(long number, long a, long b, long c, long d)
{
    register long fourth __asm__("r10") = d, fifth __asm__("r8") = -1, sixth __asm__("r9") = 0;
    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    return number;
}

/* Memory that is zero; NULL when there is none. */
static void *map(size_t size)
{
    long at = call(__NR_mmap, 0, (long)size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    return at < 0 ? NULL : (void *)at;
}

static uint64_t now(void) /* ns; see agent.h */
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* ---- lines */

/* One call writes all of it, so that no other program's or thread's line can come in between. The
 * file is opened each time: a program may close all that it has open, and then has other files
 * under these numbers. */
static void append(const char *line, size_t size)
{
    const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    long fd = call(__NR_open, (long)FILE, flags, 0, 0);
    if (fd < 0) {
        fd = call(__NR_open, (long)FILE, flags | O_CREAT, 0666, 0);
        if (fd >= 0)
            call(__NR_fchmod, fd, 0666, 0, 0); /* for other users of this container */
    }
    if (fd < 0)
        return;
    call(__NR_write, fd, (long)line, (long)size, 0);
    call(__NR_close, fd, 0, 0, 0);
}

static size_t add(char *line, size_t size, const char *text)
{
    while (*text)
        line[size++] = *text++;
    return size;
}

static size_t add_number(char *line, size_t size, size_t number)
{
    char digits[NUMBER];
    int count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        line[size++] = digits[--count];
    return size;
}

/* ---- edges */

static void tell_line(char *line, size_t size)
{
    append(line, add(line, size, "]}}\n"));
}

static void tell(struct module *m)
{
    char line[LINE];
    size_t size = 0;
    for (size_t word = 0; word < m->words; word++) {
        uint64_t *fresh = &m->bits[m->words + word];
        if (!__atomic_load_n(fresh, __ATOMIC_ACQUIRE))
            continue;
        uint64_t found = __atomic_exchange_n(fresh, 0, __ATOMIC_ACQ_REL);
        for (; found; found &= found - 1) {
            if (size) {
                size = add(line, size, ",");
            } else {
                size = add(line, size, "{\"branchpoint_coverage\":{\"module\":\"");
                size = add(line, size, m->name);
                size = add(line, size, "\",\"edges\":[");
            }
            size = add_number(line, size, word * 64 + (size_t)__builtin_ctzll(found));
            if (size > LINE - 2 * NUMBER) {
                tell_line(line, size);
                size = 0;
            }
        }
    }
    if (size)
        tell_line(line, size);
}

static void tell_all(void)
{
    struct module *m = __atomic_load_n(&modules, __ATOMIC_ACQUIRE);
    for (; m; m = m->next)
        if (__atomic_exchange_n(&m->untold, false, __ATOMIC_ACQ_REL))
            tell(m);
}

/* Edges are told when they are met, as what a program runs before it stops matters most. But one
 * that starts meets thousands at once: they are told together, with the next one that is paid for,
 * with the next data, or at the end. A process that forks then leaves them to both. */
static bool is_paid(void)
{
    uint64_t instant = now(), until = __atomic_load_n(&paid, __ATOMIC_RELAXED);
    if (until > instant + BURST)
        return false;
    __atomic_store_n(&paid, (until > instant ? until : instant) + EACH, __ATOMIC_RELAXED);
    return true;
}

static void note(struct module *m, size_t edge)
{
    uint64_t bit = 1ULL << (edge % 64), *met = &m->bits[edge / 64];
    if (__atomic_fetch_or(met, bit, __ATOMIC_ACQ_REL) & bit)
        return;
    __atomic_fetch_or(met + m->words, bit, __ATOMIC_ACQ_REL);
    __atomic_store_n(&m->untold, true, __ATOMIC_RELEASE);
    if (is_paid())
        tell_all();
}

static void note_number(size_t number)
{
    struct module *m = __atomic_load_n(&modules, __ATOMIC_ACQUIRE);
    for (; m; m = m->next)
        if (number - m->first < m->edges) {
            note(m, number - m->first);
            return;
        }
}

/* The number of its first edge. One more than it has is reserved: some count from 1. */
static size_t begin(size_t edges, const char *name)
{
    if (edges > MOST)
        return NOWHERE;
    size_t words = (edges + 1 + 63) / 64;
    struct module *m = map(sizeof *m + 2 * words * sizeof *m->bits);
    if (!m)
        return NOWHERE;
    for (size_t at = 0; name && name[at] && at < NAME - 1; at++) {
        bool plain = name[at] >= ' ' && name[at] <= '~' && name[at] != '"' && name[at] != '\\';
        m->name[at] = plain ? name[at] : '_';
    }
    m->words = words;
    m->edges = edges + 1;
    m->first = __atomic_fetch_add(&ends, m->edges, __ATOMIC_ACQ_REL);
    m->next = __atomic_load_n(&modules, __ATOMIC_ACQUIRE);
    while (!__atomic_compare_exchange_n(&modules, &m->next, m, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
        ;
    return m->first;
}

/* ---- what programs call */

PUBLIC void fuzz_flush(void)
{
    tell_all();
}

__attribute__((destructor)) static void at_exit(void)
{
    tell_all();
}

PUBLIC void fuzz_json_data(const char *data, size_t size)
{
    char small[LINE], *line = small;
    if (!data || !size)
        return;
    tell_all();
    if (size >= sizeof small && !(line = map(size + 1)))
        return;
    for (size_t at = 0; at < size; at++) /* in JSON, newlines stand between words only */
        line[at] = data[at] == '\n' ? ' ' : data[at];
    line[size] = '\n';
    append(line, size + 1);
    if (line != small)
        call(__NR_munmap, (long)line, (long)(size + 1), 0, 0);
}

/* From the kernel's pool, and so from the branch's seed. */
PUBLIC uint64_t fuzz_get_random(void)
{
    uint64_t number = 0;
    call(__NR_getrandom, (long)&number, sizeof number, 0, 0);
    return number;
}

PUBLIC size_t init_coverage_module(size_t edges, const char *symbols)
{
    return begin(edges, symbols);
}

/* False: it need not be called for this edge again. */
PUBLIC bool notify_coverage(size_t edge)
{
    note_number(edge);
    return false;
}

/* The compiler makes a guard for each edge of a program or library, and calls this when it is
 * loaded, perhaps several times. */
PUBLIC void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop)
{
    static uint32_t loaded;
    char name[NAME];
    if (start == stop || *start)
        return;
    long size = call(__NR_readlink, (long)"/proc/self/exe", (long)name, NAME - NUMBER - 2, 0);
    size_t length = size < 0 ? 0 : (size_t)size;
    length = add(name, length, ":");
    length = add_number(name, length, __atomic_fetch_add(&loaded, 1, __ATOMIC_RELAXED));
    name[length] = 0;
    size_t first = begin((size_t)(stop - start), name);
    for (uint32_t *guard = start; guard < stop && first != NOWHERE; guard++)
        *guard = (uint32_t)(first + (size_t)(guard - start));
}

PUBLIC void __sanitizer_cov_trace_pc_guard(uint32_t *guard)
{
    uint32_t number = __atomic_load_n(guard, __ATOMIC_RELAXED);
    if (!number)
        return;
    note_number(number);
    __atomic_store_n(guard, 0, __ATOMIC_RELAXED);
}
