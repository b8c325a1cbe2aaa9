/* Commands from the host: one frame, one command, no answer but events and output. */
#define _GNU_SOURCE
#include "../agent.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOKS 8

char *next_string(char **at, const char *end)
{
    char *text = *at;
    if (text >= end)
        return NULL;
    *at = text + strlen(text) + 1;
    return text;
}

/* ---- chance and faults */

static void seed(const char *bytes, const char *end)
{
    size_t size = bytes < end ? (size_t)(end - bytes) : 0;
    int result = seed_add(bytes, size);
    if (result) {
        error("seed", "%s", strerror(-result));
        return;
    }
    struct key key = random_key(bytes, size);
    noise_seed(&key);
    inject_seed(&key);
    composer_seed(&key);
    faults_reseed();
}

static void noise(char *at, const char *end)
{
    char *every = next_string(&at, end), *longest = next_string(&at, end);
    ns_t values[2];
    if (!whole(&every, &values[0]) || !whole(&longest, &values[1]))
        error("noise", "two numbers are needed");
    else
        noise_set(values[0], values[1]);
}

static void plan(char *at, const char *end)
{
    char *text = next_string(&at, end), none[] = "", *wrong = NULL;
    struct plan *plan = plan_read(text ? text : none, &wrong);
    if (wrong)
        error("faults", "%s", wrong);
    else
        inject_plan(plan);
    free(wrong);
}

static void fault(char *at, const char *end)
{
    const char *id = next_string(&at, end), *type = next_string(&at, end);
    const char *target = next_string(&at, end), *params = next_string(&at, end);
    char *duration = next_string(&at, end);
    const char *begin = next_string(&at, end), *last = next_string(&at, end);
    struct order order = {.id = id, .type = type, .target = target, .params = params,
                          .begin = begin, .end = last};
    if (last && whole(&duration, &order.duration) && order.duration < NEVER)
        fault_begin(&order);
    else
        error("faults", "fault: malformed");
}

static void heal(const char *id)
{
    if (!id) {
        faults_end("healed", false);
    } else if (!fault_heal(id)) {
        char *about = format("fault/%s", id);
        error(about, "heal: it is not active");
        free(about);
    }
}

static void injector(char *at, const char *end)
{
    const char *verb = next_string(&at, end);
    char *which = next_string(&at, end);
    uint64_t number;
    if (verb && !strcmp(verb, "pause"))
        inject_pause(true);
    else if (verb && !strcmp(verb, "unpause"))
        inject_pause(false);
    else if (verb && !strcmp(verb, "skip") && whole(&which, &number))
        inject_skip(number);
    else
        error("faults", "injector: it can be told to pause, unpause, or skip a number");
}

static void test(char *at, const char *end)
{
    const char *verb = next_string(&at, end), *kind = next_string(&at, end);
    char *wrong = verb && !strcmp(verb, "finish") ? composer_finish(kind ? kind : "")
                                                  : copy("tests can be told to finish");
    if (wrong)
        error("tests", "%s", wrong);
    free(wrong);
}

static void container(char *at, const char *end)
{
    const char *verb = next_string(&at, end), *name = next_string(&at, end);
    char *wrong = container_command(verb ? verb : "", name ? name : "", next_string(&at, end));
    if (wrong) {
        char *about = format("container/%s", name ? name : "");
        error(about, "%s", wrong);
        free(about);
    }
    free(wrong);
}

/* ---- time */

/* What the wall clock shows, and when: of several looks, the one that took least. */
static void tell_time(void)
{
    ns_t least = NEVER, at = 0;
    struct timespec wall = {0};
    for (int i = 0; i < LOOKS; i++) {
        struct timespec shown;
        ns_t before = now();
        clock_gettime(CLOCK_REALTIME, &shown);
        ns_t took = now() - before;
        if (took < least) {
            least = took;
            at = before + took / 2;
            wall = shown;
        }
    }
    event("clock.read", "at", number((long long)at), "wall",
          number(wall.tv_sec * (long long)SECOND + wall.tv_nsec), NULL);
}

/* ---- all of them */

void command_run(char *payload, size_t size)
{
    const char *end = payload + size;
    char *at = payload, *verb = next_string(&at, end);
    if (!verb) {
        error("agent", "empty command");
    } else if (!strcmp(verb, "start")) {
        system_start();
    } else if (!strcmp(verb, "exec")) {
        exec_run(at, end);
    } else if (!strcmp(verb, "terminal")) {
        exec_terminal(at, end);
    } else if (!strcmp(verb, "signal") || !strcmp(verb, "type") || !strcmp(verb, "resize") ||
               !strcmp(verb, "hangup")) {
        exec_tell(verb, at, end);
    } else if (!strcmp(verb, "container")) {
        container(at, end);
    } else if (!strcmp(verb, "put")) {
        file_put(at, end);
    } else if (!strcmp(verb, "seed")) {
        seed(at, end);
    } else if (!strcmp(verb, "noise")) {
        noise(at, end);
    } else if (!strcmp(verb, "faults")) {
        plan(at, end);
    } else if (!strcmp(verb, "fault")) {
        fault(at, end);
    } else if (!strcmp(verb, "heal")) {
        heal(next_string(&at, end));
    } else if (!strcmp(verb, "injector")) {
        injector(at, end);
    } else if (!strcmp(verb, "test")) {
        test(at, end);
    } else if (!strcmp(verb, "clock")) {
        tell_time();
    } else {
        error("agent", "unknown command: %s", verb);
    }
}
