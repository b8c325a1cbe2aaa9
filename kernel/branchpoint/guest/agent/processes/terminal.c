/* Pseudo-terminals. The agent is the terminal, a shell sits at it, and the host types and reads. */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LARGEST 1000 /* rows or columns */

/* The side for the shell, when that is a terminal that was just opened; else -1. */
static int other_side(int fd)
{
    int locked = 0;
    if (fd < 0 || ioctl(fd, TIOCSPTLCK, &locked))
        return -1;
    return ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* One of the container's own has a name there, which some programs look up. A dead container sees
 * the guest's. */
int terminal_open(struct proc *p, const struct container *c)
{
    static const char *const path = "/dev/pts/ptmx";
    int fd = file_open(c, path, O_RDWR, 0), shell = other_side(fd);
    if (c && shell < 0) {
        if (fd >= 0)
            close(fd);
        fd = file_open(NULL, path, O_RDWR, 0);
        shell = other_side(fd);
    }
    if (shell < 0) {
        int result = fd < 0 ? fd : -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    p->out.fd = fd;
    p->out.name = "tty";
    p->out_writer = shell;
    return 0;
}

int terminal_resize(struct proc *p, uint64_t rows, uint64_t columns)
{
    if (!rows || rows > LARGEST || !columns || columns > LARGEST)
        return -EINVAL;
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    return ioctl(p->out.fd, TIOCSWINSZ, &size) ? -errno : 0;
}
