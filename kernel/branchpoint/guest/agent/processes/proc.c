/* Child processes: started, listened to, reaped, and declared done after their last output. */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINGER (50 * MS) /* how long a dead process' pipes may be kept open by its children */
#define LINGER_LONGEST SECOND /* ... if more output comes from them all the time */

static struct proc *procs;

void proc_init(struct proc *p, const char *source, enum mode mode)
{
    *p = (struct proc){.source = copy(source), .out_writer = -1, .err_writer = -1};
    p->out = (struct stream){.fd = -1, .mode = mode, .source = p->source, .name = "out"};
    p->err = (struct stream){.fd = -1, .mode = mode, .source = p->source, .name = "err"};
    p->next = procs;
    procs = p;
}

int proc_pipes(struct proc *p)
{
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC))
        return -errno;
    if (pipe2(err, O_CLOEXEC)) {
        int result = -errno;
        close(out[0]);
        close(out[1]);
        return result;
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    p->out.fd = out[0];
    p->err.fd = err[0];
    p->out_writer = out[1];
    p->err_writer = err[1];
    return 0;
}

static void finish(struct proc *p)
{
    if (p->reaped && !p->done && !p->open_streams) {
        timer_clear(&p->linger);
        p->done = true;
        if (p->on_done)
            p->on_done(p);
    }
    if (!p->done || p->open_streams)
        return;
    if (p->holder)
        kill(p->holder, SIGKILL);
    if (p->on_gone)
        p->on_gone(p);
}

static void stream_ended(void *arg)
{
    struct proc *p = arg;
    p->open_streams--;
    finish(p);
}

/* Children that go on writing must not hide for ever that it has ended. */
static void lingered(void *arg)
{
    struct proc *p = arg;
    if (!streams_throttled()) {
        stream_flush(&p->out);
        stream_flush(&p->err);
    }
    bool pending = stream_pending(&p->out) || stream_pending(&p->err);
    if ((pending || streams_throttled()) && now() < p->ended_at + LINGER_LONGEST) {
        timer_set(&p->linger, now() + TICK, lingered, p);
        return;
    }
    p->done = true;
    if (p->on_done)
        p->on_done(p);
}

void proc_listen(struct proc *p)
{
    struct stream *const streams[] = {&p->out, &p->err};
    for (size_t i = 0; i < 2; i++) {
        if (streams[i]->fd < 0) /* a terminal is all in one */
            continue;
        p->open_streams++;
        streams[i]->ended = stream_ended;
        streams[i]->arg = p;
        stream_begin(streams[i], streams[i]->fd);
    }
}

void proc_adopt(struct proc *p, pid_t pid)
{
    p->pid = pid;
}

void proc_exited(struct proc *p, int status)
{
    p->pid = 0;
    p->status = status;
    p->reaped = true;
    p->ended_at = now();
    if (p->open_streams)
        timer_set(&p->linger, now() + LINGER, lingered, p);
    if (p->on_reaped)
        p->on_reaped(p);
    finish(p);
}

static void close_writers(struct proc *p)
{
    if (p->out_writer >= 0)
        close(p->out_writer);
    if (p->err_writer >= 0)
        close(p->err_writer);
    p->out_writer = p->err_writer = -1;
}

void proc_free(struct proc *p)
{
    struct proc **q = &procs;
    while (*q != p)
        q = &(*q)->next;
    *q = p->next;
    timer_clear(&p->linger);
    close_writers(p);
    stream_drop(&p->out);
    stream_drop(&p->err);
    free(p->source);
}

static pid_t clone_into(uint64_t flags, int cgroup)
{
    struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

/* The first process of a PID namespace. It only lives for the others to have one; the kernel
 * ends them all with it. */
static pid_t start_holder(void)
{
    pid_t pid = clone_into(CLONE_NEWPID, -1);
    if (pid)
        return pid;
    close_range(0, ~0U, 0);
    signal(SIGCHLD, SIG_IGN);
    for (;;)
        pause();
}

static void child(struct proc *p, const struct launch *how, int pidfd)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (how->terminal) {
        setsid();
        for (int fd = 0; fd < 3; fd++)
            dup2(p->out_writer, fd);
        ioctl(0, TIOCSCTTY, 0);
    } else {
        setpgid(0, 0);
        dup2(open("/dev/null", O_RDONLY), 0);
        dup2(p->out_writer, 1);
        dup2(p->err_writer, 2);
    }
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    enter_and_exec(how, pidfd);
}

/* The new child, in how->where's PID namespace. That of the agent itself never changes: setns
 * with CLONE_NEWPID is about children only, and there is a way back. */
static int start(struct proc *p, const struct launch *how, bool alive)
{
    static int own_pids = -1;
    struct container *c = how->where;
    int pidfd = -1, cgroup = -1, result = 0;

    if (own_pids < 0)
        own_pids = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (c && !alive) {
        pid_t holder = start_holder();
        if (holder < 0)
            result = -errno; /* and p->holder stays 0: whoever kills -1 kills everybody */
        else
            p->holder = holder;
    }
    if (c && !result) {
        pidfd = (int)syscall(SYS_pidfd_open, alive ? c->pid : p->holder, 0);
        if (pidfd < 0 || setns(pidfd, CLONE_NEWPID))
            result = -errno;
    }
    if (alive && !c->paused) /* a frozen group would freeze the newcomer too */
        cgroup = open(c->cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!result) {
        pid_t pid = clone_into(0, cgroup);
        if (!pid)
            child(p, how, alive ? pidfd : -1);
        if (pid < 0) {
            result = -errno;
        } else {
            if (!how->terminal) /* here too: a signal for the group may come before it has run */
                setpgid(pid, pid);
            p->pid = p->group = pid;
        }
    }
    if (c)
        setns(own_pids, CLONE_NEWPID);
    if (pidfd >= 0)
        close(pidfd);
    if (cgroup >= 0)
        close(cgroup);
    if (result && p->holder) {
        kill(p->holder, SIGKILL);
        p->holder = 0;
    }
    return result;
}

int proc_start(struct proc *p, const struct launch *how)
{
    bool alive = how->where && how->where->state == RUNNING;
    int result = 0;
    if (p->out_writer < 0)
        result = proc_pipes(p);
    if (!result)
        result = start(p, how, alive);
    /* Just dying, not reaped yet. A healthcheck is not for the dead. */
    if (alive && (how->script || how->terminal) && (result == -ESRCH || result == -ENOMEM))
        result = start(p, how, false);
    close_writers(p);
    return result;
}

void children_reap(void)
{
    pid_t pid;
    int status;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct proc *p = procs;
        while (p && p->pid != pid)
            p = p->next;
        if (p)
            proc_exited(p, status);
        else
            crun_unclaimed(pid, status);
    }
}

int exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int exit_signal(int status)
{
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
