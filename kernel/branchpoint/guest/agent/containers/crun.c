/* crun, the container runtime: run -d at the start of a container, delete at its end. */
#define _GNU_SOURCE
#include "../agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/run/branchpoint/crun"
#define CRUN "/usr/bin/crun"

static char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};

/* `crun run -d` ends when the container runs; only then is the container's process our child and
 * its number known, and by then it may have ended. So while any start is under way, the exits of
 * unknown children are kept. */
static int starting;
static struct exit {
    pid_t pid;
    int status;
    struct exit *next;
} *unclaimed;

struct start {
    struct container *c;
    struct proc runner;
    struct proc *life;
};

void crun_unclaimed(pid_t pid, int status)
{
    if (!starting)
        return;
    struct exit *e = grab(sizeof *e);
    *e = (struct exit){.pid = pid, .status = status, .next = unclaimed};
    unclaimed = e;
}

static char *file(const struct container *c, const char *suffix)
{
    return format(FOLDER "/%s.%s", c->name, suffix);
}

static void life_ended(struct proc *life)
{
    container_ended(life->arg, life->status);
}

static void life_silent(struct proc *life)
{
    container_silent(life->arg);
}

static void forget(struct proc *p)
{
    proc_free(p);
    free(p);
}

static void claim(struct container *c, struct proc *life, pid_t pid)
{
    container_started(c, pid);
    life->on_reaped = life_ended;
    life->on_done = life_silent;
    life->on_gone = forget;
    life->arg = c;
    proc_adopt(life, pid);
    proc_listen(life);
    for (struct exit *e = unclaimed; e; e = e->next)
        if (e->pid == pid) {
            proc_exited(life, e->status);
            return;
        }
}

static void run_ended(struct proc *runner)
{
    struct start *start = runner->arg;
    struct container *c = start->c;
    char text[4000] = "", *pid_file = file(c, "pid"), *log = file(c, "log");
    int code = exit_code(runner->status);
    if (!code && read_file(pid_file, text, sizeof text) > 0 && atoi(text) > 0) {
        claim(c, start->life, (pid_t)atoi(text));
    } else {
        if (read_file(log, text, sizeof text) <= 0)
            snprintf(text, sizeof text, "crun ended with code %d and no message", code);
        text[strcspn(text, "\n")] = 0;
        forget(start->life);
        container_not_started(c, text);
    }
    free(pid_file);
    free(log);
    proc_free(runner);
    free(start);
    starting--;
    while (!starting && unclaimed) {
        struct exit *e = unclaimed;
        unclaimed = e->next;
        free(e);
    }
}

void crun_start(struct container *c)
{
    mkdir("/run/branchpoint", 0755);
    mkdir(FOLDER, 0755);
    char *pid_file = file(c, "pid"), *log = file(c, "log"), *log_option = format("--log=%s", log);
    unlink(pid_file);
    unlink(log);

    struct start *start = grab(sizeof *start);
    struct proc *life = grab(sizeof *life), *runner = &start->runner;
    *start = (struct start){.c = c, .life = life};
    proc_init(life, c->source, MODE_LINES);
    proc_init(runner, "agent", MODE_KEEP);
    runner->on_gone = run_ended;
    runner->arg = start;
    starting++;

    char *argv[] = {CRUN,       log_option, "run",          "-d",    "--pid-file",
                    pid_file,   "--bundle", c->spec.bundle, c->name, NULL};
    struct launch how = {.argv = argv, .env = environment, .workdir = "/",
                         .slack = c->spec.timer_slack}; /* inherited by the container */
    int result = proc_pipes(life);
    if (!result) {
        runner->out_writer = life->out_writer; /* inherited by the container */
        runner->err_writer = life->err_writer;
        life->out_writer = life->err_writer = -1;
        result = proc_start(runner, &how);
    }
    free(pid_file);
    free(log);
    free(log_option);
    if (result)
        proc_exited(runner, 127 << 8); /* like a program that cannot be run */
}

static void delete_ended(struct proc *p)
{
    struct container *c = p->arg;
    if (exit_code(p->status))
        error(c->source, "crun delete: %.*s", (int)p->err.length, p->err.data);
    forget(p);
    container_clean(c);
}

void crun_delete(struct container *c)
{
    struct proc *p = grab(sizeof *p);
    proc_init(p, "agent", MODE_KEEP);
    p->on_gone = delete_ended;
    p->arg = c;
    char *argv[] = {CRUN, "delete", "--force", c->name, NULL};
    struct launch how = {.argv = argv, .env = environment, .workdir = "/"};
    int result = proc_start(p, &how);
    if (result) {
        proc_exited(p, 127 << 8);
        return;
    }
    proc_listen(p);
}
