/* Scheduling noise: a process that takes the CPU from everybody, now and then, for a moment.
 *
 * It sleeps for an exponentially distributed time and then computes for a log-uniform one. What
 * it displaces goes on later, maybe after others: threads interleave as they would on another
 * computer on another day. While it is off it sleeps without end and costs nothing.
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PRIORITY 60 /* above the agent's own */
#define SHORTEST 1000 /* ns */

struct settings {
    uint32_t turn; /* counts the changes; the process sleeps on it */
    ns_t every, longest;
    struct key key;
};

static struct settings *shared;

/* One instruction is one nanosecond. Most of them do nothing, which the emulator does fastest. */
static void hold(ns_t time)
{
    ns_t end = now() + time;
    for (ns_t at = now(); at < end; at = now()) {
        uint64_t rounds = (end - at) / 256 + 1;
        __asm__ volatile("1: .rept 254; nop; .endr; dec %0; jnz 1b" : "+r"(rounds) : : "cc");
    }
}

/* Until the settings change: true; until `time` is over: false. */
static bool changed_within(uint32_t turn, const ns_t *time)
{
    struct timespec wait = {0};
    if (time)
        wait = (struct timespec){(time_t)(*time / SECOND), (long)(*time % SECOND)};
    return !syscall(SYS_futex, &shared->turn, FUTEX_WAIT, turn, time ? &wait : NULL) ||
           errno != ETIMEDOUT;
}

static void make_noise(void) __attribute__((noreturn));
static void make_noise(void)
{
    struct settings mine = {0};
    struct random chance = {0};
    for (;;) {
        uint32_t turn = __atomic_load_n(&shared->turn, __ATOMIC_ACQUIRE);
        if (turn != mine.turn) {
            mine = *shared;
            chance = random_stream(&mine.key, FOR_NOISE, 0, 0);
        }
        ns_t pause = mine.every ? random_exponential(&chance, mine.every) : 0;
        if (!changed_within(turn, mine.every ? &pause : NULL))
            hold(random_log_uniform(&chance, SHORTEST, mine.longest));
    }
}

void noise_open(void)
{
    int flags = MAP_SHARED | MAP_ANONYMOUS;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, flags, -1, 0);
    pid_t pid = shared == MAP_FAILED ? -1 : fork();
    if (pid < 0)
        fail("cannot start the noise process: %s", strerror(errno));
    if (pid)
        return;
    struct sched_param above = {.sched_priority = PRIORITY};
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    close_range(0, ~0U, 0);
    prctl(PR_SET_NAME, "noise");
    if (write_file("/proc/self/oom_score_adj", "-1000") || mlockall(MCL_CURRENT | MCL_FUTURE) ||
        sched_setscheduler(0, SCHED_FIFO, &above))
        fail("the noise process cannot get its priority: %s", strerror(errno));
    make_noise();
}

/* Takes effect at once: the process runs before this returns. */
static void tell(void)
{
    __atomic_add_fetch(&shared->turn, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &shared->turn, FUTEX_WAKE, 1);
}

void noise_set(ns_t every, ns_t longest)
{
    shared->every = every;
    shared->longest = longest < SHORTEST ? SHORTEST : longest;
    tell();
}

void noise_seed(const struct key *key)
{
    shared->key = *key;
    tell();
}
