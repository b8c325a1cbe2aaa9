/* Scheduling noise: the agent takes the CPU from everybody, now and then, for a moment.
 *
 * It waits for an exponentially distributed time and then computes for a log-uniform one, with
 * its real-time priority. What it displaces goes on later, maybe after others: threads interleave
 * as they would on another computer on another day. The agent does it itself, as a process of its
 * own would make the emulator forget its translations of addresses once more for every moment.
 */
#include "../agent.h"

#define SHORTEST 1000 /* ns */

static struct key key;
static struct random chance;
static ns_t every, longest; /* every = 0: silence */
static ns_t due = NEVER;

static void plan_next(void)
{
    due = every ? now() + random_exponential(&chance, every) : NEVER;
}

/* One instruction is one nanosecond. Most of them do nothing, which the emulator does fastest. */
static void hold(ns_t time)
{
    ns_t end = now() + time;
    for (ns_t at = now(); at < end; at = now()) {
        uint64_t rounds = (end - at) / 256 + 1;
        __asm__ volatile("1: .rept 254; nop; .endr; dec %0; jnz 1b" : "+r"(rounds) : : "cc");
    }
}

ns_t noise_due(void)
{
    return due;
}

void noise_make(void)
{
    hold(random_log_uniform(&chance, SHORTEST, longest));
    plan_next();
}

static void begin(void)
{
    chance = random_stream(&key, FOR_NOISE, 0, 0);
    plan_next();
}

void noise_set(ns_t new_every, ns_t new_longest)
{
    every = new_every;
    longest = new_longest < SHORTEST ? SHORTEST : new_longest;
    begin();
}

void noise_seed(const struct key *new_key)
{
    key = *new_key;
    begin();
}
