/*
 * When the guest itself ends the machine: it switches off, resets, or suspends.
 *
 * QEMU tells its main loop, which stops the machine some time later; until then the clock runs on,
 * as far as the host's speed decides. So it is looked for behind every OUT, by which a guest brings
 * it about, and the machine is stopped there. (Whatever else ends a machine stops the vCPU itself.)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "timekeeper.h"

#include <time.h>

#define BEAT 1                     /* host seconds between two signs of life */

static int requested(void)
{
    int now = qemu_shutdown_requested_get();
    return now ? now : self.request;
}

/* What has already ended a machine that stands; or 0. */
int ended_before(void)
{
    return runstate_get() == RUN_SUSPENDED ? END_SUSPENDED : self.request;
}

/* The machine was stopped, which makes QEMU forget what the guest has asked for and not yet got. */
void remember_request(void)
{
    self.request = requested();
}

/* On the vCPU thread, between two instructions, with the lock held. */
static void end_here(CPUState *cpu, run_on_cpu_data unused)
{
    (void)cpu;
    (void)unused;
    if (self.running && requested()) {
        self.end = requested();
        cpu_stop_current();
    }
}

/* The work is done when the OUT has been. */
void on_out(unsigned index, void *unused)
{
    (void)unused;
    async_run_on_cpu(qemu_get_cpu(index), end_here, (run_on_cpu_data){ 0 });
}

/* In the main loop, before it could let the clock run on: stops a machine whose vCPU was stopped
 * by nobody of us, or is about to do end_here(). Whether it did. */
bool stop_where_it_ended(void)
{
    if (!cpu_is_stopped(qemu_get_cpu(0)) && !requested())
        return false;
    if (!self.end)
        self.end = requested() ? requested() : END_SUSPENDED;
    vm_stop(RUN_PAUSED);
    return true;
}

/* In the main loop while the machine runs: tells the host now and then how far it is. */
void show_life(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec - self.shown < BEAT)
        return;
    self.shown = now.tv_sec;
    answer(ST_ALIVE, 0, NULL, 0);
}
