/*
 * Runs in QEMU's place inside the sandbox and tries one thing that QEMU must not be able to do.
 *
 *     escape in|out WHAT [NUMBER|PATH]
 *
 * "in": first sets up the inner walls, with the same source file as QEMU's plugin; "out": does not.
 * The try is made by a thread that existed before the walls. Exit status 0: it worked; the number
 * of an error: it was refused.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "timekeeper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGEST_FILE (1 << 20)
#define HUGE (100ull << 30)
#define WRITABLE (PROT_READ | PROT_WRITE)
#define MUCH (2ull << 30)           /* and less than the host has */

static char **words;
static pthread_barrier_t both;         /* threads are here */
static char *given;
static long number;

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static bool mapped(uint64_t size, int may, int flags)
{
    return mmap(NULL, size, may, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static void *nothing(void *argument)
{
    return argument;
}

/* ---- what is tried; whether it worked ---- */
static bool create(void) { return open(given, O_CREAT | O_EXCL | O_WRONLY, 0600) >= 0; }
static bool look(void) { return open(given, O_RDONLY) >= 0; }
static bool file(void) { return memfd_create("more", 0) >= 0; }
static bool grow(void) { return pwrite(number, "x", 1, LARGEST_FILE) == 1; }
static bool unix_socket(void) { return socket(AF_UNIX, SOCK_STREAM, 0) >= 0; }
static bool kill_it(void) { return !kill(number, SIGKILL); }
static bool seize(void) { return !ptrace(PTRACE_SEIZE, number, NULL, NULL); }
static bool memory(void) { return mapped(HUGE, WRITABLE, MAP_PRIVATE); }
static bool less_memory(void) { return mapped(MUCH, WRITABLE, MAP_PRIVATE); }
static bool shared_memory(void) { return mapped(MUCH, WRITABLE, MAP_SHARED); }
static bool stack(void) { return mapped(MUCH, WRITABLE, MAP_PRIVATE | MAP_GROWSDOWN); }
static bool space(void) { return mapped(64 * 1024ull << 30, PROT_NONE, MAP_PRIVATE); }
static bool limits(void) { return syscall(SYS_prlimit64, 0, 4, NULL, NULL) == 0; }
static bool ring(void) { char zero[256] = ""; return syscall(SYS_io_uring_setup, 1, zero) >= 0; }

static bool connect_to(void)
{
    struct sockaddr_in there = loopback(number);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd >= 0 && !connect(fd, (void *)&there, sizeof there);
}

static bool bind_to(void)
{
    struct sockaddr_in here = loopback(0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd >= 0 && !bind(fd, (void *)&here, sizeof here);
}

static bool send_elsewhere(void)       /* through a socket that it was given */
{
    struct sockaddr_in there = loopback(9);
    return sendto(number, "x", 1, 0, (void *)&there, sizeof there) == 1;
}

static bool send_back(void)            /* as QEMU does, and may */
{
    return send(number, "x", 1, MSG_NOSIGNAL) == 1;
}

static bool make_process(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

static bool make_thread(void)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, nothing, NULL);
    return !errno;
}

static bool run_program(void)
{
    execl("/proc/self/exe", "escape", "out", "file", NULL);
    return false;
}

static bool grow_stack(void)           /* of the main thread: not counted as data */
{
    char *page = (char *)((uintptr_t)words & -4096ul);
    return mremap(page, 4096, MUCH, MREMAP_MAYMOVE) != MAP_FAILED;
}

static bool write_for_ever(void)
{
    static char much[4096];
    memset(much, 'x', sizeof much);
    for (long written = 0; written < 64l << 20; written += sizeof much)
        if (write(STDERR_FILENO, much, sizeof much) < 0)
            return false;
    return true;
}

static bool be_a_victim(void)
{
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    if (write(number, "x", 1) == 1)
        pause();
    return true;
}

/* A thread that was made before the walls may first run after them. To make sure that this one
 * does, its first calls in the C library wait until another process allows them, after the walls
 * were set up. */
static pthread_t held;
static int go[2];

static void allow_when_told(int listener)
{
    char told;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (read(go[0], &told, 1) != 1)
        _exit(1);
    for (;;) {
        struct seccomp_notif call = { 0 };
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
            _exit(1);
        struct seccomp_notif_resp answer = { .id = call.id,
                                             .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

static bool hold_a_thread(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_set_robust_list, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rseq, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog all = { sizeof code / sizeof *code, code };
    if (pipe(go) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return false;
    int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                           SECCOMP_FILTER_FLAG_NEW_LISTENER, &all);
    if (listener < 0)
        return false;
    if (!syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))  /* fork() would make a held call itself */
        allow_when_told(listener);
    struct pollfd arrived = { .fd = listener, .events = POLLIN };
    if (pthread_create(&held, NULL, nothing, NULL) || poll(&arrived, 1, 60000) != 1)
        _exit(252);                    /* no call to hold: the race is not built */
    return true;
}

static bool start_late(void)
{
    return write(go[1], "x", 1) == 1 && !pthread_join(held, NULL);
}

static bool be_root(void) { return !geteuid() || !getegid() || getgroups(0, NULL); }

static const struct { const char *name; bool (*try)(void); } attempts[] = {
    { "create", create }, { "read", look }, { "file", file }, { "grow", grow },
    { "connect", connect_to }, { "bind", bind_to }, { "unix", unix_socket },
    { "send elsewhere", send_elsewhere }, { "send back", send_back },
    { "fork", make_process }, { "thread", make_thread }, { "exec", run_program },
    { "kill", kill_it }, { "ptrace", seize }, { "memory", memory },
    { "less memory", less_memory }, { "shared memory", shared_memory }, { "stack", stack },
    { "grow stack", grow_stack }, { "address space", space },
    { "limits", limits }, { "ring", ring }, { "output", write_for_ever },
    { "victim", be_a_victim }, { "root", be_root }, { "late thread", start_late },
};

static void *attempt(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);       /* the walls stand */
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        if (!strcmp(attempts[i].name, words[2]))
            _exit(attempts[i].try() ? 0 : errno ? errno : 255);
    _exit(255);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    words = argv;
    given = argc > 3 ? argv[3] : "";
    number = atol(given);
    pthread_barrier_init(&both, NULL, 2);
    if (argc < 3 || pthread_create(&thread, NULL, attempt, NULL))
        return 255;
    pthread_barrier_wait(&both);
    if (!strcmp(argv[2], "late thread") && !hold_a_thread())
        return 253;
    if (!strcmp(argv[1], "in") && confine(LARGEST_FILE))
        return 254;
    pthread_barrier_wait(&both);
    pthread_join(thread, NULL);
}
