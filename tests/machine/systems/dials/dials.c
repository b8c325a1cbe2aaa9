/*
 * dials: once in a second a dial is tried, in one of ten cases with success; then it is the turn of
 * the next one. After a failure nothing more is tried. When all five are turned, it fails.
 *
 * It says nothing. Which dials are turned is only in its own memory, and shows in the code that runs.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static unsigned turned;

static void at_second(unsigned second, const struct timespec *begin)
{
    struct timespec when = { begin->tv_sec + second, begin->tv_nsec };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL))
        ;
}

static int lucky(void)
{
    uint32_t drawn;
    return getrandom(&drawn, sizeof drawn, 0) == sizeof drawn && drawn % 10 == 0;
}

int main(void)
{
    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned second = 1;; second++) {
        at_second(second, &begin);
        if (!lucky())
            for (;;)
                pause();
        switch (turned) {
        case 0: turned = 1; break;
        case 1: turned = 2; break;
        case 2: turned = 3; break;
        case 3: turned = 4; break;
        default: exit(1);
        }
    }
}
