/* Hooks: commands that run in a container when it has started for the first time, or as another
 * version, one after the other. Until they are over, nobody who waits for its start goes on. */
#define _GNU_SOURCE
#include "../agent.h"

#include <stdlib.h>

struct run {
    struct proc proc;
    struct container *of;
    unsigned hooking; /* for which of its versions */
};

static void next(struct container *c);

/* What it has left in the background may go on. */
static void hook_ended(struct proc *p)
{
    const struct run *run = p->arg;
    struct container *c = run->of;
    int code = exit_code(p->status);
    if (run->hooking != c->hooking)
        return;
    if (code) {
        char *what = format("has a post_start command that ended with code %d", code);
        error(c->ever_ready ? c->source : "setup", "container %s %s", c->name, what);
        free(what);
        c->hooks_left = 0;
        return;
    }
    c->hooks_left--;
    next(c);
}

static void hook_gone(struct proc *p)
{
    struct run *run = p->arg;
    proc_free(p);
    free(run);
}

static void next(struct container *c)
{
    if (!c->hooks_left) {
        c->ever_ready = true;
        system_changed();
        return;
    }
    const struct hook *hook = &c->spec.hooks[c->spec.hook_count - c->hooks_left];
    struct run *run = grab(sizeof *run);
    run->of = c;
    run->hooking = c->hooking;
    proc_init(&run->proc, c->source, MODE_LINES);
    run->proc.on_done = hook_ended;
    run->proc.on_gone = hook_gone;
    run->proc.arg = run;
    struct launch how = {.argv = hook->argv.items, .env = hook->env.items,
                         .workdir = hook->workdir, .user = hook->user, .own = true,
                         .limited = !hook->privileged, .where = c};
    if (proc_start(&run->proc, &how))
        proc_exited(&run->proc, 126 << 8);
    else
        proc_listen(&run->proc);
}

void hooks_begin(struct container *c)
{
    if (c->hooked)
        return;
    c->hooked = true;
    c->hooking++;
    c->hooks_left = c->spec.hook_count;
    next(c);
}
