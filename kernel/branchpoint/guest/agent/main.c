/* Process 1 of the machine: boots, then waits for children, their output, and the host. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static void become_punctual(void)
{
    struct sched_param first = {.sched_priority = 50};
    if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first))
        fail("cannot get real-time priority: %s", strerror(errno));
    if (mlockall(MCL_CURRENT | MCL_FUTURE))
        fail("cannot lock memory: %s", strerror(errno));
}

/* Each container takes some ten descriptors of the agent's. */
static void open_many(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        fail("cannot read the limit of open files: %s", strerror(errno));
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files))
        fail("cannot raise the limit of open files: %s", strerror(errno));
}

static void watch(int set, int fd, int operation, uint32_t events)
{
    struct epoll_event watch = {.events = events, .data.fd = fd};
    if (epoll_ctl(set, operation, fd, &watch))
        fail("epoll_ctl: %s", strerror(errno));
}

static void run_timers(void)
{
    children_reap(); /* so that they see who is dead */
    timers_run();
}

static void tick(void)
{
    size_t size;
    char *payload;
    mailbox_new_window();
    streams_new_window();
    sdk_new_window();
    if (timers_due() <= now())
        run_timers();
    while ((payload = mailbox_next(&size))) {
        children_reap(); /* here, too */
        command_run(payload, size);
        free(payload);
    }
}

static void loop(void)
{
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    int signals = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
    int set = epoll_create1(EPOLL_CLOEXEC);
    if (signals < 0 || set < 0)
        fail("cannot make the event loop: %s", strerror(errno));
    watch(set, signals, EPOLL_CTL_ADD, EPOLLIN);
    watch(set, streams_fd(), EPOLL_CTL_ADD, EPOLLIN);
    watch(set, memory_fd(), EPOLL_CTL_ADD, EPOLLIN);
    watch(set, sdk_fd(), EPOLL_CTL_ADD, EPOLLIN);
    watch(set, names_fd(), EPOLL_CTL_ADD, EPOLLIN);
    bool listening = true;
    ns_t next = (now() / TICK + 1) * TICK;

    event("agent.ready", NULL);
    for (;;) {
        ns_t instant = now();
        if (instant >= noise_due()) {
            noise_make();
            continue;
        }
        if (instant >= next) {
            tick();
            next = (now() / TICK + 1) * TICK;
            continue;
        }
        if (instant >= timers_due()) {
            run_timers();
            continue;
        }
        if (listening == streams_throttled()) {
            listening = !listening;
            watch(set, streams_fd(), EPOLL_CTL_MOD, listening ? EPOLLIN : 0);
        }
        ns_t wake = timers_due() < next ? timers_due() : next;
        if (noise_due() < wake)
            wake = noise_due();
        struct timespec wait = {.tv_nsec = (long)(wake - instant)};
        struct epoll_event ready;
        if (epoll_pwait2(set, &ready, 1, &wait, NULL) < 1)
            continue;
        if (ready.data.fd == signals) {
            struct signalfd_siginfo info;
            while (read(signals, &info, sizeof info) > 0)
                ;
            children_reap();
        } else if (ready.data.fd == memory_fd()) {
            memory_ready();
        } else if (ready.data.fd == sdk_fd()) {
            sdk_ready();
        } else if (ready.data.fd == names_fd()) {
            names_ready();
        } else {
            streams_ready();
        }
    }
}

int main(void)
{
    boot_early();
    seed_first();
    say("booting");
    boot_modules();
    boot_root();
    mailbox_open();
    streams_open();
    memory_open();
    sdk_watch();
    names_watch();
    become_punctual();
    open_many();
    say("ready");
    boot_lock_down();
    loop();
}
