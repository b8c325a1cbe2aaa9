/* Timers, sorted by instant; equal instants fire in the order in which they were set. */
#include "agent.h"

static struct timer *first;

void timer_clear(struct timer *t)
{
    if (!t->armed)
        return;
    struct timer **p = &first;
    while (*p != t)
        p = &(*p)->next;
    *p = t->next;
    t->armed = false;
}

void timer_set(struct timer *t, ns_t at, void (*fire)(void *), void *arg)
{
    timer_set_exactly(t, (at + TICK - 1) / TICK * TICK, fire, arg);
}

void timer_set_exactly(struct timer *t, ns_t at, void (*fire)(void *), void *arg)
{
    timer_clear(t);
    *t = (struct timer){.at = at, .fire = fire, .arg = arg, .armed = true};
    struct timer **p = &first;
    while (*p && (*p)->at <= at)
        p = &(*p)->next;
    t->next = *p;
    *p = t;
}

ns_t timers_due(void)
{
    return first ? first->at : NEVER;
}

void timers_run(void)
{
    ns_t instant = now();
    while (first && first->at <= instant) {
        struct timer *t = first;
        first = t->next;
        t->armed = false;
        t->fire(t->arg);
    }
}
