/* Files that the host writes, and how the agent gets at those of a container. */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A directory from which its files are seen, its mounts included. */
static int open_root(const struct container *c)
{
    if (!c)
        return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (c->state != RUNNING)
        return open(c->spec.rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *path = format("/proc/%d/root", c->pid);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(path);
    return fd;
}

int file_open(const struct container *c, const char *path, int flags, mode_t mode)
{
    struct open_how how = {.flags = (uint64_t)flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                           .mode = mode,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int root = open_root(c);
    if (root < 0)
        return -errno;
    int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how), result = fd < 0 ? -errno : fd;
    close(root);
    return result;
}

static int put_into(int fd, mode_t mode, off_t offset, const char *bytes, size_t size)
{
    struct stat about;
    if (fstat(fd, &about))
        return errno;
    if (!S_ISREG(about.st_mode))
        return EINVAL;
    if (fchmod(fd, mode) || (!offset && ftruncate(fd, 0)))
        return errno;
    while (size) {
        ssize_t n = pwrite(fd, bytes, size, offset);
        if (n < 0)
            return errno;
        bytes += n;
        size -= (size_t)n;
        offset += n;
    }
    return 0;
}

void file_put(char *at, const char *end)
{
    const char *target = next_string(&at, end), *path = next_string(&at, end);
    const char *mode = next_string(&at, end), *offset = next_string(&at, end);
    if (!offset) {
        error("agent", "put: too few fields");
        return;
    }
    size_t size = at < end ? (size_t)(end - at) : 0;
    mode_t bits = (mode_t)strtoul(mode, NULL, 8);
    struct container *c = *target ? container_find(target) : NULL;
    bool missing = *target && !c;
    int fd = missing ? -ENOENT : file_open(c, path, O_WRONLY | O_CREAT, bits), result = -fd;
    if (fd >= 0) {
        result = put_into(fd, bits, (off_t)strtoull(offset, NULL, 10), at, size);
        close(fd);
    }
    if (result) {
        char *about = format("file/%s:%s", target, path);
        error(about, "cannot be written: %s",
              missing ? "there is no such container" : strerror(result));
        free(about);
    } else {
        event("file.written", "target", target, "path", path, "offset", offset, "size",
              number((long long)size), NULL);
    }
}
