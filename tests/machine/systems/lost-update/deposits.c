/* Two threads deposit into one account, each ten times a second, without a lock.
 *
 * A deposit reads the balance, waits a quarter of a millisecond for a confirmation, and writes the
 * balance back. The second thread begins its own a millisecond after the first, so that nothing is
 * lost as long as both get the CPU when they want it. Once a second, long after both, the balance
 * is compared with the deposits made: the first difference ends the program with code 1. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MS 1000000L
#define SECOND (1000 * MS)
#define PERIOD (100 * MS)
#define APART (1 * MS)
#define CONFIRMATION (MS / 4)

static volatile long balance, made[2];
static struct timespec begin;

static void sleep_until(long after)
{
    long ns = begin.tv_nsec + after;
    struct timespec when = {.tv_sec = begin.tv_sec + ns / SECOND, .tv_nsec = ns % SECOND};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

static void *depositor(void *number)
{
    long me = (long)number;
    for (long round = 1;; round++) {
        sleep_until(round * PERIOD + me * APART);
        long seen = balance;
        nanosleep(&(struct timespec){.tv_nsec = CONFIRMATION}, NULL);
        balance = seen + 1;
        made[me]++;
    }
    return NULL;
}

int main(void)
{
    clock_gettime(CLOCK_MONOTONIC, &begin);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (long i = 0; i < 2; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, depositor, (void *)i))
            return 2;
    }
    for (long second = 1;; second++) {
        sleep_until(second * SECOND + PERIOD / 2);
        long all = made[0] + made[1];
        if (balance != all) {
            printf("%ld deposits, but the balance is %ld\n", all, balance);
            exit(1);
        }
        if (second % 20 == 0)
            printf("%ld deposits, all there\n", all);
    }
}
