/*
 * Stopping at an exact instant.
 *
 * The timer fires on the vCPU thread at the exact instant. vm_stop() from there would only post
 * a request, and the main loop would let the clock run on first; so the main loop is told to stop
 * the machine, and the CPU held meanwhile.
 *
 * While time runs, the main loop waits here without QEMU's lock, not in its own poll: every time
 * the guest idles, QEMU would wake it there and fight with it for the lock, for nothing. Now and
 * then, and when something was said to us, it does its round all the same. (Without cure 1 it is
 * needed for idle time, so it stays where it is.)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "timekeeper.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define MAIN_LOOP_ROUND 50         /* host ms */

static void stop_machine(void *unused)
{
    (void)unused;
    vm_stop(RUN_PAUSED);
}

/* Stops the machine if it has come to where it is to stop, or to its end; whether it did. */
static bool stopped(void)
{
    eventfd_t fired;
    if (eventfd_read(self.stop_event, &fired))
        return stop_where_it_ended();
    stop_machine(NULL);
    return true;
}

static void stand_by(void *unused)
{
    (void)unused;
    struct pollfd fds[] = { { .fd = self.stop_event, .events = POLLIN },
                            { .fd = self.socket, .events = POLLIN } };
    if (!self.running || stopped())
        return;
    show_life();
    bql_unlock();
    poll(fds, 2, MAIN_LOOP_ROUND);
    bql_lock_impl(__FILE__, __LINE__);
    /* Not what poll() saw: until the lock was ours, it may have fired; and before the end of this
     * round the machine must be stopped then, or the main loop lets the clock run on. */
    if (!stopped())
        aio_bh_schedule_oneshot_full(qemu_get_aio_context(), stand_by, NULL, "timekeeper");
}

static void set_timer(int64_t instant)
{
    self.timer_at = instant;
    timer_mod_ns(self.stop_timer, instant);
}

static int64_t next_look(int64_t now)
{
    int64_t grid = self.step ? (now / self.step + 1) * self.step : self.until;
    return grid < self.until ? grid : self.until;
}

/* Between the steps of a run there is nothing to stop for while the watched bytes stay what they
 * were: the host would learn nothing. */
static void on_stop_time(void *unused)
{
    (void)unused;
    if (self.timer_at < self.until && !memcmp(self.watch, &self.heard, sizeof self.heard)) {
        set_timer(next_look(self.timer_at));
        return;
    }
    if (self.cure_idle)
        eventfd_write(self.stop_event, 1);
    else
        aio_bh_schedule_oneshot_full(qemu_get_aio_context(), stop_machine, NULL, "timekeeper");
    cpu_stop_current();
}

static void on_state_change(void *unused, bool running, int state)
{
    (void)unused;
    if (running || !self.running)
        return;
    self.running = false;
    timer_del(self.stop_timer);
    remember_request();
    answer(state == RUN_PAUSED && !self.end ? ST_OK : ST_HALTED, self.end, NULL, 0);
}

void do_run(int64_t until, uint64_t step)
{
    int64_t now = icount_get();
    if (until <= now || step > INT64_MAX / 2) {
        fail("asked to run to %lld ns, but it is %lld ns already", (long long)until,
             (long long)now);
        return;
    }
    if (ended_before()) {
        answer(ST_HALTED, ended_before(), NULL, 0);
        return;
    }
    eventfd_t old;
    eventfd_read(self.stop_event, &old);   /* from a run that ended otherwise at that instant */
    self.until = until;
    self.step = self.watch ? step : 0;
    if (self.step)
        memcpy(&self.heard, self.watch, sizeof self.heard);
    set_timer(next_look(now));
    self.running = true;
    self.end = 0;
    vm_start();
    if (self.cure_idle) {
        on_halt(0, NULL);          /* the guest may be idle already */
        stand_by(NULL);
    }
}

void attach_stops(void)
{
    self.stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self.stop_timer = calloc(1, 256);
    timer_init_full(self.stop_timer, NULL, CLOCK_VIRTUAL, 1, 0, on_stop_time, NULL);
    qemu_add_vm_change_state_handler(on_state_change, NULL);
}
