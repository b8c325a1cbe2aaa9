/* Locked operations, also where they cross cache lines and pages, and unaligned ones. */
#include <string.h>

#include "probe.h"

const char *atomics(unsigned round)
{
    static _Alignas(4096) unsigned char area[3 * 4096];
    static _Alignas(16) uint64_t pair[2];
    static uint64_t expected;
    for (unsigned k = 0; k < 2; k++) {
        uint64_t *odd = (void *)(area + (k ? 4096 : 64) - 1 - round % 7), sum;
        memset(area, round, sizeof area);
        memcpy(&expected, odd, sizeof expected);
        for (unsigned i = 0; i < 2000; i++) {
            uint64_t more = i * 0x9e3779b97f4a7c15u;
            __asm__ volatile("lock xaddq %1, %0" : "+m"(*odd), "+r"(more) : : "cc", "memory");
            if (more != expected)
                return lost("LOST: an exchange: %#lx, not %#lx", more, expected);
            expected += i * 0x9e3779b97f4a7c15u;
        }
        spin();
        memcpy(&sum, odd, sizeof sum);
        if (sum != expected)
            return lost("LOST: a sum: %#lx, not %#lx", sum, expected);
    }
    uint64_t low = pair[0], high = pair[1];
    unsigned char swapped;
    spin();
    __asm__ volatile("lock cmpxchg16b %1\nsetz %0"
                     : "=q"(swapped), "+m"(pair), "+a"(low), "+d"(high)
                     : "b"(low + 1), "c"(high + 2) : "cc", "memory");
    spin();
    if (!swapped || pair[0] != low + 1 || pair[1] != high + 2)
        return lost("LOST: a pair: %lu %lu", pair[0], pair[1]);
    return 0;
}
