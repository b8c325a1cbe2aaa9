/*
 * The guest's memory: where it lies, which pages changed, and what is in them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "pagemap.h"
#include "timekeeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define FEATURE_WP_UNPOPULATED (1 << 13)
#define FEATURE_WP_ASYNC (1 << 15)

static int find_ram(RAMBlock *block, void *unused)
{
    (void)unused;
    if (strcmp(qemu_ram_get_idstr(block), "ram") == 0) {
        self.ram = qemu_ram_get_host_addr(block);
        self.ram_size = qemu_ram_get_used_length(block);
        self.ram_base = qemu_ram_addr_from_host(self.ram);
    }
    return 0;
}

static bool start_tracking(void)
{
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    struct uffdio_api api = { .api = UFFD_API,
                              .features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED };
    struct uffdio_register registration = {
        .range = { (uintptr_t)self.ram, self.ram_size },
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    if (fd < 0)
        return false;
    if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &registration)) {
        close(fd);
        return false;
    }
    return true;                   /* the registration lives as long as this descriptor */
}

const char *find_memory(void)
{
    if (self.ram)
        return NULL;
    qemu_ram_foreach_block(find_ram, NULL);
    if (!self.ram)
        return "no memory block named ram";
    self.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (self.pagemap < 0)
        return "cannot open the page map of this process";
    self.buffer = memfd_create("buffer", MFD_CLOEXEC);
    if (self.buffer < 0)
        return "cannot make a buffer";
    self.regions = calloc(self.ram_size / PAGE, sizeof *self.regions);
    self.pages = calloc(self.ram_size / PAGE, sizeof *self.pages);
    self.tracking = self.may_track && start_tracking();
    return NULL;
}

/* Guest pages that are private to this process, in ascending order, into self.pages. With
 * ``written``: only those touched since the last such call (which also starts a new round). */
static int64_t scan(bool written)
{
    struct scan_args args = {
        .size = sizeof args,
        .flags = written ? SCAN_WRITE_PROTECT | SCAN_CHECK_WPASYNC : 0,
        .start = (uintptr_t)self.ram,
        .end = (uintptr_t)self.ram + self.ram_size,
        .vec = (uintptr_t)self.regions,
        .vec_len = self.ram_size / PAGE,
        .category_inverted = PAGE_FILE,
        .category_mask = PAGE_FILE | (written ? PAGE_WRITTEN : 0),
        .category_anyof_mask = PAGE_PRESENT | PAGE_SWAPPED,
        .return_mask = PAGE_PRESENT,
    };
    int n = ioctl(self.pagemap, SCAN_IOCTL, &args);
    if (n < 0)
        return -1;
    int64_t count = 0;
    for (int i = 0; i < n; i++)
        for (uint64_t at = self.regions[i].start; at < self.regions[i].end; at += PAGE)
            self.pages[count++] = (at - (uintptr_t)self.ram) / PAGE;
    return count;
}

/* The same on kernels before 6.7, which can only tell which pages are private. */
static int64_t scan_pagemap(void)
{
    enum { CHUNK = 8192 };
    static uint64_t entries[CHUNK];
    int64_t count = 0;
    uint64_t first = (uintptr_t)self.ram / PAGE;
    for (uint64_t page = 0; page < self.ram_size / PAGE; page += CHUNK) {
        uint64_t n = self.ram_size / PAGE - page < CHUNK ? self.ram_size / PAGE - page : CHUNK;
        ssize_t got = pread(self.pagemap, entries, n * 8, (first + page) * 8);
        if (got != (ssize_t)(n * 8))
            return -1;
        for (uint64_t i = 0; i < n; i++)
            if (entries[i] >> 62 && !(entries[i] >> 61 & 1))
                self.pages[count++] = page + i;
    }
    return count;
}

int64_t private_pages(bool written)
{
    if (self.tracking)
        return scan(written);
    return scan_pagemap();
}

/* a = 1: all private pages, not only those written since the last look.
 * b = 1: also copy their contents into the exchange file, in the order of the answer. */
void do_dirty(bool all, bool contents)
{
    int64_t n = private_pages(!all);
    if (n < 0) {
        fail("cannot read the page map: %s", strerror(errno));
        return;
    }
    if (contents) {
        /* Its memory is used again: fresh one costs as much again as the copying. But a whole
         * machine's worth is given back with the next look. */
        if (self.exchanged > EXCHANGE_PAGES)
            fallocate(self.exchange, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      EXCHANGE_PAGES * PAGE, (self.exchanged - EXCHANGE_PAGES) * PAGE);
        self.exchanged = n;
        for (int64_t i = 0, run; i < n; i += run) {
            for (run = 1; i + run < n && self.pages[i + run] == self.pages[i] + run; run++)
                ;
            ssize_t want = run * PAGE;
            if (pwrite(self.exchange, self.ram + (uint64_t)self.pages[i] * PAGE, want, i * PAGE)
                != want) {
                fail("no room for %lld pages: %s", (long long)n, strerror(errno));
                return;
            }
        }
    }
    answer(ST_OK, self.tracking, self.pages, n * sizeof *self.pages);
}

/* An empty file in memory, to be closed after use. There is but one, as once confined we can make
 * no other; so two users would see each other's bytes. */
int empty_buffer(void)
{
    if (ftruncate(self.buffer, 0) || lseek(self.buffer, 0, SEEK_SET) < 0)
        return -1;
    return dup(self.buffer);
}

bool map_pool(uint64_t size)
{
    if (size <= self.pool_size)
        return true;
    if (self.pool_map)
        munmap(self.pool_map, self.pool_size);
    self.pool_map = mmap(NULL, size, PROT_READ, MAP_SHARED, self.pool, 0);
    self.pool_size = self.pool_map == MAP_FAILED ? 0 : size;
    if (!self.pool_size)
        self.pool_map = NULL;
    return self.pool_size;
}
