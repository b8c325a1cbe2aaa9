/* Reads the injector's plan: lines that the host's `faults` command brings.
 *
 *   quiet FROM UNTIL                               no fault begins in it, drawn ones end at FROM
 *   kind TYPE EVERY SHORTEST LONGEST               again and again, EVERY on average
 *   once TYPE FROM UNTIL PPM SHORTEST LONGEST      at most once, with that probability
 *   param NAME LOW HIGH                            } of the last kind or once
 *   target LABEL                                   }
 *   begin ACTION                                   } of the last target
 *   end ACTION                                     }
 *
 * Times are ns; instants count from complete set-up. Durations lie between SHORTEST and LONGEST.
 * Actions: see fault.c.
 */
#define _GNU_SOURCE
#include "../agent.h"

#include <stdlib.h>
#include <string.h>

#define CERTAIN 1000000 /* parts per million */

static bool instant(char **rest, ns_t *value)
{
    return whole(rest, value) && *value < NEVER;
}

static bool span(char **rest, ns_t *low, ns_t *high)
{
    return instant(rest, low) && instant(rest, high) && *low <= *high;
}

static bool quiet(struct plan *plan, char **rest)
{
    struct quiet new;
    if (!span(rest, &new.from, &new.until))
        return false;
    plan->quiets = regrow(plan->quiets, (plan->quiet_count + 1) * sizeof new);
    plan->quiets[plan->quiet_count++] = new;
    return true;
}

static bool draws(struct plan *plan, bool once, char **rest)
{
    struct draws new = {.once = once, .at = NEVER};
    const char *type = word(rest);
    uint64_t millionths = 0;
    bool good = type && (once ? span(rest, &new.from, &new.until) && whole(rest, &millionths) &&
                                    millionths <= CERTAIN
                              : instant(rest, &new.every) && new.every);
    if (!good || !span(rest, &new.shortest, &new.longest))
        return false;
    new.type = copy(type);
    new.chance = (double)millionths / CERTAIN;
    plan->draws = regrow(plan->draws, (plan->draws_count + 1) * sizeof new);
    plan->draws[plan->draws_count++] = new;
    return true;
}

static bool param(struct draws *of, char **rest)
{
    struct param new = {.name = word(rest)};
    if (!new.name || !integer(rest, &new.low) || !integer(rest, &new.high) || new.low > new.high)
        return false;
    new.name = copy(new.name);
    of->params = regrow(of->params, (of->param_count + 1) * sizeof new);
    of->params[of->param_count++] = new;
    return true;
}

static void target(struct draws *of, const char *label)
{
    struct target new = {.label = decoded(label), .begin = copy(""), .end = copy("")};
    of->targets = regrow(of->targets, (of->target_count + 1) * sizeof new);
    of->targets[of->target_count++] = new;
}

static void set_action(char **action, const char *text)
{
    free(*action);
    *action = decoded(text);
}

static bool line(struct plan *plan, const char *key, char *rest)
{
    struct draws *of = plan->draws_count ? &plan->draws[plan->draws_count - 1] : NULL;
    struct target *last = of && of->target_count ? &of->targets[of->target_count - 1] : NULL;
    if (!strcmp(key, "quiet"))
        return quiet(plan, &rest);
    if (!strcmp(key, "kind") || !strcmp(key, "once"))
        return draws(plan, !strcmp(key, "once"), &rest);
    if (!strcmp(key, "param"))
        return of && param(of, &rest);
    if (!strcmp(key, "target") && of && rest)
        target(of, rest);
    else if (!strcmp(key, "begin") && last)
        set_action(&last->begin, rest ? rest : "");
    else if (!strcmp(key, "end") && last)
        set_action(&last->end, rest ? rest : "");
    else
        return false;
    return true;
}

struct plan *plan_read(char *text, char **wrong)
{
    struct plan *plan = grab(sizeof *plan);
    int number = 0;
    for (char *at = text, *end; *at; at = end) {
        end = strchrnul(at, '\n');
        if (*end)
            *end++ = 0;
        number++;
        char *rest = at, *key = word(&rest);
        if (key && !line(plan, key, rest)) {
            *wrong = format("line %d of the plan cannot be understood (%s)", number, key);
            plan_free(plan);
            return NULL;
        }
    }
    return plan;
}

void plan_free(struct plan *plan)
{
    for (size_t i = 0; plan && i < plan->draws_count; i++) {
        struct draws *d = &plan->draws[i];
        for (size_t k = 0; k < d->param_count; k++)
            free(d->params[k].name);
        for (size_t k = 0; k < d->target_count; k++) {
            free(d->targets[k].label);
            free(d->targets[k].begin);
            free(d->targets[k].end);
        }
        free(d->params);
        free(d->targets);
        free(d->type);
    }
    if (plan) {
        free(plan->quiets);
        free(plan->draws);
    }
    free(plan);
}
