/* The direction flag, over long string instructions that move memory backwards. */
#include <string.h>

#include "probe.h"

enum { SIZE = 1 << 16, SHIFT = 24 };

const char *direction(unsigned round)
{
    static unsigned char whole[SIZE + SHIFT + 1], *area = whole + 1;
    for (unsigned i = 0; i < SIZE; i++)
        area[i] = i * 7 + round;
    uint64_t after;
    unsigned char *from = area + SIZE - 1, *to = from + SHIFT;
    uint64_t count = SIZE;
    __asm__ volatile("std\n" SPIN "movq %3, %%rcx\nrep movsb\npushfq\npopq %2\ncld"
                     : "+S"(from), "+D"(to), "=&r"(after) : "r"(count) : "rcx", "memory", "cc");
    if (!(after & 1 << 10))
        return lost("LOST: the direction flag");
    if (from != area - 1 || to != area + SHIFT - 1)
        return lost("LOST: where the string ended: %ld", (long)(from - area));
    for (unsigned i = 0; i < SIZE; i++)
        if (area[i + SHIFT] != (unsigned char)(i * 7 + round))
            return lost("LOST: byte %u of a string", i);
    return 0;
}
