/* The time stamp counter, and the clocks that are told from it with and without the kernel. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "probe.h"

static int64_t ns(struct timespec at)
{
    return at.tv_sec * 1000000000 + at.tv_nsec;
}

const char *clocks(unsigned round)
{
    struct timespec first, kernel, last;
    (void)round;
    uint64_t begin = __rdtsc();
    clock_gettime(CLOCK_MONOTONIC, &first);
    spin();
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &kernel);
    spin();
    clock_gettime(CLOCK_MONOTONIC, &last);
    uint64_t end = __rdtsc();
    if (ns(first) >= ns(kernel) || ns(kernel) >= ns(last) || begin >= end)
        return lost("LOST: time went back");
    return lost("kept, %lu ticks in %ld ns", end - begin, (long)(ns(last) - ns(first)));
}
