/* The supervisor: starts containers in the order of their dependencies, restarts them by their
 * policy with docker's delays, and does what the host asks of them. */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYSTEM "/system"
#define SETUP SYSTEM "/branchpoint/setup.sh"
#define CONFIGURATION SYSTEM "/branchpoint/system.conf"
#define BACKOFF_FIRST (100 * MS)
#define BACKOFF_LAST (60 * SECOND)
#define BACKOFF_FORGET (10 * SECOND) /* a run as long as this starts the delays anew */

static bool begun, complete;

/* ---- the whole system */

static void setup_gone(struct proc *p)
{
    int code = exit_code(p->status);
    proc_free(p);
    free(p);
    if (code) {
        error("setup", "%s ended with code %d", SETUP, code);
        return;
    }
    char *wrong = spec_read(CONFIGURATION);
    if (wrong) {
        error("setup", "%s", wrong);
        free(wrong);
        return;
    }
    for (struct container *c = containers; c; c = c->next)
        sdk_open(c);
    names_open();
    system_changed();
}

void system_start(void)
{
    if (begun) {
        error("setup", "start: the system is started already");
        return;
    }
    begun = true;
    int result = nvdimm_mount(1, SYSTEM);
    if (result) {
        error("setup", "cannot mount the system image: %s", strerror(-result));
        return;
    }
    struct proc *p = grab(sizeof *p);
    proc_init(p, "agent", MODE_LINES);
    p->on_gone = setup_gone;
    char *argv[] = {"/bin/sh", SETUP, NULL};
    char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    result = proc_start(p, &(struct launch){.argv = argv, .env = env, .workdir = "/"});
    if (result) {
        proc_exited(p, 127 << 8);
        return;
    }
    proc_listen(p);
}

static bool is_over(const struct container *c)
{
    return c->state == ENDED && c->said && !c->cleaning && !c->restart_now && !c->timer.armed;
}

static bool is_met(const struct depend *d)
{
    const struct container *on = d->on;
    if (d->need == NEED_HEALTHY)
        return on->health.state == HEALTH_HEALTHY;
    if (d->need == NEED_COMPLETED)
        return is_over(on) && on->ever_started && !on->code;
    return on->ever_ready;
}

static bool is_awaited(const struct container *c)
{
    for (const struct container *w = containers; w; w = w->next)
        for (size_t i = 0; w->state == WAITING && i < w->spec.depend_count; i++)
            if (w->spec.depends[i].on == c && !is_met(&w->spec.depends[i]))
                return true;
    return false;
}

/* As with docker, one that stays unhealthy is in nobody's way unless somebody waits for it. */
static bool is_set_up(const struct container *c)
{
    return c->ever_ready &&
           (!c->spec.health.count || c->ever_healthy || (is_over(c) && !c->code) ||
            (c->ever_unhealthy && !is_awaited(c)));
}

void system_changed(void)
{
    bool all = true;
    for (struct container *c = containers; c; c = c->next) {
        bool may = c->state == WAITING;
        for (size_t i = 0; i < c->spec.depend_count; i++)
            may = may && is_met(&c->spec.depends[i]);
        if (may) {
            c->state = STARTING;
            crun_start(c);
        }
        all = all && is_set_up(c);
    }
    if (all && !complete && !sdk_is_awaited()) {
        complete = true;
        ns_t origin = event("setup.complete", NULL);
        inject_begin(origin);
        composer_begin(origin);
    }
}

void setup_error(struct container *c, const char *what)
{
    for (struct container *w = containers; w; w = w->next)
        for (size_t i = 0; i < w->spec.depend_count; i++)
            if (w->state == WAITING && w->spec.depends[i].on == c && !is_met(&w->spec.depends[i]))
                error("setup", "container %s waits for %s, which %s", w->name, c->name, what);
}

/* ---- the life of one container */

void container_started(struct container *c, pid_t pid)
{
    c->state = RUNNING;
    c->pid = pid;
    c->started_at = now();
    c->said = c->asked = false;
    c->ever_started = true;
    event("container.start", "name", c->name, "pid", number(pid), NULL);
    memory_begin(c);
    health_begin(c);
    if (!c->wanted) { /* stopped while it was being started */
        c->wanted = true;
        free(container_command("stop", c->name, NULL));
    }
    hooks_begin(c);
}

void container_not_started(struct container *c, const char *why)
{
    c->state = ENDED;
    c->code = 127;
    c->signal = 0;
    c->said = true;
    c->wanted = c->restart_now = false; /* as docker: what cannot start is not tried again */
    error(complete ? c->source : "setup", "container %s cannot be started: %s", c->name, why);
    c->cleaning = true;
    crun_delete(c);
}

void container_ended(struct container *c, int status)
{
    memory_end(c);
    c->state = ENDED;
    c->pid = 0;
    c->code = exit_code(status);
    c->signal = exit_signal(status);
    c->ended_at = now();
    c->paused = false;
    timer_clear(&c->timer);
    health_end(c);
    c->cleaning = true;
    crun_delete(c);
}

static void restart_due(void *arg)
{
    struct container *c = arg;
    c->attempts++;
    event("container.restart", "name", c->name, "attempt", number(c->attempts), NULL);
    c->state = STARTING;
    crun_start(c);
}

static bool policy_restarts(const struct container *c)
{
    const struct spec *s = &c->spec;
    if (!c->wanted || s->restart == RESTART_NO)
        return false;
    if (s->restart == RESTART_ON_FAILURE)
        return c->code && (!s->restart_max || c->attempts < s->restart_max);
    return true;
}

/* What comes after the end, once the output is written and the remains are removed. */
static void settle(struct container *c)
{
    if (!c->said || c->cleaning)
        return;
    if (c->becoming) {
        c->cleaning = true;
        version_change(c);
    } else if (c->restart_now) {
        c->restart_now = false;
        c->state = STARTING;
        crun_start(c);
    } else if (policy_restarts(c)) {
        if (c->ended_at - c->started_at >= BACKOFF_FORGET)
            c->backoff = 0;
        c->backoff = c->backoff ? c->backoff * 2 : BACKOFF_FIRST;
        if (c->backoff > BACKOFF_LAST)
            c->backoff = BACKOFF_LAST;
        timer_set(&c->timer, c->ended_at + c->backoff, restart_due, c);
    } else {
        char *what = format("ended with code %d", c->code);
        system_changed();
        setup_error(c, what);
        if (!complete && c->ever_started && !is_set_up(c))
            error("setup", "container %s %s before it was healthy", c->name, what);
        free(what);
    }
}

void container_silent(struct container *c)
{
    c->said = true;
    event("container.exit", "name", c->name, "code", number(c->code), "signal", number(c->signal),
          "oom", number(c->memory.kills > 0), "asked", number(c->asked), NULL);
    settle(c);
}

void container_clean(struct container *c)
{
    c->cleaning = false;
    settle(c);
}

/* ---- what the host asks for */

static void grace_over(void *arg)
{
    struct container *c = arg;
    kill(c->pid, SIGKILL);
}

static char *set_paused(struct container *c, bool paused)
{
    char *path = format("%s/cgroup.freeze", c->cgroup);
    int result = write_file(path, paused ? "1" : "0");
    free(path);
    if (result)
        return format("cannot be %s: %s", paused ? "paused" : "unpaused", strerror(-result));
    c->paused = paused;
    if (paused)
        health_suspend(c);
    else
        health_resume(c);
    event(paused ? "container.pause" : "container.unpause", "name", c->name, NULL);
    return NULL;
}

static void stop(struct container *c)
{
    c->asked = true;
    kill(c->pid, c->spec.stop_signal);
    if (c->paused) /* else the signal would wait, and it could not end by itself */
        free(set_paused(c, false));
    if (!c->timer.armed)
        timer_set(&c->timer, now() + c->spec.stop_grace, grace_over, c);
}

/* Other signals may mean anything to a program, and usually not its end. */
static bool is_meant_to_end(int signal)
{
    return signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGQUIT ||
           signal == SIGABRT;
}

static char *send(struct container *c, int signal)
{
    if (kill(c->pid, signal))
        return format("kill: signal %d: %s", signal, strerror(errno));
    c->asked = c->asked || is_meant_to_end(signal);
    return NULL;
}

static void start(struct container *c)
{
    c->wanted = c->restart_now = true;
    c->attempts = 0;
    c->backoff = 0;
    timer_clear(&c->timer);
    settle(c);
}

/* Docker's `up` with another image does this: it ends, and starts with a new file system. */
static char *become(struct container *c, const char *name)
{
    struct version *v = version_find(c, name);
    if (!v)
        return format("become: it has no version %s", name);
    c->becoming = v;
    if (c->state == ENDED) {
        start(c);
    } else {
        c->wanted = c->restart_now = true;
        stop(c);
    }
    return NULL;
}

/* On the way to an end that was asked for, so that another start must wait for it. */
static bool is_ending(const struct container *c)
{
    return c->state == RUNNING && c->asked;
}

bool container_need_not(const char *verb, const char *name)
{
    const struct container *c = container_find(name);
    if (!c)
        return false;
    if (!strcmp(verb, "start"))
        return c->state != ENDED && c->wanted && !is_ending(c);
    return !strcmp(verb, "unpause") && !c->paused;
}

char *container_command(const char *verb, const char *name, const char *arg)
{
    struct container *c = container_find(name);
    if (!c)
        return format("%s: there is no such container", verb);
    static const char *const states[] = {"waiting for others", "being started", "running", "ended"};
    bool running = c->state == RUNNING, ended = c->state == ENDED;
    if (!strcmp(verb, "kill") && running) {
        return send(c, arg && *arg ? atoi(arg) : SIGKILL);
    } else if (!strcmp(verb, "stop") && running) {
        c->wanted = c->restart_now = false;
        stop(c);
    } else if (!strcmp(verb, "stop") && c->state == STARTING) {
        c->wanted = false;
    } else if (!strcmp(verb, "stop") && ended && (c->timer.armed || c->cleaning || !c->said)) {
        c->wanted = c->restart_now = false;
        timer_clear(&c->timer);
    } else if (!strcmp(verb, "restart") && running) {
        c->wanted = c->restart_now = true;
        stop(c);
    } else if (!strcmp(verb, "start") && is_ending(c)) {
        c->wanted = c->restart_now = true;
    } else if (!strcmp(verb, "start") && c->state == STARTING && !c->wanted) {
        c->wanted = true;
    } else if ((!strcmp(verb, "start") || !strcmp(verb, "restart")) && ended) {
        start(c);
    } else if (!strcmp(verb, "become") && (running || ended)) {
        return become(c, arg ? arg : "");
    } else if (!strcmp(verb, "pause") && running && !c->paused) {
        return set_paused(c, true);
    } else if (!strcmp(verb, "unpause") && running && c->paused) {
        return set_paused(c, false);
    } else {
        return format("%s: cannot be done to a container that is %s", verb,
                      c->paused ? "paused" : states[c->state]);
    }
    return NULL;
}
