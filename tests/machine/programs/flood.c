/*
 * Runs as init in its own machine: writes to the debug port without end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>
#include <sys/io.h>

static volatile uint64_t written;

int main(void)
{
    ioperm(0xe9, 1, 1);
    for (;;) {
        outb('a' + written % 26, 0xe9);
        written++;
    }
}
