/* Out of memory: tells of processes that the kernel killed for want of it, as it happens.
 *
 * A container may live on without the one that was killed, and then nothing else tells of it. The
 * kernel counts, by control group, and makes the file with the count readable whenever it changes.
 */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int set = -1;

void memory_open(void)
{
    set = epoll_create1(EPOLL_CLOEXEC);
    if (set < 0)
        fail("epoll_create1: %s", strerror(errno));
}

int memory_fd(void)
{
    return set;
}

/* Reading it also says that all changes so far were seen. */
static long kills(const struct container *c)
{
    static const char key[] = "\noom_kill ";
    char text[1000];
    ssize_t n = pread(c->memory.fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    const char *found = strstr(text, key);
    return found ? atol(found + strlen(key)) : 0;
}

static void tell(struct container *c)
{
    long all = kills(c), more = all - c->memory.kills;
    if (more <= 0)
        return;
    c->memory.kills = all;
    event("container.oom", "name", c->name, "killed", number(more), NULL);
}

void memory_ready(void)
{
    struct epoll_event ready;
    if (epoll_wait(set, &ready, 1, 0) == 1)
        tell(ready.data.ptr);
}

void memory_begin(struct container *c)
{
    char *path = format("%s/memory.events", c->cgroup);
    struct epoll_event watch = {.events = EPOLLPRI, .data.ptr = c};
    c->memory.kills = 0;
    c->memory.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (c->memory.fd < 0 || epoll_ctl(set, EPOLL_CTL_ADD, c->memory.fd, &watch))
        error(c->source, "whether it runs out of memory is not noticed: %s", strerror(errno));
    else
        tell(c);
    free(path);
}

void memory_end(struct container *c)
{
    if (c->memory.fd < 0)
        return;
    tell(c);
    /* Closing alone is not enough, as with pipes: see stream.c. */
    epoll_ctl(set, EPOLL_CTL_DEL, c->memory.fd, NULL);
    close(c->memory.fd);
    c->memory.fd = -1;
}
