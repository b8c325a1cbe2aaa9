/* Two threads add to one counter without a lock: read, compute for about 50 µs, write. They take
 * turns, half a period apart, so an update is lost only when one of them is interrupted in the
 * middle and the other one gets the CPU then. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define UPDATES 500 /* by each thread */
#define PERIOD 2000 /* µs */

static volatile int counter;
static long longest; /* ns that an update took */

static long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void *add(void *unused)
{
    for (int i = 0; i < UPDATES; i++) {
        long begin = now();
        int seen = counter;
        for (volatile int k = 0; k < 10000; k++)
            ;
        counter = seen + 1;
        long took = now() - begin;
        longest = took > longest ? took : longest;
        usleep(PERIOD);
    }
    return unused;
}

int main(void)
{
    pthread_t one, other;
    pthread_create(&one, NULL, add, NULL);
    usleep(PERIOD / 2);
    pthread_create(&other, NULL, add, NULL);
    pthread_join(one, NULL);
    pthread_join(other, NULL);
    printf("%d %ld\n", 2 * UPDATES - counter, longest);
    return 0;
}
