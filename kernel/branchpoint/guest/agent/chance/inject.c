/* The injector: draws faults by its plan, from its own random numbers, as virtual time passes.
 *
 * All of a fault (instant, duration, parameters, target) is drawn from a stream that follows from
 * the seed, the line of the plan and the count of draws for that line. So a fault that does not
 * happen, for whatever reason, shifts no other one. One thing may still differ then: a target is
 * chosen among those that no fault of the same type holds, and one that did not happen holds none.
 *
 * Faults are numbered in the order of their instants. Those that are lost have a number, too.
 */
#define _GNU_SOURCE
#include "../agent.h"

#include <stdlib.h>
#include <string.h>

static struct plan *plan;
static struct key key;
static bool begun; /* set-up is complete */
static ns_t origin;
static bool paused;
static bool waits;
static ns_t held; /* no fault is drawn before this instant */
static uint64_t drawn, plans;
static uint64_t *skipped;
static size_t skip_count;
static struct timer next_draw, next_quiet;

/* ---- instants */

/* The instant of a fault that happens with probability p, and then equally likely at any time in
 * [a, b], given that it has not happened by t: p (b - t) / (b - a) is left of p, and of the whole
 * 1 - p (t - a) / (b - a). */
static ns_t draw_once(struct draws *d, ns_t t)
{
    ns_t a = origin + d->from, b = origin + d->until;
    if (d->over || t > b)
        return NEVER;
    if (t < a)
        t = a;
    double left = b > a ? (double)(b - t) / (double)(b - a) : 1;
    double whole = 1 - d->chance * (1 - left);
    if (random_unit(&d->random) * whole > d->chance * left)
        return NEVER;
    return t + random_below(&d->random, b - t + 1);
}

static void draw(struct draws *d, ns_t after)
{
    uint64_t line = (uint64_t)(d - plan->draws);
    d->random = random_stream(&key, FOR_FAULTS, plans << 32 | line, d->turn++);
    d->at = d->once ? draw_once(d, after) : after + random_exponential(&d->random, d->every);
}

static struct draws *first(void)
{
    struct draws *best = NULL;
    for (size_t i = 0; plan && i < plan->draws_count; i++)
        if (plan->draws[i].at < (best ? best->at : NEVER))
            best = &plan->draws[i];
    return best;
}

static void due(void *arg);

static void await_next(void)
{
    struct draws *next = first();
    timer_clear(&next_draw);
    if (next)
        timer_set_exactly(&next_draw, next->at, due, NULL);
}

static void draw_all(ns_t after)
{
    for (size_t i = 0; plan && i < plan->draws_count; i++)
        draw(&plan->draws[i], after);
    await_next();
}

/* ---- quiet windows */

static bool is_quiet(ns_t at)
{
    for (size_t i = 0; i < plan->quiet_count; i++)
        if (origin + plan->quiets[i].from <= at && at < origin + plan->quiets[i].until)
            return true;
    return false;
}

static void quiet_begins(void *arg)
{
    (void)arg;
    ns_t instant = now(), next = NEVER;
    if (is_quiet(instant))
        faults_end("paused", true);
    for (size_t i = 0; i < plan->quiet_count; i++) {
        ns_t from = origin + plan->quiets[i].from;
        if (instant < from && from < next)
            next = from;
    }
    timer_clear(&next_quiet);
    if (next < NEVER)
        timer_set_exactly(&next_quiet, next, quiet_begins, NULL);
}

/* ---- faults */

static bool is_skipped(uint64_t number)
{
    for (size_t i = 0; i < skip_count; i++)
        if (skipped[i] == number)
            return true;
    return false;
}

/* Draws the parameters: name, value, name, value ... */
static struct strings draw_params(struct draws *d)
{
    struct strings values = {0};
    for (size_t i = 0; i < d->param_count; i++) {
        const struct param *p = &d->params[i];
        strings_add(&values, copy(p->name));
        strings_add(&values, copy(number(random_between(&d->random, p->low, p->high))));
    }
    return values;
}

static char *described(const struct strings *values)
{
    char *text = copy("");
    for (size_t i = 0; i < values->count; i += 2) {
        char *longer = format("%s%s%s=%s", text, i ? " " : "", values->items[i],
                              values->items[i + 1]);
        free(text);
        text = longer;
    }
    return text;
}

static const struct target *choose(struct draws *d)
{
    size_t count = 0;
    const struct target *free_ones[d->target_count + 1];
    for (size_t i = 0; i < d->target_count; i++)
        if (!fault_holds(d->type, d->targets[i].label))
            free_ones[count++] = &d->targets[i];
    return count ? free_ones[random_below(&d->random, count)] : NULL;
}

static void begin(struct draws *d)
{
    ns_t duration = d->shortest + random_below(&d->random, d->longest - d->shortest + 1);
    struct strings values = draw_params(d);
    const struct target *target = choose(d);
    if (target) {
        char *params = described(&values);
        fault_begin(&(struct order){.id = number((long long)drawn), .type = d->type,
                                    .target = target->label, .params = params,
                                    .duration = duration, .begin = target->begin,
                                    .end = target->end, .values = &values, .drawn = true});
        free(params);
    }
    strings_free(&values);
}

/* One at a time: other timers, such as those of faults that end, may come before the next one. */
static void due(void *arg)
{
    (void)arg;
    struct draws *d = first();
    ns_t at = d->at;
    drawn++;
    if (!paused && !waits && at >= held && !is_skipped(drawn) && !is_quiet(at))
        begin(d);
    d->over = d->once;
    draw(d, at);
    await_next();
}

/* ---- what the host asks for */

static bool is_same(const struct draws *a, const struct draws *b)
{
    bool same = a->once == b->once && !strcmp(a->type, b->type) && a->from == b->from &&
                a->until == b->until && a->target_count == b->target_count;
    for (size_t i = 0; same && i < a->target_count; i++)
        same = !strcmp(a->targets[i].label, b->targets[i].label);
    return same;
}

/* What may happen only once and has, does not happen again because the plan was changed. */
static void take_over(struct plan *new)
{
    for (size_t i = 0; plan && i < plan->draws_count; i++)
        for (size_t k = 0; plan->draws[i].over && k < new->draws_count; k++)
            if (is_same(&plan->draws[i], &new->draws[k]))
                new->draws[k].over = true;
}

void inject_plan(struct plan *new)
{
    take_over(new);
    plan_free(plan);
    plan = new;
    plans++;
    if (!begun)
        return;
    draw_all(now());
    quiet_begins(NULL);
}

void inject_begin(ns_t instant)
{
    begun = true;
    origin = instant;
    if (!plan)
        return;
    draw_all(origin);
    quiet_begins(NULL);
}

void inject_seed(const struct key *new)
{
    key = *new;
    if (begun)
        draw_all(now());
}

void inject_pause(bool now_paused)
{
    paused = now_paused;
    if (paused)
        faults_end("paused", false);
}

void inject_wait(bool now_waits)
{
    waits = now_waits;
    if (waits)
        faults_end("paused", false);
}

void inject_hold(const struct container *c, ns_t length)
{
    ns_t until = event("container.hold", "name", c->name, "for", number((long long)length), NULL) +
                 length;
    if (until > held)
        held = until;
    faults_end("paused", false);
}

void inject_skip(uint64_t which)
{
    if (which <= drawn) {
        char *about = format("fault/%s", number((long long)which));
        error(about, "cannot be skipped: its time has passed");
        free(about);
        return;
    }
    skipped = regrow(skipped, (skip_count + 1) * sizeof *skipped);
    skipped[skip_count++] = which;
}
