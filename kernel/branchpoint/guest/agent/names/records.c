/* What a container may know of the others: the names and addresses of those that run and are in one
 * of its networks, and names of its own for some of them. */
#define _GNU_SOURCE
#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REVERSE ".in-addr.arpa"
#define REVERSE6 ".ip6.arpa"

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

struct found {
    bool known; /* the name leads to somebody, who may have no IPv6 */
    size_t count;
    struct address **all; /* has a place for each container */
};

/* All addresses with that name in a network; with `six`, those with IPv6. */
static void look_up(const struct server *s, const char *network, const char *name, bool six,
                    struct found *f)
{
    for (const struct container *c = containers; c; c = c->next) {
        struct address *a = in_network(s, c, network);
        if (!a || !has_name(s, c, a, name))
            continue;
        f->known = true;
        if (!six || a->has_ip6)
            f->all[f->count++] = a;
    }
}

/* The part of `name` before ".network", to be freed; NULL when it does not end like that. */
static char *without_network(const char *name, const char *network)
{
    size_t length = strlen(name), end = strlen(network) + 1;
    if (length <= end || name[length - end] != '.' || strcasecmp(name + length - end + 1, network))
        return NULL;
    return format("%.*s", (int)(length - end), name);
}

/* As docker does it: the first of the asker's networks in which the name has such addresses has all
 * that there is to say. */
static void find(const struct server *s, const char *name, bool six, struct found *f)
{
    const struct spec *own = &s->of->spec;
    for (size_t i = 0; i < own->address_count && !f->count; i++)
        look_up(s, own->addresses[i].network, name, six, f);
    if (f->known)
        return;
    for (size_t i = 0; i < own->address_count && !f->count; i++) {
        char *first = without_network(name, own->addresses[i].network);
        if (first)
            look_up(s, own->addresses[i].network, first, six, f);
        free(first);
    }
}

/* The first one is another each time. The count is kept where the name leads to first, so that
 * questions for other names do not matter; programs ask for both versions of IP at a time, so each
 * version has its own. */
static void tell_addresses(struct answer *a, const struct found *f, enum type type)
{
    bool six = type == TYPE_AAAA;
    size_t first = (six ? f->all[0]->turn6++ : f->all[0]->turn++) % f->count;
    for (size_t i = 0; i < f->count; i++) {
        const struct address *each = f->all[(first + i) % f->count];
        if (!six)
            answer_address(a, each->ip);
        if (six || (type == TYPE_ANY && each->has_ip6))
            answer_address6(a, each->ip6);
    }
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

/* The address in a name such as 2.0.0.(26 more).f.d.ip6.arpa: its 32 digits, the last one first. */
static bool reversed6(const char *name, uint8_t ip[16])
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(name) != 63 + strlen(REVERSE6) || strcmp(name + 63, REVERSE6))
        return false;
    memset(ip, 0, 16);
    for (int i = 0; i < 32; i++) {
        const char *digit = strchr(digits, name[2 * i]);
        if (!digit || name[2 * i + 1] != '.')
            return false;
        ip[15 - i / 2] |= (uint8_t)((digit - digits) << (i % 2 ? 4 : 0));
    }
    return true;
}

static bool is_at(const struct address *a, const uint8_t ip[16], bool six)
{
    return six ? a->has_ip6 && !memcmp(a->ip6, ip, 16) : !memcmp(a->ip, ip, 4);
}

static enum code answer_reverse(struct answer *a, const struct server *s, const struct question *q,
                                const uint8_t ip[16], bool six)
{
    for (size_t i = 0; i < s->of->spec.address_count; i++) {
        const char *network = s->of->spec.addresses[i].network;
        for (const struct container *c = containers; c; c = c->next) {
            const struct address *theirs = in_network(s, c, network);
            if (!theirs || !is_at(theirs, ip, six))
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
    uint8_t ip[16];
    size_t places = 0;
    if (reversed(q->name, ip))
        return answer_reverse(a, s, q, ip, false);
    if (reversed6(q->name, ip))
        return answer_reverse(a, s, q, ip, true);
    for (const struct container *c = containers; c; c = c->next)
        places++;
    struct found f = {.all = grab(places * sizeof *f.all)};
    find(s, q->name, q->type == TYPE_AAAA, &f);
    if (f.count && (q->type == TYPE_A || q->type == TYPE_AAAA || q->type == TYPE_ANY))
        tell_addresses(a, &f, q->type);
    free(f.all);
    return f.known ? CODE_GOOD : CODE_UNKNOWN;
}
