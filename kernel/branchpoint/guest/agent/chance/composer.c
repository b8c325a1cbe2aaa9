/* The test composer: runs the commands of a test template, by the rules that programs written for
 * Antithesis expect.
 *
 * One timeline uses one template. Some time after set-up one of its `first` commands runs, without
 * faults. Then come drivers, and `anytime` commands beside them: either one `singleton` driver,
 * once, or turns of `parallel` drivers, several at a time, and of `serial` ones, one alone. When the
 * host asks for the end, faults stop, and one `eventually` command runs, for which all others are
 * killed, or one `finally` command, after all others have ended by themselves.
 *
 * What runs when is drawn from streams that follow from the seed, one for each draw. A command may
 * be killed together with its container, by a fault.
 */
#define _GNU_SOURCE
#include "../agent.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "/opt/antithesis/test/v1"
#define START (200 * MS)       /* after set-up: later than the state that all futures leave */
#define GAP (50 * MS)          /* mean time between two starts of drivers */
#define ANYTIME_GAP (2 * SECOND)
#define SHORTEST_TURN (1 * SECOND)
#define MORE_OF_TURN (10 * SECOND) /* on average, of a turn of parallel drivers */
#define WIDTHS 4               /* 1, 2, 4 or 8 parallel drivers at a time */
#define AGAIN (100 * MS)       /* until a container that does not run is looked at again */

enum kind_of_test { FIRST, PARALLEL, SERIAL, SINGLETON, ANYTIME, EVENTUALLY, FINALLY, KINDS };

static const char *const kinds[] = {"first", "parallel", "serial", "singleton",
                                    "anytime", "eventually", "finally", NULL};

struct test {
    enum kind_of_test kind;
    struct container *where;
    char *template, *name, *path;
};

struct run {
    const struct test *test;
    struct proc proc;
    ns_t began;
    bool asked; /* we want it to end */
    struct run *next;
};

static struct test *tests;
static size_t test_count;
static struct run *runs;

static enum { WAITING_FOR_SETUP, STARTING_UP, DRIVING, ENDING, LAST_ONE, OVER } phase;
static struct key key;
static uint64_t draws;
static const char *template; /* of this timeline */
static bool single;          /* a singleton is its only driver */
static enum kind_of_test drivers; /* of this turn: PARALLEL or SERIAL */
static size_t width;
static ns_t turn_ends;
static bool began_driver, killed;
static enum kind_of_test last; /* what ends this timeline */
static struct timer start, next_driver, next_anytime;

bool composer_add(struct container *c, char *rest)
{
    char *kind = word(&rest), *of = word(&rest), *name = word(&rest);
    size_t n = 0;
    while (kind && kinds[n] && strcmp(kinds[n], kind))
        n++;
    if (!name || n == KINDS)
        return false;
    tests = regrow(tests, (test_count + 1) * sizeof *tests);
    tests[test_count++] = (struct test){.kind = (enum kind_of_test)n, .where = c,
                                        .template = copy(of), .name = copy(name),
                                        .path = format(FOLDER "/%s/%s", of, name)};
    return true;
}

/* ---- draws */

static struct random drawn(void)
{
    return random_stream(&key, FOR_TESTS, 0, draws++);
}

static size_t below(size_t limit)
{
    struct random r = drawn();
    return random_below(&r, limit);
}

static ns_t after(ns_t mean)
{
    struct random r = drawn();
    return now() + random_exponential(&r, mean);
}

static size_t count(enum kind_of_test kind)
{
    size_t found = 0;
    for (size_t i = 0; i < test_count; i++)
        found += tests[i].kind == kind && !strcmp(tests[i].template, template);
    return found;
}

static const struct test *choose(enum kind_of_test kind)
{
    size_t among = count(kind), which = among ? below(among) : 0;
    for (size_t i = 0; among && i < test_count; i++)
        if (tests[i].kind == kind && !strcmp(tests[i].template, template) && !which--)
            return &tests[i];
    return NULL;
}

static void choose_template(void)
{
    size_t different = 0;
    const char *names[test_count];
    for (size_t i = 0; i < test_count; i++) {
        size_t k = 0;
        while (k < different && strcmp(names[k], tests[i].template))
            k++;
        if (k == different)
            names[different++] = tests[i].template;
    }
    template = names[below(different)];
}

/* ---- runs */

static size_t running(enum kind_of_test kind)
{
    size_t found = 0;
    for (struct run *r = runs; r; r = r->next)
        found += r->test->kind == kind;
    return found;
}

static size_t drivers_running(void)
{
    return running(PARALLEL) + running(SERIAL) + running(SINGLETON);
}

static void has_ended(const struct test *test);

static void say_exit(struct proc *p)
{
    struct run *r = p->arg, **q = &runs;
    const struct test *test = r->test;
    while (*q != r)
        q = &(*q)->next;
    *q = r->next;
    killed |= exit_signal(p->status) == SIGKILL;
    event("test.exit", "name", test->where->name, "template", test->template, "command",
          test->name, "code", number(exit_code(p->status)), "signal",
          number(exit_signal(p->status)), "asked", r->asked ? "1" : "0", "took",
          number((long long)(now() - r->began)), NULL);
    has_ended(test);
}

static void forget(struct proc *p)
{
    struct run *r = p->arg;
    proc_free(p);
    free(r);
}

/* False: its container does not run, so that it could not be started. */
static bool run(const struct test *test)
{
    struct container *c = test->where;
    if (c->state != RUNNING)
        return false;
    struct run *r = grab(sizeof *r);
    char *argv[] = {test->path, NULL}, *source = format("test/%s/%s", c->name, test->name);
    proc_init(&r->proc, source, MODE_LINES);
    free(source);
    r->test = test;
    r->began = now();
    r->proc.arg = r;
    r->proc.on_done = say_exit;
    r->proc.on_gone = forget;
    struct launch how = {.argv = argv, .env = c->spec.env.items, .workdir = c->spec.workdir,
                         .own = true, .limited = true, .where = c};
    if (proc_start(&r->proc, &how)) { /* it is just dying */
        forget(&r->proc);
        return false;
    }
    event("test.start", "name", c->name, "template", test->template, "command", test->name, "pid",
          number(r->proc.pid), NULL);
    r->next = runs;
    runs = r;
    proc_listen(&r->proc);
    return true;
}

/* ---- drivers */

static void driver_due(void *arg);
static void anytime_due(void *arg);

static void driver_at(ns_t at)
{
    timer_clear(&next_driver);
    timer_set_exactly(&next_driver, at, driver_due, NULL);
}

static void begin_turn(void)
{
    bool both = count(PARALLEL) && count(SERIAL);
    drivers = both ? (below(2) ? PARALLEL : SERIAL) : count(PARALLEL) ? PARALLEL : SERIAL;
    width = drivers == PARALLEL ? (size_t)1 << below(WIDTHS) : 1;
    turn_ends = drivers == PARALLEL ? after(MORE_OF_TURN) + SHORTEST_TURN : now();
    driver_at(after(GAP));
}

static void begin_drivers(void)
{
    phase = DRIVING;
    inject_wait(false);
    size_t others = !!count(PARALLEL) + !!count(SERIAL);
    single = count(SINGLETON) && !below(others + 1);
    if (count(ANYTIME))
        timer_set_exactly(&next_anytime, after(ANYTIME_GAP), anytime_due, NULL);
    if (single)
        driver_at(after(GAP));
    else if (others)
        begin_turn();
}

static void driver_due(void *arg)
{
    (void)arg;
    if (drivers == PARALLEL && !single && now() >= turn_ends) {
        if (!drivers_running())
            begin_turn();
        return;
    }
    const struct test *test = choose(single ? SINGLETON : drivers);
    bool runs_now = run(test);
    began_driver |= runs_now;
    if (!runs_now)
        driver_at(now() + AGAIN);
    else if (!single && drivers_running() < width)
        driver_at(after(GAP));
}

static void anytime_due(void *arg)
{
    (void)arg;
    const struct test *test = choose(ANYTIME);
    struct run *r = runs;
    while (r && r->test != test)
        r = r->next;
    if (!r) /* not beside itself */
        run(test);
    timer_set_exactly(&next_anytime, after(ANYTIME_GAP), anytime_due, NULL);
}

/* ---- the end of a timeline */

static void run_last(void *arg)
{
    (void)arg;
    const struct test *test = choose(last);
    if (run(test))
        phase = LAST_ONE;
    else
        timer_set(&start, now() + AGAIN, run_last, NULL);
}

static void all_have_ended(void)
{
    if (last == FINALLY && killed) {
        error("tests", "a test command was killed, so no finally_ command runs");
        phase = OVER;
        return;
    }
    run_last(NULL);
}

static void has_ended(const struct test *test)
{
    if (phase == STARTING_UP && test->kind == FIRST)
        begin_drivers();
    else if (phase == DRIVING && test->kind == SERIAL)
        begin_turn();
    else if (phase == DRIVING && test->kind == PARALLEL && !next_driver.armed)
        driver_at(after(GAP));
    else if (phase == ENDING && !runs)
        all_have_ended();
    else if (phase == LAST_ONE)
        phase = OVER;
}

char *composer_finish(const char *kind)
{
    enum kind_of_test wanted = !strcmp(kind, kinds[FINALLY]) ? FINALLY : EVENTUALLY;
    if (strcmp(kind, kinds[wanted]))
        return format("the end is eventually or finally, not %s", kind);
    if (phase != DRIVING || !began_driver)
        return format("%s", phase > DRIVING ? "this test has ended already" : "no driver has begun");
    if (!count(wanted))
        return format("the template %s has no %s_ command", template, kind);
    last = wanted;
    phase = ENDING;
    timer_clear(&next_driver);
    timer_clear(&next_anytime);
    inject_wait(true);
    for (struct run *r = runs; r && wanted == EVENTUALLY; r = r->next) {
        r->asked = true;
        kill(-r->proc.group, SIGKILL);
    }
    if (!runs)
        all_have_ended();
    return NULL;
}

/* ---- begin */

static void start_up(void *arg)
{
    (void)arg;
    choose_template();
    phase = STARTING_UP;
    const struct test *test = choose(FIRST);
    if (!test)
        begin_drivers();
    else if (!run(test))
        timer_set(&start, now() + AGAIN, start_up, NULL);
}

void composer_begin(ns_t origin)
{
    if (!test_count)
        return;
    inject_wait(true);
    timer_set_exactly(&start, origin + START, start_up, NULL);
}

void composer_seed(const struct key *new)
{
    key = *new;
    draws = 0;
    if (next_driver.armed)
        driver_at(after(GAP));
    if (next_anytime.armed) {
        timer_clear(&next_anytime);
        timer_set_exactly(&next_anytime, after(ANYTIME_GAP), anytime_due, NULL);
    }
}
