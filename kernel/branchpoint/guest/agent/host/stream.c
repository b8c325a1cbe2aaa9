/* Pipes of child processes, and the kernel's log, cut into records for the outbox.
 *
 * All streams hang in one epoll set, which itself is one member of the main loop's set. When the
 * window of this tick is used up, that member is not looked at until the next tick: writers then
 * block on their full pipes. Streams that have a line left over then wait in line: the one that was
 * read last, and those that end meanwhile.
 */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CAPACITY (64 << 10) /* and the longest line in one record */
#define KEPT 2000           /* MODE_KEEP: that many first bytes */
#define KERNEL_ERROR 3      /* log levels up to this one go to "err" */

static int set = -1;
static struct stream *blocked, **blocked_end = &blocked;
static bool throttled;
static struct stream kernel = {.mode = MODE_KERNEL, .source = "kernel", .name = "out"};

int streams_fd(void)
{
    return set;
}

void streams_open(void)
{
    set = epoll_create1(EPOLL_CLOEXEC);
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (set < 0 || fd < 0)
        fail("cannot watch /dev/kmsg: %s", strerror(errno));
    lseek(fd, 0, SEEK_END); /* the boot is not of interest */
    stream_begin(&kernel, fd);
}

void stream_begin(struct stream *s, int fd)
{
    s->fd = fd;
    s->data = grab(CAPACITY);
    s->length = 0;
    struct epoll_event watch = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &watch))
        fail("epoll_ctl: %s", strerror(errno));
}

/* Closing alone is not enough: a child that has not come to exec yet holds the pipe open too, and
 * with it its place in the set. */
static void close_pipe(struct stream *s)
{
    epoll_ctl(set, EPOLL_CTL_DEL, s->fd, NULL);
    close(s->fd);
    s->fd = -1;
}

static void block(struct stream *s)
{
    if (s->blocked)
        return;
    s->blocked = true;
    s->next_blocked = NULL;
    *blocked_end = s;
    blocked_end = &s->next_blocked;
}

static void unblock(struct stream *s)
{
    struct stream **place = &blocked;
    if (!s->blocked)
        return;
    while (*place != s)
        place = &(*place)->next_blocked;
    *place = s->next_blocked;
    if (blocked_end == &s->next_blocked)
        blocked_end = place;
    s->blocked = false;
}

static bool record(struct stream *s, const char *bytes, size_t size)
{
    size_t source = strlen(s->source) + 1, name = strlen(s->name) + 1;
    if (!mailbox_has_room(source + name + size)) {
        throttled = true;
        block(s);
        return false;
    }
    mailbox_frame(s->mode == MODE_RAW ? KIND_RAW : KIND_LINE, (const void *)s->source, source,
                  (const void *)s->name, name, (const void *)bytes, size, NULL);
    return true;
}

/* Writes complete lines; with `all`, also what follows the last newline. */
static void write_lines(struct stream *s, bool all)
{
    size_t at = 0;
    while (at < s->length) {
        char *line = s->data + at, *newline = memchr(line, '\n', s->length - at);
        size_t size = newline ? (size_t)(newline - line) : s->length - at;
        if (!newline && !all && size < CAPACITY)
            break;
        if (!record(s, line, size))
            break;
        if (s->said)
            s->said(line, size);
        at += size + (newline ? 1 : 0);
    }
    s->length -= at;
    memmove(s->data, s->data + at, s->length);
}

/* A record of /dev/kmsg: "priority,sequence,microseconds,flags;text\n KEY=value\n..." */
static void write_kernel(struct stream *s)
{
    s->data[s->length] = 0;
    char *text = strchr(s->data, ';');
    if (text) {
        s->name = (atoi(s->data) & 7) <= KERNEL_ERROR ? "err" : "out";
        if (!record(s, text + 1, strcspn(text + 1, "\n")))
            return;
    }
    s->length = 0;
}

/* Writes what can be written now; ends the stream when that was all. */
static void advance(struct stream *s, bool all)
{
    if (s->mode == MODE_LINES) {
        write_lines(s, all || s->fd < 0);
    } else if (s->mode == MODE_RAW) {
        if (s->length && record(s, s->data, s->length))
            s->length = 0;
    } else if (s->mode == MODE_KERNEL) {
        if (s->length)
            write_kernel(s);
    }
    if (s->fd < 0 && s->data && (!s->length || s->mode == MODE_KEEP)) {
        if (s->mode != MODE_KEEP) {
            free(s->data);
            s->data = NULL;
        }
        if (s->ended)
            s->ended(s->arg);
    }
}

static void read_more(struct stream *s)
{
    static char nowhere[CAPACITY];
    bool discard = s->mode == MODE_KEEP && s->length >= KEPT;
    size_t room = (s->mode == MODE_KEEP ? KEPT : CAPACITY) - s->length;
    ssize_t n;
    if (discard)
        n = read(s->fd, nowhere, sizeof nowhere);
    else if (s->mode == MODE_KERNEL)
        n = read(s->fd, s->data, CAPACITY - 1);
    else
        n = read(s->fd, s->data + s->length, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == EPIPE))
        return; /* EPIPE: the kernel's log overran us; the next read goes on behind the gap */
    if (n > 0 && !discard)
        s->length += (size_t)n;
    if (n <= 0)
        close_pipe(s);
    advance(s, false);
}

void streams_ready(void)
{
    struct epoll_event ready;
    /* One at a time: handling it may end other streams. The kernel takes turns for us. */
    if (!throttled && epoll_wait(set, &ready, 1, 0) == 1)
        read_more(ready.data.ptr);
}

bool streams_throttled(void)
{
    return throttled;
}

void streams_new_window(void)
{
    throttled = false;
    while (blocked && !throttled) {
        struct stream *s = blocked;
        unblock(s);
        advance(s, false);
    }
}

void stream_flush(struct stream *s)
{
    if (s->fd >= 0)
        advance(s, true);
}

void stream_end(struct stream *s)
{
    if (s->fd < 0)
        return;
    close_pipe(s);
    advance(s, true);
}

bool stream_pending(const struct stream *s)
{
    int waiting = 0;
    if (s->fd >= 0)
        ioctl(s->fd, FIONREAD, &waiting);
    return waiting > 0 || s->blocked;
}

void stream_drop(struct stream *s)
{
    unblock(s);
    if (s->fd >= 0)
        close_pipe(s);
    s->ended = NULL;
    free(s->data);
    s->data = NULL;
    s->length = 0;
}
