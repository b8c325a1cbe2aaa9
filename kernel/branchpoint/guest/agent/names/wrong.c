/* Faults of a container's name server. Several may be under way at a time: delays add up, and of
 * those that keep what was true, the first one decides. */
#define _GNU_SOURCE
#include "names.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST_DELAY (3600ULL * 1000000) /* µs */

enum how { SLOW, FAILS, SILENT, STALE };

struct wrong {
    char *id;
    enum how how;
    ns_t delay;
    struct strings known; /* STALE: the containers that had a name */
    struct wrong *next;
};

static const struct wrong *first(const struct server *s, enum how how)
{
    const struct wrong *w = s->wrong;
    while (w && w->how != how)
        w = w->next;
    return w;
}

bool wrong_fails(const struct server *s)
{
    return first(s, FAILS);
}

bool wrong_silent(const struct server *s)
{
    return first(s, SILENT);
}

ns_t wrong_delay(const struct server *s)
{
    ns_t delay = 0;
    for (const struct wrong *w = s->wrong; w; w = w->next)
        delay += w->delay;
    return delay;
}

bool wrong_knows(const struct server *s, const struct container *c)
{
    const struct wrong *stale = first(s, STALE);
    if (!stale)
        return c->state == RUNNING || c->state == STARTING; /* it may ask for itself at once */
    for (size_t i = 0; i < stale->known.count; i++)
        if (!strcmp(stale->known.items[i], c->name))
            return true;
    return false;
}

static void begin(struct server *s, const char *id, enum how how, ns_t delay)
{
    struct wrong *w = grab(sizeof *w), **end = &s->wrong;
    *w = (struct wrong){.id = copy(id), .how = how, .delay = delay};
    for (const struct container *c = containers; how == STALE && c; c = c->next)
        if (wrong_knows(s, c))
            strings_add(&w->known, copy(c->name));
    while (*end)
        end = &(*end)->next;
    *end = w;
}

static void end(struct server *s, const char *id)
{
    struct wrong **at = &s->wrong, *w;
    while (*at && strcmp((*at)->id, id))
        at = &(*at)->next;
    w = *at;
    if (!w)
        return;
    *at = w->next;
    strings_free(&w->known);
    free(w->id);
    free(w);
}

char *names_command(char *rest)
{
    static const char *const verbs[] = {"slow", "fail", "silence", "keep"};
    const char *verb = word(&rest), *name = word(&rest), *id = word(&rest);
    struct server *s = id ? server_find(name) : NULL;
    ns_t delay = 0;
    if (!s)
        return format("names: %s asks no name server", id ? name : "nobody");
    if (!strcmp(verb, "heal")) {
        end(s, id);
        return NULL;
    }
    for (int i = SLOW; i <= STALE; i++) {
        if (strcmp(verb, verbs[i]))
            continue;
        if (i == SLOW && (!whole(&rest, &delay) || delay > LONGEST_DELAY))
            return copy("names: no such delay");
        begin(s, id, (enum how)i, delay * 1000);
        return NULL;
    }
    return format("names: there is no verb %s", verb);
}
