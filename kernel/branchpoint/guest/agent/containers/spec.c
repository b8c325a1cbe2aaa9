/* Reads system.conf: lines "key value...", a container's lines following its `container` line.
 * Before the first of these, `setup sdk` makes set-up wait for a program's word (sdk.c). What a
 * container may become follows in parts that begin with `version`, its first state included. */
#define _GNU_SOURCE
#include "../agent.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST (1 << 20)

struct container *containers;

static bool choice(char **rest, const char *const *names, int *value)
{
    char *text = word(rest);
    for (int i = 0; text && names[i]; i++)
        if (!strcmp(text, names[i])) {
            *value = i;
            return true;
        }
    return false;
}

static struct container *add(const char *name)
{
    struct container **end = &containers, *c = grab(sizeof *c);
    while (*end)
        end = &(*end)->next;
    *end = c;
    c->name = copy(name);
    c->source = format("container/%s", name);
    c->cgroup = format("/sys/fs/cgroup/branchpoint/%s", name);
    c->wanted = true;
    c->memory.fd = -1;
    return c;
}

static bool depends(struct spec *s, char **rest)
{
    static const char *const needs[] = {"started", "healthy", "completed", NULL};
    char *name = word(rest);
    int need;
    if (!name || !choice(rest, needs, &need))
        return false;
    s->depends = regrow(s->depends, (s->depend_count + 1) * sizeof *s->depends);
    s->depends[s->depend_count++] = (struct depend){.name = copy(name), .need = (enum need)need};
    return true;
}

static bool healthcheck(struct spec *s, char **rest)
{
    uint64_t retries;
    if (!whole(rest, &s->health_interval) || !whole(rest, &s->health_timeout) ||
        !whole(rest, &retries) || !whole(rest, &s->health_start_period) ||
        !whole(rest, &s->health_start_interval))
        return false;
    s->health_retries = (int)retries;
    return true;
}

static bool restart(struct spec *s, char **rest)
{
    static const char *const policies[] = {"no", "always", "on-failure", "unless-stopped", NULL};
    int policy;
    uint64_t max;
    if (!choice(rest, policies, &policy) || !whole(rest, &max))
        return false;
    s->restart = (enum restart)policy;
    s->restart_max = (int)max;
    return true;
}

/* "NETWORK ADDRESS NAME...", the address in a network and the names that lead to it there. */
static bool address(struct spec *s, char **rest)
{
    const char *network = word(rest), *ip = word(rest), *name;
    struct address new = {0};
    if (!ip || inet_pton(AF_INET, ip, new.ip) != 1)
        return false;
    new.network = copy(network);
    while ((name = word(rest)))
        strings_add(&new.names, copy(name));
    s->addresses = regrow(s->addresses, (s->address_count + 1) * sizeof new);
    s->addresses[s->address_count++] = new;
    return true;
}

/* "ADDRESS", the IPv6 address in the network of the line before */
static bool address6(struct spec *s, char **rest)
{
    const char *ip = word(rest);
    if (!ip || !s->address_count)
        return false;
    struct address *last = &s->addresses[s->address_count - 1];
    last->has_ip6 = inet_pton(AF_INET6, ip, last->ip6) == 1;
    return last->has_ip6;
}

/* "NAME CONTAINER" */
static bool link_to(struct spec *s, char **rest)
{
    const char *name = word(rest), *other = word(rest);
    if (!other)
        return false;
    strings_add(&s->links, copy(name));
    strings_add(&s->links, copy(other));
    return true;
}

static bool pair(char **rest, uint64_t *a, uint64_t *b)
{
    return whole(rest, a) && whole(rest, b);
}

/* "GROUP...", up to the end of the line. */
static bool groups(struct spec *s, char *rest)
{
    uint64_t group;
    while (rest && *rest) {
        if (!whole(&rest, &group))
            return false;
        s->groups = regrow(s->groups, (s->group_count + 1) * sizeof *s->groups);
        s->groups[s->group_count++] = (unsigned)group;
    }
    return true;
}

/* "RESOURCE SOFT HARD", all of them numbers. */
static bool limit(struct spec *s, char **rest)
{
    uint64_t resource;
    struct limit new;
    if (!whole(rest, &resource) || !pair(rest, &new.soft, &new.hard))
        return false;
    new.resource = (int)resource;
    s->limits = regrow(s->limits, (s->limit_count + 1) * sizeof new);
    s->limits[s->limit_count++] = new;
    return true;
}

static bool hook(struct spec *s, const char *key, char *rest)
{
    if (!strcmp(key, "hook")) {
        s->hooks = regrow(s->hooks, (s->hook_count + 1) * sizeof *s->hooks);
        s->hooks[s->hook_count++] = (struct hook){.privileged = rest && !strcmp(rest, "privileged")};
        return true;
    }
    if (!s->hook_count)
        return false;
    struct hook *last = &s->hooks[s->hook_count - 1];
    if (!strcmp(key, "hookarg"))
        strings_add(&last->argv, decoded(rest ? rest : ""));
    else if (!strcmp(key, "hookenv"))
        strings_add(&last->env, decoded(rest ? rest : ""));
    else if (!strcmp(key, "hookdir"))
        last->workdir = decoded(rest ? rest : "/");
    else if (!strcmp(key, "hookuser") && rest)
        last->user = decoded(rest);
    else
        return false;
    return true;
}

/* One line inside a container's part; false when it is malformed. */
static bool property(struct spec *s, const char *key, char *rest)
{
    uint64_t a, b;
    if (!strcmp(key, "depends"))
        return depends(s, &rest);
    if (!strcmp(key, "healthcheck"))
        return healthcheck(s, &rest);
    if (!strcmp(key, "restart"))
        return restart(s, &rest);
    if (!strcmp(key, "address"))
        return address(s, &rest);
    if (!strcmp(key, "address6"))
        return address6(s, &rest);
    if (!strcmp(key, "link"))
        return link_to(s, &rest);
    if (!strcmp(key, "stop")) {
        if (!pair(&rest, &a, &b))
            return false;
        s->stop_signal = (int)a;
        s->stop_grace = b;
        return true;
    }
    if (!strcmp(key, "user")) {
        if (!pair(&rest, &a, &b))
            return false;
        s->uid = (unsigned)a;
        s->gid = (unsigned)b;
        return groups(s, rest);
    }
    if (!strcmp(key, "limit"))
        return limit(s, &rest);
    if (!strcmp(key, "slack"))
        return whole(&rest, &s->timer_slack);
    if (!strncmp(key, "hook", strlen("hook")))
        return hook(s, key, rest);
    if (!strcmp(key, "healtharg")) { /* may be empty */
        strings_add(&s->health, decoded(rest ? rest : ""));
        return true;
    }
    if (!rest || !*rest)
        return false;
    if (!strcmp(key, "env"))
        strings_add(&s->env, decoded(rest));
    else if (!strcmp(key, "mount"))
        strings_add(&s->mounts, decoded(rest));
    else if (!strcmp(key, "bundle"))
        s->bundle = decoded(rest);
    else if (!strcmp(key, "rootfs"))
        s->rootfs = decoded(rest);
    else if (!strcmp(key, "netns"))
        s->netns = decoded(rest);
    else if (!strcmp(key, "workdir"))
        s->workdir = decoded(rest);
    else if (!strcmp(key, "renew"))
        s->renew = decoded(rest);
    else
        return false;
    return true;
}

static char *lacks(const struct container *c, const struct spec *s)
{
    if (!s->bundle || !s->rootfs || !s->netns || !s->stop_signal)
        return format("container %s lacks bundle, rootfs, netns or stop", c->name);
    if (s->health.count && (!s->health_interval || !s->health_start_interval))
        return format("container %s has healtharg lines but no healthcheck line", c->name);
    return NULL;
}

static char *complete(void)
{
    for (struct container *c = containers; c; c = c->next) {
        char *wrong = NULL;
        for (const struct version *v = c->versions; v && !wrong; v = v->next)
            wrong = v->spec.renew ? lacks(c, &v->spec) : format("%s cannot be renewed", v->name);
        if (c->versions)
            c->spec = c->versions->spec;
        struct spec *s = &c->spec;
        wrong = wrong ? wrong : lacks(c, s);
        if (wrong)
            return wrong;
        for (size_t i = 0; i < s->depend_count; i++) {
            s->depends[i].on = container_find(s->depends[i].name);
            if (!s->depends[i].on)
                return format("container %s depends on %s, which is not there", c->name,
                              s->depends[i].name);
        }
    }
    return NULL;
}

/* Reads all lines of `text`, which it cuts up; `path` is for what is wrong. */
static char *read_lines(char *text, const char *path)
{
    struct container *c = NULL;
    struct spec *s = NULL;
    int number = 0;
    for (char *line = text, *end; *line; line = end) {
        end = strchrnul(line, '\n');
        if (*end)
            *end++ = 0;
        number++;
        char *rest = line, *key = word(&rest);
        if (!key)
            continue;
        if (!strcmp(key, "container") && rest && *rest && !container_find(rest))
            s = &(c = add(rest))->spec;
        else if (c && !strcmp(key, "version") && rest && *rest && !version_find(c, rest))
            s = &version_add(c, rest)->spec;
        else if (!c && !strcmp(key, "setup") && rest && !strcmp(rest, "sdk"))
            sdk_await();
        else if (c && !strcmp(key, "test") && composer_add(c, rest))
            continue;
        else if (!c || !property(s, key, rest))
            return format("%s:%d: cannot be understood (%s)", path, number, key);
    }
    return complete();
}

char *spec_read(const char *path)
{
    char *text = grab(LONGEST), *wrong;
    ssize_t length = read_file(path, text, LONGEST);
    if (length < 0)
        wrong = format("cannot read %s: %s", path, strerror((int)-length));
    else if (length == LONGEST - 1)
        wrong = format("%s is longer than %d bytes", path, LONGEST);
    else
        wrong = read_lines(text, path);
    free(text);
    return wrong;
}

struct container *container_find(const char *name)
{
    struct container *c = containers;
    while (c && strcmp(c->name, name))
        c = c->next;
    return c;
}
