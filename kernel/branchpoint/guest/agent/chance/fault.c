/* Faults that have begun: an action at the begin, one at the end, and two events.
 *
 * An action is one of these, or nothing:
 *
 *   container VERB NAME [ARGUMENT]   as the host's `container` command
 *   names VERB NAME ID [ARGUMENT]    what a container's name server does: names_command()
 *   clock OFFSET                     steps the clock by that many ns
 *   sh SCRIPT                        a shell script in the guest, as root, ahead of all others
 *
 * A script takes its time: the end's action waits for the begin's script. A container that cannot
 * take the begin's action has nothing to be undone, so then there is no end's action.
 */
#define _GNU_SOURCE
#include "../agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

/* A script that faults leave while they use randomness that a seed does not reach (netem's). */
#define RESEED "/run/branchpoint/faults/reseed"

enum phase { BEGINNING, ACTIVE, ENDING };

struct fault {
    char *id, *about, *type, *target, *last;
    bool drawn, instantaneous;
    enum phase phase;
    const char *why; /* it is to end, or ends; NULL: not yet */
    struct timer timer;
    struct fault *next;
};

struct script {
    struct proc proc;
    struct fault *of;
};

static struct fault *faults;

static void done(struct fault *f, const char *problem, bool undo);

/* ---- actions */

static char *last_line(const struct proc *p)
{
    const struct stream *s = p->err.length ? &p->err : &p->out;
    size_t end = s->length, start;
    while (end && s->data[end - 1] == '\n')
        end--;
    for (start = end; start && s->data[start - 1] != '\n';)
        start--;
    return format("%.*s", (int)(end - start), end ? s->data + start : "");
}

static void script_done(struct proc *p)
{
    struct script *script = p->arg;
    int code = exit_code(p->status);
    char *said = last_line(p);
    char *problem = *said ? copy(said) : format("the script ended with code %d", code);
    done(script->of, code ? problem : NULL, true);
    free(said);
    free(problem);
}

static void script_gone(struct proc *p)
{
    proc_free(p);
    free(p->arg);
}

static void run_script(struct fault *f, char *text)
{
    struct script *script = grab(sizeof *script);
    struct proc *p = &script->proc;
    script->of = f;
    proc_init(p, "agent", MODE_KEEP);
    p->on_done = script_done;
    p->on_gone = script_gone;
    p->arg = script;
    char *env[] = {"PATH=" GUEST_PATH, "HOME=/root", NULL};
    if (proc_start(p, &(struct launch){.script = text, .env = env, .workdir = "/", .ahead = true}))
        proc_exited(p, 125 << 8);
    else
        proc_listen(p);
}

static char *step_clock(char *rest)
{
    int64_t offset;
    if (rest && !strncmp(rest, "--", 2)) /* the way back from a drawn step that was negative */
        rest += 2;
    if (!integer(&rest, &offset))
        return copy("clock: no such offset");
    struct timex step = {.modes = ADJ_SETOFFSET | ADJ_NANO}; /* exact: two of them cancel out */
    step.time.tv_sec = offset / (int64_t)SECOND;
    step.time.tv_usec = offset % (int64_t)SECOND;
    if (step.time.tv_usec < 0) {
        step.time.tv_sec--;
        step.time.tv_usec += (int64_t)SECOND;
    }
    return clock_adjtime(CLOCK_REALTIME, &step) < 0 ? format("clock: %s", strerror(errno)) : NULL;
}

static void act(struct fault *f, const char *action)
{
    char *text = copy(action), *rest = text, *kind = word(&rest), *problem = NULL;
    bool over = true;
    if (kind && !strcmp(kind, "container")) {
        char *verb = word(&rest), *name = word(&rest);
        verb = verb ? verb : "";
        name = name ? name : "";
        if (f->phase != ENDING || !container_need_not(verb, name))
            problem = container_command(verb, name, rest);
    } else if (kind && !strcmp(kind, "names")) {
        problem = names_command(rest);
    } else if (kind && !strcmp(kind, "clock")) {
        problem = step_clock(rest);
    } else if (kind && !strcmp(kind, "sh")) {
        over = false;
        run_script(f, rest ? rest : "");
    } else if (kind) {
        problem = format("there is no action %s", kind);
    }
    if (over)
        done(f, problem, false);
    free(problem);
    free(text);
}

/* ---- from begin to end */

static void forget(struct fault *f)
{
    struct fault **q = &faults;
    while (*q != f)
        q = &(*q)->next;
    *q = f->next;
    event("fault.end", "id", f->id, "type", f->type, "target", f->target, "why", f->why, NULL);
    timer_clear(&f->timer);
    free(f->id);
    free(f->about);
    free(f->type);
    free(f->target);
    free(f->last);
    free(f);
}

static void end(struct fault *f, const char *why)
{
    timer_clear(&f->timer);
    if (!f->why)
        f->why = why;
    if (f->phase != ACTIVE)
        return;
    f->phase = ENDING;
    act(f, f->last);
}

/* Its action has been carried out, or there was a problem; then `undo`: is there yet an end? */
static void done(struct fault *f, const char *problem, bool undo)
{
    if (problem) {
        error(f->about, "%s", problem);
        f->why = "failed";
    }
    if (f->phase == ENDING || f->instantaneous || (problem && !undo)) {
        if (!f->why)
            f->why = "over";
        forget(f);
        return;
    }
    f->phase = ACTIVE;
    if (f->why)
        end(f, f->why);
}

static void time_over(void *arg)
{
    end(arg, "over");
}

/* What "{id}" and the names of parameters stand for. */
static struct strings meanings(const struct order *order)
{
    struct strings all = {0};
    for (size_t i = 0; order->values && i < order->values->count; i++)
        strings_add(&all, copy(order->values->items[i]));
    strings_add(&all, copy("id"));
    strings_add(&all, copy(order->id));
    return all;
}

void fault_begin(const struct order *order)
{
    struct fault *f = grab(sizeof *f), **last = &faults;
    struct strings names = meanings(order);
    char *first = filled(order->begin, &names);
    while (*last)
        last = &(*last)->next;
    *last = f;
    f->last = filled(order->end, &names);
    strings_free(&names);
    f->id = copy(order->id);
    f->about = format("fault/%s", order->id);
    f->type = copy(order->type);
    f->target = copy(order->target);
    f->drawn = order->drawn;
    f->instantaneous = !order->duration;
    ns_t begin = event("fault.start", "id", f->id, "type", f->type, "target", f->target, "params",
                       order->params, "for", number((long long)order->duration), NULL);
    if (!f->instantaneous)
        timer_set_exactly(&f->timer, begin + order->duration, time_over, f);
    act(f, first);
    free(first);
}

bool fault_holds(const char *type, const char *target)
{
    struct fault *f = faults;
    while (f && (strcmp(f->type, type) || strcmp(f->target, target)))
        f = f->next;
    return f;
}

void faults_end(const char *why, bool drawn_only)
{
    for (struct fault *f = faults, *next; f; f = next) {
        next = f->next;
        if (f->drawn || !drawn_only)
            end(f, why);
    }
}

bool fault_heal(const char *id)
{
    struct fault *f = faults;
    while (f && strcmp(f->id, id))
        f = f->next;
    if (f)
        end(f, "healed");
    return f;
}

static void reseeded(struct proc *p)
{
    proc_free(p);
    free(p);
}

void faults_reseed(void)
{
    if (access(RESEED, F_OK))
        return;
    struct proc *p = grab(sizeof *p);
    proc_init(p, "agent", MODE_LINES);
    p->on_gone = reseeded;
    char *argv[] = {"/bin/sh", RESEED, NULL};
    char *env[] = {"PATH=" GUEST_PATH, NULL};
    if (proc_start(p, &(struct launch){.argv = argv, .env = env, .workdir = "/", .ahead = true}))
        proc_exited(p, 125 << 8);
    else
        proc_listen(p);
}
