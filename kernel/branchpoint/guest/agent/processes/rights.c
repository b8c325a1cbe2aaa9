/* What a command may do in a container: as much as the container's first process, as with docker.
 *
 * All of it is looked up in the guest, before the child is in the container, and taken over as the
 * last thing before it becomes another user.
 */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST_INSTRUCTIONS 4096 /* of a filter, as Linux takes it */
#define LONGEST_STATUS (1 << 20) /* bytes: it names all groups, and 65536 are possible */
#define OPEN_FILES 1024 /* Linux's default for every process */

static void read_status(struct rights *rights, pid_t pid)
{
    char path[64], *text = grab(LONGEST_STATUS);
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    ssize_t length = read_file(path, text, LONGEST_STATUS);
    const char *bounds = strstr(text, "\nCapBnd:"), *more = strstr(text, "\nNoNewPrivs:");
    if (length < 0 || !bounds || !more ||
        sscanf(bounds, "\nCapBnd: %llx", &rights->capabilities) != 1 ||
        sscanf(more, "\nNoNewPrivs: %u", &rights->no_more) != 1)
        give_up(125, "cannot learn the container's rights");
    free(text);
}

/* crun keeps the filter that it has made of the container's seccomp profile, if it has one. */
static void read_filter(struct rights *rights, const char *name)
{
    char *path = format(CRUN_STATE "/%s/seccomp.bpf", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    free(path);
    if (fd < 0 && errno == ENOENT)
        return;
    size_t size = 0;
    if (fd < 0 || fstat(fd, &facts))
        give_up(125, "cannot read the container's system call filter");
    size = (size_t)facts.st_size;
    if (!size) /* it has none */
        return;
    if (size > MOST_INSTRUCTIONS * sizeof *rights->filter.filter)
        errno = EFBIG;
    else if (read(fd, rights->filter.filter = grab(size), size) == (ssize_t)size)
        rights->filter.len = (unsigned short)(size / sizeof *rights->filter.filter);
    if (!rights->filter.len)
        give_up(125, "cannot read the container's system call filter");
    close(fd);
}

void rights_find(struct rights *rights, const struct container *c, bool alive)
{
    rights->of = c;
    rights->known = alive;
    if (!alive)
        return;
    read_status(rights, c->pid);
    read_filter(rights, c->name);
}

/* What is not in the bounding set is lost when the program is executed. */
static void keep_only(unsigned long long capabilities)
{
    for (unsigned long c = 0; c < 64; c++)
        if (!(capabilities >> c & 1) && prctl(PR_CAPBSET_READ, c) == 1 &&
            prctl(PR_CAPBSET_DROP, c))
            give_up(125, "cannot give up the guest's rights");
}

static void take_limits(const struct container *c)
{
    struct rlimit files; /* the agent's own is raised, and until here all that it has was open */
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = OPEN_FILES;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (size_t i = 0; c && i < c->spec.limit_count; i++) {
        const struct limit *limit = &c->spec.limits[i];
        struct rlimit value = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
        if (setrlimit((__rlimit_resource_t)limit->resource, &value))
            give_up(125, "cannot take over the container's limits");
    }
}

void rights_take(const struct rights *rights)
{
    take_limits(rights->of);
    if (!rights->known)
        return;
    keep_only(rights->capabilities);
    if (rights->no_more && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        give_up(125, "cannot give up new rights");
    if (rights->filter.len &&
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                &rights->filter))
        give_up(125, "cannot take over the container's system call filter");
}
