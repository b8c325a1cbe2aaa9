/*
 * Linux 6.7: PAGEMAP_SCAN, absent from older headers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PAGEMAP_H
#define PAGEMAP_H

#include <stdint.h>
#include <sys/ioctl.h>

struct scan_region { uint64_t start, end, categories; };
struct scan_args {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_args)
#define SCAN_WRITE_PROTECT 1
#define SCAN_CHECK_WPASYNC 2
#define PAGE_WRITTEN 2
#define PAGE_FILE 4
#define PAGE_PRESENT 8
#define PAGE_SWAPPED 16

#endif
