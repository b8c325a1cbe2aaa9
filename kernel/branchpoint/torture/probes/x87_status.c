/*
 * The x87's stack, where its top is, its exception flags and condition codes; and the segments of
 * its last instruction, which may be forgotten when another task runs, but then each time.
 */
#include "probe.h"

enum { TOP = 7 << 11, CODES = 0x4700, EXCEPTIONS = 0x3f };

const char *x87_status(unsigned round)
{
    volatile double depth = round % 5 + 2, zero = 0, huge = 1e300, got = -1;
    uint16_t before, after;
    uint32_t environment[7];
    __asm__ volatile("fninit");
    for (int i = 0; i < (int)depth; i++)
        __asm__ volatile("fldl %0" : : "m"(depth));
    switch (round % 4) {
    case 0: __asm__ volatile("fdivl %0" : : "m"(zero)); break;                /* by zero */
    case 1: __asm__ volatile("fmull %0\nfcoml %1" : : "m"(huge), "m"(zero)); break;
    case 2: __asm__ volatile("fsqrt\nfxam"); break;                           /* inexact */
    case 3: __asm__ volatile("fcoml %0" : : "m"(depth)); break;               /* equal */
    }
    __asm__ volatile("fnstsw %0" : "=m"(before));
    spin();
    __asm__ volatile("fnstsw %0\nfnstenv %1" : "=m"(after), "=m"(environment));
    for (int i = 0; i < (int)depth; i++)
        __asm__ volatile("fstpl %0" : "=m"(got));
    __asm__ volatile("fninit");
    if ((before ^ after) & (TOP | CODES | EXCEPTIONS))
        return lost("LOST: status word %#x, not %#x", after, before);
    if (got != depth)
        return lost("LOST: the bottom of the stack is %g, not %g", got, (double)depth);
    return lost("kept, segments %#x %#x", environment[4], environment[6]);
}
