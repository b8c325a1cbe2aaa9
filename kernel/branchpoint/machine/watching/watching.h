/*
 * What plugins that tell what ran have in common: the socket on which they are asked, and where
 * the memory module with the containers' files is. They count and change nothing that the guest
 * could see.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef WATCHING_H
#define WATCHING_H

#include "../timekeeper/qemu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void *qemu_plugin_insn_haddr(const struct plugin_insn *);

#define EXPORT __attribute__((visibility("default")))
#define NONE UINT64_MAX

static struct {
    int socket;
    const char *name;              /* of the module, as a memory block */
    uint8_t *base, *ram;
    uint64_t size, ram_size;       /* bytes; all of the guest's memory is below its devices */
    void (*asked)(char request);
} watching;

/* Where an instruction lies: bytes from the beginning of the module, or NONE. */
static inline uint64_t place_of(const struct plugin_insn *insn)
{
    uint8_t *at = qemu_plugin_insn_haddr(insn);
    return at && watching.base && at >= watching.base && at < watching.base + watching.size
               ? (uint64_t)(at - watching.base) : NONE;
}

static void write_all(const void *data, size_t length)
{
    for (const char *p = data; length;) {
        ssize_t n = send(watching.socket, p, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);              /* nobody is left to work for */
        p += n;
        length -= n;
    }
}

static void read_all(void *data, size_t length)
{
    for (char *p = data; length;) {
        ssize_t n = recv(watching.socket, p, length, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        p += n;
        length -= n;
    }
}

/* One byte is a request. The machine stands still meanwhile. */
static void on_request(void *unused)
{
    (void)unused;
    char request;
    read_all(&request, 1);
    watching.asked(request);
}

static int find_memory(RAMBlock *block, void *unused)
{
    (void)unused;
    const char *name = qemu_ram_get_idstr(block);
    if (strcmp(name, watching.name) == 0) {
        watching.base = qemu_ram_get_host_addr(block);
        watching.size = qemu_ram_get_used_length(block);
    } else if (strcmp(name, "ram") == 0) {
        watching.ram = qemu_ram_get_host_addr(block);
        watching.ram_size = qemu_ram_get_used_length(block);
    }
    return 0;
}

static void attach(void *unused)
{
    (void)unused;
    qemu_ram_foreach_block(find_memory, NULL);
    qemu_set_fd_handler(watching.socket, on_request, NULL, NULL);
}

/* Take in an option of the plugin; false: it is none of these. */
static bool watching_option(const char *option)
{
    if (!strncmp(option, "socket=", 7))
        watching.socket = atoi(option + 7);
    else if (!strncmp(option, "module=", 7))
        watching.name = strdup(option + 7);
    else
        return false;
    return true;
}

/* Begin, once all options are known; false: some are missing. */
static bool watching_begin(void (*asked)(char))
{
    watching.asked = asked;
    if (!watching.name)
        return false;
    aio_bh_schedule_oneshot_full(qemu_get_aio_context(), attach, NULL, "watching");
    return true;
}

#endif
