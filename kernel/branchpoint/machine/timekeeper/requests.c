/*
 * timekeeper: makes a stock QEMU (TCG, -icount) exactly repeatable and drives it.
 *
 * It closes the holes in QEMU's determinism (cures.c), stops the machine at exact instants, reads
 * and writes guest memory while it stands still, and saves and restores its state in process. It is driven through an inherited socket; when the other end goes away,
 * for whatever reason, the emulator exits.
 *
 * This file is its two ends: what QEMU calls to load it, and what Python asks of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "timekeeper.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_REQUEST (64u << 20)

EXPORT int qemu_plugin_version = 4;
struct timekeeper self = { .cure_idle = true, .cure_tlb = true, .cure_young = true,
                           .cure_flags = true, .cure_clock = true, .may_track = true };

/* ---- answering ---- */
static void write_all(int fd, const void *data, size_t length)
{
    for (const char *p = data; length;) {
        ssize_t n = send(fd, p, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);              /* nobody is left to work for */
        p += n;
        length -= n;
    }
}

static bool read_all(int fd, void *data, size_t length)
{
    for (char *p = data; length;) {
        ssize_t n = recv(fd, p, length, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        length -= n;
    }
    return true;
}

void answer(int status, uint64_t value, const void *data, size_t length)
{
    struct reply r = { status, length, icount_get(), value, 0 };
    if (self.watch)
        memcpy(&r.watched, self.watch, sizeof r.watched);
    write_all(self.socket, &r, sizeof r);
    if (length)
        write_all(self.socket, data, length);
}

void fail(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    answer(ST_ERROR, 0, text, n < (int)sizeof text ? n : (int)sizeof text - 1);
}

/* ---- requests, in QEMU's main loop with its lock held ---- */
static void serve(const struct request *r, uint8_t *payload)
{
    if (r->op == OP_NUDGE)
        return;                    /* it woke the main loop, which is all it is for */
    const char *problem = self.problem ? self.problem : find_memory();
    if (!problem)
        problem = confine(self.ram_size);   /* all is set up, and nothing has run */
    if (problem) {
        fail("%s", problem);
        return;
    }
    if (self.running) {
        fail("the machine is running");
        return;
    }
    bool inside = r->a <= self.ram_size && r->b <= self.ram_size - r->a;
    switch (r->op) {
    case OP_HELLO:
        answer(ST_OK, self.ram_size, NULL, 0);
        break;
    case OP_RUN:
        do_run(r->a, r->b);
        break;
    case OP_READ:
        if (inside)
            answer(ST_OK, 0, self.ram + r->a, r->b);
        else
            fail("memory 0x%llx is outside the machine", (unsigned long long)r->a);
        break;
    case OP_WATCH:
        if (inside && r->b == sizeof(uint64_t)) {
            self.watch = self.ram + r->a;
            answer(ST_OK, 0, NULL, 0);
        } else {
            fail("memory 0x%llx is outside the machine", (unsigned long long)r->a);
        }
        break;
    case OP_WRITE:
        if (inside && r->b == r->length) {
            memcpy(self.ram + r->a, payload, r->length);
            uint64_t start = self.ram_base + r->a;
            if (r->length)
                tb_invalidate_phys_range(start, start + r->length - 1);
            answer(ST_OK, 0, NULL, 0);
        } else {
            fail("memory 0x%llx is outside the machine", (unsigned long long)r->a);
        }
        break;
    case OP_DIRTY:
        do_dirty(r->a, r->b);
        break;
    case OP_SAVE:
        do_save();
        break;
    case OP_LOAD:
        do_load(r->a, r->b, payload, r->length);
        break;
    case OP_OBJECTS:
        do_objects();
        break;
    default:
        fail("unknown request %u", r->op);
    }
}

static void on_request(void *unused)
{
    (void)unused;
    struct request r;
    if (!read_all(self.socket, &r, sizeof r) || r.length > MAX_REQUEST)
        _exit(0);
    uint8_t *payload = malloc(r.length + 1);
    if (!payload || !read_all(self.socket, payload, r.length))
        _exit(0);
    serve(&r, payload);
    free(payload);
}

static void attach(void *unused)
{
    (void)unused;
    self.problem = prepare_states();
    attach_stops();
    qemu_set_fd_handler(self.socket, on_request, NULL, NULL);
}

static void read_young(char *text)     /* addresses, separated by colons */
{
    for (char *end; *text && self.young_count < MOST_YOUNG; text = *end ? end + 1 : end) {
        self.young[self.young_count++] = strtoull(text, &end, 0);
        if (end == text)
            return;
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            return -1;
        *value++ = 0;
        if (!strcmp(argv[i], "socket"))
            self.socket = atoi(value);
        else if (!strcmp(argv[i], "pool"))
            self.pool = atoi(value);
        else if (!strcmp(argv[i], "exchange"))
            self.exchange = atoi(value);
        else if (!strcmp(argv[i], "switch"))
            self.switch_address = strtoull(value, NULL, 0);
        else if (!strcmp(argv[i], "idle_task"))
            self.idle_task = strtoull(value, NULL, 0);
        else if (!strcmp(argv[i], "young"))
            read_young(value);
        else if (!strcmp(argv[i], "idle"))
            self.cure_idle = !strcmp(value, "on");
        else if (!strcmp(argv[i], "tlb"))
            self.cure_tlb = !strcmp(value, "on");
        else if (!strcmp(argv[i], "aging"))
            self.cure_young = !strcmp(value, "on");
        else if (!strcmp(argv[i], "flags"))
            self.cure_flags = !strcmp(value, "on");
        else if (!strcmp(argv[i], "clock"))
            self.cure_clock = !strcmp(value, "on");
        else if (!strcmp(argv[i], "track"))
            self.may_track = !strcmp(value, "on");
        else
            return -1;
    }
    self.value = g_byte_array_new();
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    aio_bh_schedule_oneshot_full(qemu_get_aio_context(), attach, NULL, "timekeeper");
    return 0;
}
