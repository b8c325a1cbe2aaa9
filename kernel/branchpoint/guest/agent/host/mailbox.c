/* Two rings in memory that the kernel was told to leave alone; the host sees it too.
 *
 * The agent never waits for the host: how promptly the host reads must not be visible in here.
 * So it writes at most WINDOW bytes of program output per tick and relies on the host to empty
 * the outbox at least every 100 ms of virtual time.
 */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOW (512 << 10)
#define INBOX_AT 0x1000
#define INBOX_SIZE 0xFF000
#define OUTBOX_AT 0x100000
#define OUTBOX_SIZE (7 << 20)
#define MAILBOX_SIZE (OUTBOX_AT + OUTBOX_SIZE)
#define ROUND8(n) (((n) + 7) & ~(size_t)7)

struct header {
    uint32_t length, kind;
    uint64_t tsc;
};

static struct {
    char magic[8];
    uint64_t in_head, in_tail, out_head;
} *heads;
static char *base;
static uint64_t consumed, written; /* our own ends; the copies in memory are for the host */
static size_t used;                /* bytes of output in this window */

/* Is the whole range memory that firmware gave to the operating system? The last part of memory
 * usually is not: the firmware's own tables are there, and writing over them would be silent. */
static bool is_plain_memory(uint64_t start, uint64_t end)
{
    for (int i = 0;; i++) {
        char path[80], text[64];
        uint64_t bounds[2] = {0};
        static const char *const names[] = {"start", "end"};
        for (int k = 0; k < 2; k++) {
            snprintf(path, sizeof path, "/sys/firmware/memmap/%d/%s", i, names[k]);
            if (read_file(path, text, sizeof text) < 0)
                return false;
            bounds[k] = strtoull(text, NULL, 16);
        }
        snprintf(path, sizeof path, "/sys/firmware/memmap/%d/type", i);
        if (read_file(path, text, sizeof text) < 0)
            return false;
        if (!strncmp(text, "System RAM", 10) && bounds[0] <= start && end - 1 <= bounds[1])
            return true;
    }
}

void mailbox_open(void)
{
    char line[4096];
    static const char name[] = "branchpoint.mailbox=";
    if (read_file("/proc/cmdline", line, sizeof line) < 0)
        fail("cannot read /proc/cmdline");
    char *found = strstr(line, name);
    if (!found)
        fail("the kernel command line has no %s", name);
    char *end;
    uint64_t address = strtoull(found + strlen(name), &end, 0);
    uint64_t size = *end == ',' ? strtoull(end + 1, NULL, 0) : 0;
    if (size != MAILBOX_SIZE)
        fail("the mailbox has %#llx bytes, not %#x", (unsigned long long)size, MAILBOX_SIZE);
    if (!is_plain_memory(address, address + size))
        fail("the mailbox at %#llx is not in the firmware's list of free memory",
             (unsigned long long)address);
    int fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        fail("cannot open /dev/mem: %s", strerror(errno));
    base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)address);
    if (base == MAP_FAILED)
        fail("cannot map the mailbox at %#llx (is it reserved by memmap=?): %s",
             (unsigned long long)address, strerror(errno));
    close(fd);
    madvise(base, size, MADV_DONTFORK); /* children have no business in it; forking is faster */
    heads = (void *)base;
    heads->in_head = heads->in_tail = heads->out_head = 0;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(heads->magic, "BPMAIL1", 8);
}

bool mailbox_is_open(void)
{
    return heads;
}

static void inbox_read(void *to, uint64_t at, size_t size)
{
    size_t start = at % INBOX_SIZE, part = INBOX_SIZE - start;
    if (part > size)
        part = size;
    memcpy(to, base + INBOX_AT + start, part);
    memcpy((char *)to + part, base + INBOX_AT, size - part);
}

char *mailbox_next(size_t *size)
{
    uint64_t head = __atomic_load_n(&heads->in_head, __ATOMIC_ACQUIRE);
    if (head == consumed)
        return NULL;
    struct header h = {0};
    uint64_t there = head - consumed;
    if (there >= sizeof h && there <= INBOX_SIZE)
        inbox_read(&h, consumed, sizeof h);
    if (h.kind != KIND_COMMAND || ROUND8(sizeof h + h.length) > there) {
        error("agent", "malformed frame in the inbox: kind %u, %u of %llu bytes", h.kind,
              h.length, (unsigned long long)there);
        heads->in_tail = consumed = head;
        return NULL;
    }
    char *payload = grab(h.length + 1); /* the NUL behind it ends any last string */
    inbox_read(payload, consumed + sizeof h, h.length);
    consumed += ROUND8(sizeof h + h.length);
    heads->in_tail = consumed;
    *size = h.length;
    return payload;
}

void mailbox_new_window(void)
{
    used = 0;
}

bool mailbox_has_room(size_t payload)
{
    return used + ROUND8(sizeof(struct header) + payload) <= WINDOW;
}

static void outbox_write(const void *from, size_t size)
{
    size_t start = written % OUTBOX_SIZE, part = OUTBOX_SIZE - start;
    if (part > size)
        part = size;
    memcpy(base + OUTBOX_AT + start, from, part);
    memcpy(base + OUTBOX_AT, (const char *)from + part, size - part);
    written += size;
}

ns_t mailbox_frame(enum kind kind, ...)
{
    struct header h = {.kind = kind, .tsc = now()};
    va_list args, again;
    const void *part;
    va_start(args, kind);
    va_copy(again, args);
    while (va_arg(args, const void *))
        h.length += (uint32_t)va_arg(args, size_t);
    va_end(args);
    outbox_write(&h, sizeof h);
    while ((part = va_arg(again, const void *)))
        outbox_write(part, va_arg(again, size_t));
    va_end(again);
    size_t whole = sizeof h + h.length;
    outbox_write("\0\0\0\0\0\0\0", ROUND8(whole) - whole);
    used += ROUND8(whole);
    __atomic_store_n(&heads->out_head, written, __ATOMIC_RELEASE);
    return h.tsc;
}
