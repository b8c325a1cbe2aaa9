/* How precisely the x87 computes, and how it rounds. */
#include <string.h>

#include "probe.h"

static void third(unsigned char *result)
{
    static const double three = 3;
    memset(result, 0, 16);
    __asm__ volatile("fld1\nfdivl %1\nfstpt %0" : "=m"(*(unsigned char (*)[10])result)
                     : "m"(three));
}

const char *x87_control(unsigned round)
{
    static const uint64_t thirds[4][2] = { /* rounded down and up; 24, 53 and 64 bits */
        { 0xaaaaaa0000000000, 0xaaaaab0000000000 }, { 0, 0 },
        { 0xaaaaaaaaaaaaa800, 0xaaaaaaaaaaaab000 }, { 0xaaaaaaaaaaaaaaaa, 0xaaaaaaaaaaaaaaab },
    };
    unsigned mode = round & 3, precision = (unsigned[]){ 0, 2, 3 }[(round >> 2) % 3];
    uint16_t asked = 0x7f | mode << 10 | precision << 8, found;
    unsigned char result[16];
    uint64_t mantissa;
    __asm__ volatile("fninit\nfldcw %0" : : "m"(asked));
    spin();
    __asm__ volatile("fnstcw %0" : "=m"(found));
    third(result);
    __asm__ volatile("fninit");
    memcpy(&mantissa, result, sizeof mantissa);
    if (found != asked)
        return lost("LOST: control word %#x, not %#x", found, asked);
    /* To the nearest is up for 24 and 64 bits, down for 53. */
    int up = mode == 2 || (mode == 0 && precision != 2);
    if (mantissa != thirds[precision][up])
        return lost("LOST: 1/3 is %#lx with control word %#x", mantissa, asked);
    return 0;
}
