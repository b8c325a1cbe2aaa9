/* What a container may become: another image and other settings, with the same name, volumes and
 * networks. Its file system is made anew for it, by a script of the system image. */
#define _GNU_SOURCE
#include "../agent.h"

#include <stdlib.h>
#include <string.h>

struct version *version_add(struct container *c, const char *name)
{
    struct version **end = &c->versions, *v = grab(sizeof *v);
    while (*end)
        end = &(*end)->next;
    *end = v;
    v->name = copy(name);
    return v;
}

struct version *version_find(const struct container *c, const char *name)
{
    struct version *v = c->versions;
    while (v && strcmp(v->name, name))
        v = v->next;
    return v;
}

struct change {
    struct proc proc;
    struct container *of;
    struct version *to;
};

static void changed(struct proc *p)
{
    struct change *change = p->arg;
    struct container *c = change->of;
    const char *name = change->to->name;
    int code = exit_code(p->status);
    if (code) {
        error(c->source, "cannot become %s: %.*s (code %d)", name, (int)p->err.length,
              p->err.data ? p->err.data : "", code);
        c->restart_now = c->wanted = false;
    } else {
        c->spec = change->to->spec;
        c->hooked = false;
        event("container.version", "name", c->name, "version", name, NULL);
    }
    if (c->becoming == change->to) /* else it is to become yet another one by now */
        c->becoming = NULL;
    proc_free(p);
    free(change);
    container_clean(c);
}

void version_change(struct container *c)
{
    struct change *change = grab(sizeof *change);
    change->of = c;
    change->to = c->becoming;
    proc_init(&change->proc, "agent", MODE_KEEP);
    change->proc.on_gone = changed;
    change->proc.arg = change;
    char *argv[] = {"/bin/sh", c->becoming->spec.renew, NULL};
    char *env[] = {"PATH=" GUEST_PATH, NULL};
    if (proc_start(&change->proc, &(struct launch){.argv = argv, .env = env, .workdir = "/"}))
        proc_exited(&change->proc, 127 << 8);
    else
        proc_listen(&change->proc);
}
