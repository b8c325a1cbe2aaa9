/* Healthchecks, with docker's rules: the first probe one interval after the start; so many
 * failures in a row make a container unhealthy, one success makes it healthy; within the start
 * period, until it was healthy once, failures do not count, and the interval is another one. */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void probe_due(void *arg);

static void change(struct container *c, enum health state, const char *text)
{
    static const char *const names[] = {"none", "starting", "healthy", "unhealthy"};
    if (c->health.state == state)
        return;
    c->health.state = state;
    event("container.health", "name", c->name, "status", names[state], *text ? "text" : NULL, text,
          NULL);
    if (state == HEALTH_HEALTHY) {
        c->ever_healthy = true;
        system_changed();
    } else if (state == HEALTH_UNHEALTHY) {
        c->ever_unhealthy = true;
        setup_error(c, "is unhealthy");
        system_changed();
    }
}

/* Whether an instant belongs to its start, as long as it was never healthy. */
static bool settling(const struct container *c, ns_t at)
{
    return c->health.state == HEALTH_STARTING && at < c->started_at + c->spec.health_start_period;
}

static void probe_later(struct container *c)
{
    ns_t pause = settling(c, now()) ? c->spec.health_start_interval : c->spec.health_interval;
    timer_set(&c->health.timer, now() + pause, probe_due, c);
}

static void failed(struct container *c, const char *text)
{
    if (!settling(c, c->health.began) && ++c->health.failures >= c->spec.health_retries)
        change(c, HEALTH_UNHEALTHY, text);
}

static void probe_done(struct proc *p)
{
    struct container *c = p->arg;
    if (!c) /* given up meanwhile */
        return;
    c->health.probe = NULL;
    if (!p->status && !c->health.late) {
        c->health.failures = 0;
        change(c, HEALTH_HEALTHY, "");
        probe_later(c);
        return;
    }
    char *text = format("%s%.*s%.*s", c->health.late ? "timed out " : "", (int)p->out.length,
                        p->out.data ? p->out.data : "", (int)p->err.length,
                        p->err.data ? p->err.data : "");
    for (size_t n = strlen(text); n && strchr("\n ", text[n - 1]); n--)
        text[n - 1] = 0;
    failed(c, *text ? text : "no output");
    free(text);
    probe_later(c);
}

static void probe_gone(struct proc *p)
{
    proc_free(p);
    free(p);
}

static void probe_late(void *arg)
{
    struct container *c = arg;
    c->health.late = true;
    kill(-c->health.probe->group, SIGKILL);
}

static void probe_due(void *arg)
{
    struct container *c = arg;
    struct proc *p = grab(sizeof *p);
    proc_init(p, "agent", MODE_KEEP);
    p->on_done = probe_done;
    p->on_gone = probe_gone;
    p->arg = c;
    struct launch how = {.argv = c->spec.health.items, .env = c->spec.env.items,
                         .workdir = c->spec.workdir, .own = true, .limited = true, .where = c};
    c->health.began = now();
    int result = proc_start(p, &how);
    if (result) {
        char *text = format("cannot be started: %s", strerror(-result));
        probe_gone(p);
        if (result != -ESRCH && result != -ENOMEM) /* it is just dying: its exit will tell that */
            failed(c, text);
        free(text);
        probe_later(c);
        return;
    }
    proc_listen(p);
    c->health.probe = p;
    c->health.late = false;
    timer_set(&c->health.timer, now() + c->spec.health_timeout, probe_late, c);
}

void health_begin(struct container *c)
{
    c->health.state = HEALTH_NONE;
    c->health.failures = 0;
    if (!c->spec.health.count)
        return;
    change(c, HEALTH_STARTING, "");
    health_resume(c);
}

void health_suspend(struct container *c)
{
    timer_clear(&c->health.timer);
    if (!c->health.probe)
        return;
    c->health.probe->arg = NULL;
    kill(-c->health.probe->group, SIGKILL);
    c->health.probe = NULL;
}

void health_resume(struct container *c)
{
    if (c->spec.health.count)
        probe_later(c);
}

void health_end(struct container *c)
{
    health_suspend(c);
    c->health.state = HEALTH_NONE;
}
