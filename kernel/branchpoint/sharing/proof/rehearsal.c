/*
 * A program that depends much on state that is easily lost: flags of arithmetic, the order of
 * threads, children, random numbers. It folds all that it sees into one number, and prints that.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RACERS = 3, SPIN = 60000, BEAT = 50000000 /* ns */ };

static volatile uint64_t seen = 1; /* unlocked on purpose */
static volatile uint64_t lost[2];

static void fold(uint64_t what)
{
    seen = seen * 6364136223846793005u + what;
}

static void rest(long ns)
{
    nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static void spin(int rounds)
{
    for (volatile int i = 0; i < rounds; i++)
        ;
}

/* SSE and x87 divide, and must still know after a while that the result was inexact. */
static void *divide(void *unused)
{
    for (;;) {
        const uint32_t cleared = 0x1f80;
        uint32_t control;
        uint16_t status;
        __asm__ volatile("ldmxcsr %0" : : "m"(cleared));
        __asm__ volatile("fnclex");
        volatile double one = 1, three = 3, third = one / three;
        __asm__ volatile("fldl %0; fdivl %1; fstpl %2" : : "m"(one), "m"(three), "m"(third));
        spin(SPIN);
        __asm__ volatile("stmxcsr %0" : "=m"(control));
        __asm__ volatile("fnstsw %0" : "=m"(status));
        lost[0] += !(control & 0x20);
        lost[1] += !(status & 0x20);
        fold(control ^ (uint64_t)status << 32);
        rest(400000);
    }
    return unused;
}

static void *race(void *number)
{
    for (;;) {
        uint64_t before = seen;
        spin(SPIN / 20);
        fold(before + (uintptr_t)number);
        rest(1000000 + 137000 * (uintptr_t)number);
    }
    return NULL;
}

static void *beget(void *unused)
{
    for (;;) {
        int ends[2];
        uint64_t drawn = 0;
        if (!pipe(ends)) {
            pid_t child = fork();
            if (child == 0) {
                ssize_t got = getrandom(&drawn, sizeof drawn, 0);
                got = write(ends[1], &drawn, sizeof drawn);
                _exit(got != sizeof drawn);
            }
            if (child > 0 && read(ends[0], &drawn, sizeof drawn) == sizeof drawn)
                fold(drawn);
            close(ends[0]);
            close(ends[1]);
            waitpid(child, NULL, 0);
        }
        rest(20000000);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    setvbuf(stdout, NULL, _IOLBF, 0);
    pthread_create(&thread, NULL, divide, NULL);
    pthread_create(&thread, NULL, beget, NULL);
    for (uintptr_t i = 0; i < RACERS; i++)
        pthread_create(&thread, NULL, race, (void *)i);
    for (;;) {
        rest(BEAT);
        printf("seen %016llx, lost %llu and %llu\n", (unsigned long long)seen,
               (unsigned long long)lost[0], (unsigned long long)lost[1]);
    }
}
