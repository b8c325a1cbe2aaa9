/*
 * Which pages were used of late: the processor notes that in the page table when it first comes
 * to a page, so pages that it still knows from before are not noted again. How many there are may
 * be anything, but it must be the same again.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe.h"

enum { PAGES = 64, PAGE = 4096 };

/* What the kernel says of the area in /proc/self/smaps: "Referenced", in kB. */
static long referenced(const void *area)
{
    static char text[1 << 15];
    int file = open("/proc/self/smaps", O_RDONLY);
    size_t length = 0;
    ssize_t got;
    while ((got = read(file, text + length, sizeof text - 1 - length)) > 0)
        length += got;
    close(file);
    text[length] = 0;
    char start[32];
    snprintf(start, sizeof start, "%lx-", (unsigned long)area);
    const char *found = strstr(text, start);
    found = found ? strstr(found, "Referenced:") : NULL;
    return found ? atol(found + sizeof "Referenced:") : -1;
}

const char *young(unsigned round)
{
    static volatile char *area;
    if (!area) {
        area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    0);
        madvise((void *)area, PAGES * PAGE, MADV_NOHUGEPAGE);
    }
    for (int i = 0; i < PAGES; i++)
        area[i * PAGE] += round;
    spin();
    int file = open("/proc/self/clear_refs", O_WRONLY);
    int cleared = write(file, "1", 1);
    close(file);
    spin();
    for (int i = 0; i < PAGES / 2; i++)
        area[i * PAGE] += 1;
    long found = referenced((void *)area);
    if (cleared != 1 || found < 0)
        return lost("LOST: what /proc says");
    return lost("%ld kB used", found);
}
