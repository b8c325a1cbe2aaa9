/* What a container may know of the others: the names and addresses of those that run and are in one
 * of its networks, and names of its own for some of them. */
#define _GNU_SOURCE
#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REVERSE ".in-addr.arpa"

/* Is `name` one of `a`'s, which is an address of `c`, for whoever asks `s`? */
static bool has_name(const struct server *s, const struct container *c, const struct address *a,
                     const char *name)
{
    const struct strings *links = &s->of->spec.links;
    for (size_t i = 0; i < a->names.count; i++)
        if (!strcasecmp(a->names.items[i], name))
            return true;
    for (size_t i = 0; i < links->count; i += 2)
        if (!strcasecmp(links->items[i], name) && !strcmp(links->items[i + 1], c->name))
            return true;
    return false;
}

/* The address that a container has in a network, if it is there to be found; otherwise NULL. */
static struct address *in_network(const struct server *s, const struct container *c,
                                  const char *network)
{
    for (size_t i = 0; i < c->spec.address_count; i++)
        if (!strcmp(c->spec.addresses[i].network, network))
            return wrong_knows(s, c) ? &c->spec.addresses[i] : NULL;
    return NULL;
}

/* All addresses with that name in a network, into `found`, which has a place for each container. */
static size_t look_up(const struct server *s, const char *network, const char *name,
                      struct address **found)
{
    size_t count = 0;
    for (const struct container *c = containers; c; c = c->next) {
        struct address *a = in_network(s, c, network);
        if (a && has_name(s, c, a, name))
            found[count++] = a;
    }
    return count;
}

/* The part of `name` before ".network", to be freed; NULL when it does not end like that. */
static char *without_network(const char *name, const char *network)
{
    size_t length = strlen(name), end = strlen(network) + 1;
    if (length <= end || name[length - end] != '.' || strcasecmp(name + length - end + 1, network))
        return NULL;
    return format("%.*s", (int)(length - end), name);
}

/* As docker does it: the first of the asker's networks in which the name is known has all that
 * there is to say. */
static size_t find(const struct server *s, const char *name, struct address **found)
{
    const struct spec *own = &s->of->spec;
    size_t count = 0;
    for (size_t i = 0; i < own->address_count && !count; i++)
        count = look_up(s, own->addresses[i].network, name, found);
    for (size_t i = 0; i < own->address_count && !count; i++) {
        char *first = without_network(name, own->addresses[i].network);
        if (first)
            count = look_up(s, own->addresses[i].network, first, found);
        free(first);
    }
    return count;
}

/* The first one is another each time. The count is kept where the name leads to first, so that
 * questions for other names do not matter. */
static void tell_addresses(struct answer *a, struct address **found, size_t count)
{
    size_t first = found[0]->turn++ % count;
    for (size_t i = 0; i < count; i++)
        answer_address(a, found[(first + i) % count]->ip);
}

/* The address in a name such as 2.0.89.10.in-addr.arpa. */
static bool reversed(const char *name, uint8_t ip[4])
{
    unsigned part[4];
    int end = -1;
    if (sscanf(name, "%3u.%3u.%3u.%3u%n", &part[3], &part[2], &part[1], &part[0], &end) != 4 ||
        strcmp(name + end, REVERSE))
        return false;
    for (int i = 0; i < 4; i++) {
        if (part[i] > 255)
            return false;
        ip[i] = (uint8_t)part[i];
    }
    return true;
}

static enum code answer_reverse(struct answer *a, const struct server *s, const struct question *q,
                                const uint8_t ip[4])
{
    for (size_t i = 0; i < s->of->spec.address_count; i++) {
        const char *network = s->of->spec.addresses[i].network;
        for (const struct container *c = containers; c; c = c->next) {
            const struct address *theirs = in_network(s, c, network);
            if (!theirs || memcmp(theirs->ip, ip, 4))
                continue;
            char *name = format("%s.%s", c->name, network);
            if (q->type == TYPE_PTR || q->type == TYPE_ANY)
                answer_name(a, name);
            free(name);
            return CODE_GOOD;
        }
    }
    return CODE_UNKNOWN;
}

enum code records_answer(struct answer *a, const struct server *s, const struct question *q)
{
    uint8_t ip[4];
    size_t places = 0;
    if (reversed(q->name, ip))
        return answer_reverse(a, s, q, ip);
    for (const struct container *c = containers; c; c = c->next)
        places++;
    struct address **found = grab(places * sizeof *found);
    size_t count = find(s, q->name, found);
    if (count && (q->type == TYPE_A || q->type == TYPE_ANY))
        tell_addresses(a, found, count);
    free(found);
    return count ? CODE_GOOD : CODE_UNKNOWN;
}
