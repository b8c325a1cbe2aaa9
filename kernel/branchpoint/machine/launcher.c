/*
 * Starts a program between walls: in namespaces of its own, as far as the kernel lets this user
 * make them, and as nobody when root starts it.
 *
 *     launcher PROGRAM ARGUMENT...
 *
 * writes "started PID" to its standard output and ends. The program, whose standard output is
 * what the launcher's standard input is, becomes a child of whoever started the launcher: that
 * process can kill it at once, and knows what became of it. Standard output is closed when the
 * program runs; "failed WHY" comes before that when it does not.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534
#define OTHERS (CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWUTS | \
                CLONE_NEWCGROUP)

/* ---- Linux 5.12, absent from older headers ---- */
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
struct attributes { uint64_t set, clear, propagation, user_namespace; };
#define READ_ONLY 1
#define NO_SET_ID 2
#define RECURSIVELY 0x8000

static __attribute__((format(printf, 2, 3))) bool put(const char *path, const char *format, ...)
{
    char text[64];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, length) == length;
    close(fd);
    return done;
}

/* A user namespace, with others perhaps, in which there is nobody but this user. */
static bool user_apart(int others)
{
    uid_t user = geteuid();
    gid_t group = getegid();
    return !unshare(CLONE_NEWUSER | others) && put("/proc/self/setgroups", "deny") &&
           put("/proc/self/uid_map", "%u %u 1", user, user) &&
           put("/proc/self/gid_map", "%u %u 1", group, group);
}

static bool become_nobody(void)
{
    return !setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY) &&
           !setresuid(NOBODY, NOBODY, NOBODY);
}

/* All files as they are, but none can be written, and no other processes. The first call keeps
 * the others inside; where they fail (another /proc, say, is not had in a container that hides
 * parts of its own) less is hidden, and the inner walls stand all the same. */
static void arrange_files(void)
{
    struct attributes closed = { .set = READ_ONLY | NO_SET_ID };
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return;
    syscall(SYS_mount_setattr, AT_FDCWD, "/", RECURSIVELY, &closed, sizeof closed);
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static int run(bool apart, bool is_root, char **program)
{
    int report = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (report < 0 || dup2(STDIN_FILENO, STDOUT_FILENO) < 0)
        return 1;
    setsid();
    if (apart)
        arrange_files();
    if (is_root && !become_nobody()) {
        dprintf(report, "failed root cannot become another user: %s\n", strerror(errno));
        return 1;
    }
    if (is_root)
        user_apart(0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    execv(program[0], program);
    dprintf(report, "failed %s: %s\n", program[0], strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    bool is_root = geteuid() == 0;
    bool apart = is_root && !unshare(OTHERS);
    if (!apart && is_root && become_nobody())
        is_root = false;           /* a root that may do little, as in a container */
    if (!apart && !is_root)
        apart = user_apart(OTHERS);
    long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(run(apart, is_root, argv + 1));
    if (pid > 0)
        dprintf(STDOUT_FILENO, "started %ld\n", pid);
    else
        dprintf(STDOUT_FILENO, "failed no process can be made: %s\n", strerror(errno));
    return pid < 0;
}
