/*
 * probe NAME NUMBER COUNT: one of COUNT probes, which take turns, so that the processor is where
 * one of them wants it for a while. Says after each round how it went.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

#define MS 1000000L
#define TURN (40 * MS)
#define REST (8 * MS) /* of a turn, in which no round begins */

static const struct {
    const char *name;
    probe_fn *probe;
} probes[] = {
    { "exceptions", exceptions }, { "rounding", rounding }, { "x87-status", x87_status },
    { "x87-control", x87_control }, { "mmx", mmx }, { "direction", direction },
    { "flags", flags }, { "strings", strings }, { "debugging", debugging }, { "young", young },
    { "signals", signals }, { "segments", segments }, { "clocks", clocks }, { "cpuid", cpuid },
    { "atomics", atomics }, { "rewriting", rewriting },
};

const char *lost(const char *format, ...)
{
    static char text[200];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    return text;
}

static void wait_for_turn(long number, long count)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long at = now.tv_sec * 1000 * MS + now.tv_nsec;
    long since = (at + (count - number) * TURN) % (count * TURN);
    if (since < TURN - REST)
        return;
    long next = at - since + count * TURN;
    struct timespec then = { next / (1000 * MS), next % (1000 * MS) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL))
        ;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    probe_fn *probe = NULL;
    for (unsigned i = 0; i < sizeof probes / sizeof *probes; i++)
        if (!strcmp(probes[i].name, argv[1]))
            probe = probes[i].probe;
    if (!probe)
        return 2;
    for (unsigned round = 1;; round++) {
        char line[256];
        wait_for_turn(atol(argv[2]), atol(argv[3]));
        const char *what = probe(round);
        int length = snprintf(line, sizeof line, "%u: %s\n", round, what ? what : "kept");
        if (write(1, line, length) != length)
            return 1;
    }
}
