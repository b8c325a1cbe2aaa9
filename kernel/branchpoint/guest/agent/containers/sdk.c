/* What programs in containers tell the tester.
 *
 * Each container has a folder, which setup.sh has made. Programs append lines of JSON to a regular
 * file in it, make it, empty it, or put another one in its place; whatever is new in it goes into a
 * pipe as soon as the kernel says so, and from there into records like all output. When the pipe is
 * full, the rest waits for the next window. What was taken is given back, so that the file takes no
 * memory however long it grows.
 *
 * The second file has requests for time without faults: seconds, one request a line.
 */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/run/branchpoint/sdk"
#define TOLD "sdk.jsonl"
#define HOLD "hold"
#define LONGEST_HOLD (24ULL * 3600 * SECOND)
#define GIVE_BACK (256 << 10)

struct teller {
    const struct container *of;
    int watch, folder, file, pipe;
    off_t at, given_back;
    bool more;  /* the pipe was full */
    off_t held; /* up to there, requests were taken */
    struct stream stream;
    struct teller *next;
};

static bool awaited;
static int watches = -1;
static struct teller *tellers;

/* ---- the word that set-up is complete */

/* The text behind a JSON object's key, if the line has that key anywhere. */
static const char *value_of(const char *line, const char *key)
{
    const char *found = strstr(line, key);
    if (!found)
        return NULL;
    found += strlen(key);
    found += strspn(found, " \t");
    return *found == ':' ? found + 1 + strspn(found + 1, " \t") : NULL;
}

static void said(const char *line, size_t size)
{
    if (!awaited)
        return;
    char *text = format("%.*s", (int)size, line);
    const char *setup = value_of(text, "\"antithesis_setup\"");
    const char *status = setup ? value_of(setup, "\"status\"") : NULL;
    if (status && !strncmp(status, "\"complete\"", strlen("\"complete\""))) {
        awaited = false;
        system_changed();
    }
    free(text);
}

/* ---- what is told */

/* A file of the folder, if it is a regular one; a link could lead anywhere. */
static int open_regular(const struct teller *t, const char *name, struct stat *facts)
{
    int fd = openat(t->folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, facts) || !S_ISREG(facts->st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

/* False: the pipe is full. */
static bool pump(struct teller *t)
{
    static char bytes[PIPE_BUF];
    struct stat facts;
    if (t->file < 0 || fstat(t->file, &facts))
        return true;
    if (facts.st_size < t->at) /* it was emptied */
        t->at = t->given_back = 0;
    for (;;) {
        ssize_t n = pread(t->file, bytes, sizeof bytes, t->at);
        if (n <= 0)
            break;
        if (write(t->pipe, bytes, (size_t)n) != n) /* so few bytes go whole, or not at all */
            return false;
        t->at += n;
    }
    if (t->at - t->given_back >= GIVE_BACK) {
        fallocate(t->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, t->given_back,
                  t->at - t->given_back);
        t->given_back = t->at;
    }
    return true;
}

/* Takes what is new; when another file has come in its place, also from that. */
static void take(struct teller *t)
{
    struct stat named, open;
    t->more = !pump(t);
    if (t->more)
        return;
    int fd = open_regular(t, TOLD, &named);
    if (fd < 0)
        return;
    if (t->file >= 0 && !fstat(t->file, &open) && open.st_ino == named.st_ino) {
        close(fd);
        return;
    }
    if (t->file >= 0)
        close(t->file);
    t->file = fd;
    t->at = t->given_back = 0;
    t->more = !pump(t);
}

static void take_lines(const struct teller *t, char *at)
{
    char *end;
    for (; (end = strchr(at, '\n')); at = end + 1) {
        uint64_t seconds;
        char *rest = at;
        *end = 0;
        if (!whole(&rest, &seconds) || seconds > LONGEST_HOLD / SECOND)
            error(t->of->source, "%s: \"%.40s\" is not a number of seconds", HOLD, at);
        else if (seconds)
            inject_hold(t->of, seconds * SECOND);
    }
}

/* All whole lines; the rest of the last one may come later. */
static void take_requests(struct teller *t)
{
    struct stat facts;
    char text[4096];
    ssize_t n, most = sizeof text - 1;
    int fd = open_regular(t, HOLD, &facts);
    if (fd < 0)
        return;
    if (facts.st_size < t->held) /* it was emptied */
        t->held = 0;
    while ((n = pread(fd, text, (size_t)most, t->held)) > 0) {
        const char *last = memrchr(text, '\n', (size_t)n);
        if (!last && n < most)
            break;
        if (last)
            n = last - text + 1;
        text[n - 1] = '\n'; /* also of a line that is longer than any request */
        text[n] = 0;
        take_lines(t, text);
        t->held += n;
    }
    if (t->held && t->held == facts.st_size) {
        if (ftruncate(fd, 0))
            error(t->of->source, "%s: %s", HOLD, strerror(errno));
        t->held = 0;
    }
    close(fd);
}

static struct teller *find(int watch)
{
    struct teller *t = tellers;
    while (t && t->watch != watch)
        t = t->next;
    return t;
}

void sdk_ready(void)
{
    char bytes[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n = read(watches, bytes, sizeof bytes);
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const void *)(bytes + at);
        struct teller *t = find(e->wd);
        at += (ssize_t)(sizeof *e + e->len);
        if (e->mask & IN_Q_OVERFLOW)
            for (t = tellers; t; t = t->next) {
                take(t);
                take_requests(t);
            }
        else if (t && e->len && !strcmp(e->name, TOLD))
            take(t);
        else if (t && e->len && !strcmp(e->name, HOLD))
            take_requests(t);
    }
}

void sdk_new_window(void)
{
    for (struct teller *t = tellers; t; t = t->next)
        if (t->more)
            take(t);
}

/* ---- begin */

void sdk_watch(void)
{
    watches = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watches < 0)
        fail("inotify: %s", strerror(errno));
}

int sdk_fd(void)
{
    return watches;
}

void sdk_open(const struct container *c)
{
    char *path = format(FOLDER "/%s", c->name);
    struct teller *t = grab(sizeof *t);
    int ends[2];
    t->of = c;
    t->file = -1;
    t->folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    t->watch = inotify_add_watch(watches, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    if (t->folder < 0 || t->watch < 0 || pipe2(ends, O_NONBLOCK | O_CLOEXEC))
        fail("cannot watch %s: %s", path, strerror(errno));
    free(path);
    t->pipe = ends[1];
    t->stream = (struct stream){.mode = MODE_LINES, .source = c->source, .name = "sdk",
                                .said = said};
    stream_begin(&t->stream, ends[0]);
    t->next = tellers;
    tellers = t;
    take(t);
}

void sdk_await(void)
{
    awaited = true;
}

bool sdk_is_awaited(void)
{
    return awaited;
}
